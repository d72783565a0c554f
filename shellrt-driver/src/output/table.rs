//! Text in columns.

use super::visible;

/// Aligned columns under `header`, two spaces apart; the last one is as wide as it needs.
pub fn table<const N: usize>(header: [&str; N], rows: &[[String; N]]) -> String {
    let mut lines = vec![header.map(str::to_owned)];
    lines.extend(
        rows.iter()
            .map(|row| row.clone().map(|cell| visible(&cell))),
    );
    let width = |column: usize| {
        let cells = lines.iter().map(|line| line[column].chars().count());
        cells.max().unwrap_or_default()
    };
    let widths: Vec<_> = (0..N).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let mut printed = String::new();
        for (cell, width) in line.iter().zip(&widths) {
            printed.push_str(&format!("{cell:width$}  "));
        }
        text.push_str(printed.trim_end());
        text.push('\n');
    }
    text
}

/// Aligned `name  value` lines; those without a value are left out.
pub fn facts(facts: &[(&str, String)]) -> String {
    let known = || facts.iter().filter(|(_, value)| !value.is_empty());
    let width = known().map(|(name, _)| name.chars().count()).max();
    let width = width.unwrap_or_default();
    let line = |(name, value): &(&str, String)| format!("  {name:width$}  {}\n", visible(value));
    known().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::{facts, table};

    #[test]
    fn columns_are_aligned() {
        let rows = [
            ["a".to_owned(), "1".to_owned()],
            ["l\u{e4}nger".to_owned(), "2\n".to_owned()],
        ];
        assert_eq!(
            table(["NAME", "N"], &rows),
            "NAME    N\na       1\nl\u{e4}nger  2\\n\n"
        );
        assert_eq!(table(["A", "B"], &[]), "A  B\n");
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let text = facts(&[
            ("a", "1".into()),
            ("long", String::new()),
            ("bc", "2".into()),
        ]);
        assert_eq!(text, "  a   1\n  bc  2\n");
    }
}
