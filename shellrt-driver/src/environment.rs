//! Environment variables for a module: `-e` and `--env-file`.

use std::collections::BTreeMap;
use std::path::Path;
use std::{env, fs};

use crate::args::Variable;
use crate::failure::Failure;

/// What `--env-file` and `-e` say together; `-e` wins, and of two the later one.
///
/// # Errors
/// A file that can't be read, or a variable without a value that this program does not have: it was
/// most likely mistyped, and a module without it would fail much later.
pub fn collect(
    files: &[impl AsRef<Path>],
    variables: &[Variable],
) -> Result<BTreeMap<String, String>, Failure> {
    let mut all = BTreeMap::new();
    for file in files {
        let file = file.as_ref();
        let text = fs::read_to_string(file)
            .map_err(|error| Failure::usage(format!("the file {file:?} can't be read: {error}")))?;
        for (number, line) in text.lines().enumerate() {
            let number = number + 1;
            let Some(variable) = line_of_file(line)
                .map_err(|reason| Failure::usage(format!("{file:?}, line {number}: {reason}")))?
            else {
                continue;
            };
            let (key, value) = valued(variable)?;
            all.insert(key, value);
        }
    }
    for variable in variables {
        let (key, value) = valued(variable.clone())?;
        all.insert(key, value);
    }
    Ok(all)
}

/// One line as docker reads it: a `#` begins a comment line, everything after the `=` is the value,
/// quotes included.
fn line_of_file(line: &str) -> Result<Option<Variable>, String> {
    let line = line.trim_start();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let variable: Variable = line.parse()?;
    if variable.key.contains(char::is_whitespace) {
        return Err(format!(
            "the name {:?} contains white space",
            variable.key.trim_end()
        ));
    }
    Ok(Some(variable))
}

fn valued(variable: Variable) -> Result<(String, String), Failure> {
    let Variable { key, value } = variable;
    let value = match value {
        Some(value) => value,
        None => env::var(&key).map_err(|error| match error {
            env::VarError::NotPresent => Failure::usage(format!(
                "the variable {key:?} has no value, and is not set here; write {key}=VALUE"
            )),
            env::VarError::NotUnicode(_) => {
                Failure::usage(format!("the value of {key:?} is not UTF-8"))
            }
        })?,
    };
    Ok((key, value))
}

#[cfg(test)]
mod tests {
    use super::line_of_file;

    #[test]
    fn lines() {
        let line = |text: &str| {
            line_of_file(text)
                .unwrap()
                .map(|variable| (variable.key, variable.value))
        };
        assert_eq!(line(""), None);
        assert_eq!(line("  # A=b"), None);
        assert_eq!(line("A=b c "), Some(("A".into(), Some("b c ".into()))));
        assert_eq!(line("A=\"b\""), Some(("A".into(), Some("\"b\"".into()))));
        assert_eq!(line("  A=#b"), Some(("A".into(), Some("#b".into()))));
        assert_eq!(line("A"), Some(("A".into(), None)));
        assert!(line_of_file("=b").is_err());
        assert!(line_of_file("export A=b").is_err());
    }
}
