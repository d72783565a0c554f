//! The texts of many records at once: what nearly all of a long answer is made of.

use super::record::{self, HEAD, LONGEST_TEXT};
use super::select;

/// How far [`copy`] came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Copied {
    /// How many bytes of the block were dealt with: whole lines.
    pub taken: usize,
    /// How many bytes were put into the buffer: whole texts.
    pub filled: usize,
}

/// Copies the texts of the records in `block`, which begins with a line, that are of a `wanted`
/// stream (by [`select::index`]), until one comes that is not plainly ours, not whole, or too long
/// for `out`. That one is left to who looks closer. What is in `out` behind the texts is undefined.
pub(super) fn copy(block: &[u8], out: &mut [u8], wanted: [bool; 2]) -> Copied {
    // Where most lines end. To copy as many bytes always takes less time than to copy as many as
    // there are.
    const SHORT: usize = 128;
    let (mut taken, mut filled) = (0, 0);
    // All records of one write have the same head.
    let mut last = None;
    while let Some((head, rest)) = block[taken..].split_first_chunk::<HEAD>() {
        let known = last.filter(|(last, _)| *last == head);
        let Some((_, (stream, ended))) = known.or_else(|| Some((head, record::own(head)?))) else {
            break;
        };
        last = Some((head, (stream, ended)));
        // A head has no newline in it, so the text's end is looked for behind it.
        let length = match memchr::memchr(b'\n', rest) {
            Some(length) if length <= LONGEST_TEXT => length,
            _ => break,
        };
        if wanted[select::index(stream)] {
            // The newline of an `F` record is the module's, the one of a `P` record is not.
            let count = length + usize::from(ended);
            let to = &mut out[filled..];
            match (rest.first_chunk::<SHORT>(), to.first_chunk_mut()) {
                // What is copied too much is written over by the next text, or never given.
                (Some(from), Some(to)) if count <= SHORT => *to = *from,
                _ => match to.get_mut(..count) {
                    Some(to) => to.copy_from_slice(&rest[..count]),
                    None => break,
                },
            }
            filled += count;
        }
        taken += HEAD + length + 1;
    }
    Copied { taken, filled }
}

#[cfg(test)]
mod tests {
    use super::super::Stream;
    use super::*;

    #[test]
    fn whole_records_are_copied_and_the_rest_is_left() {
        let mut block = Vec::new();
        let mut texts = Vec::new();
        // Every length around the short ones, on both streams, ended and not.
        for length in (0..20).chain(120..140).chain([LONGEST_TEXT]) {
            for (stream, ended) in [(Stream::Stdout, true), (Stream::Stderr, false)] {
                block.extend_from_slice(&record::head(&record::time(7), stream, ended));
                let text = vec![b'a' + (length % 26) as u8; length];
                block.extend_from_slice(&text);
                block.push(b'\n');
                texts.push((stream, text, ended));
            }
        }
        let whole = block.len();
        for end in [
            &b""[..],
            b"2026-01-02T03:04:05.000000006Z stdout F torn",
            b"rubbish\n",
        ] {
            block.truncate(whole);
            block.extend_from_slice(end);
            for wanted in [[true, true], [true, false], [false, true], [false, false]] {
                let expected: Vec<u8> = texts
                    .iter()
                    .filter(|(stream, ..)| wanted[select::index(*stream)])
                    .flat_map(|(_, text, ended)| [text, &b"\n"[..usize::from(*ended)]].concat())
                    .collect();
                let mut out = vec![0; expected.len()];
                let copied = copy(&block, &mut out, wanted);
                assert_eq!((copied.taken, copied.filled), (whole, expected.len()));
                assert!(out[..copied.filled] == expected);
                // Whatever room there is, what is given is a part of it that ends with a text.
                for room in 0..3000.min(expected.len()) {
                    let copied = copy(&block, &mut out[..room], wanted);
                    assert!(
                        copied.filled <= room
                            && block[..copied.taken].ends_with(&[b'\n'][..copied.taken.min(1)])
                    );
                    assert!(out[..copied.filled] == expected[..copied.filled]);
                }
            }
        }
    }

    #[test]
    fn a_text_that_is_too_long_is_left() {
        let mut block = record::head(&record::time(7), Stream::Stdout, true).to_vec();
        block.resize(HEAD + LONGEST_TEXT + 1, b'x');
        block.push(b'\n');
        block.resize(block.len() + 100, b'x');
        let copied = copy(&block, &mut vec![0; block.len()], [true, true]);
        assert_eq!((copied.taken, copied.filled), (0, 0));
    }
}
