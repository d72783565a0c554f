//! One 512-byte header of a tar, read as Go's `archive/tar` reads it, because containerd unpacks with
//! that and its trees are the measure.

use super::failure::Failure;

pub(super) const BLOCK: usize = 512;

/// What a header block says, before the extended headers that stood before it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Header {
    pub(super) kind: u8,
    pub(super) name: Vec<u8>,
    pub(super) link: Vec<u8>,
    pub(super) size: u64,
    pub(super) mode: u32,
    pub(super) owner: (i64, i64),
    pub(super) device: (i64, i64),
    /// In seconds and nanoseconds since the epoch.
    pub(super) modified: (i64, u32),
    pub(super) accessed: Option<(i64, u32)>,
}

impl Header {
    /// # Errors
    /// [`Failure::Unfit`] where it is damaged, or stranger than what is known here.
    pub(super) fn parse(block: &[u8; BLOCK]) -> Result<Header, Failure> {
        if !has_its_checksum(block) {
            return Err(Failure::unfit("a header of the archive is damaged"));
        }
        let mut header = Header {
            kind: block[156],
            name: text(&block[..100]).to_vec(),
            link: text(&block[157..257]).to_vec(),
            size: unsigned(&block[124..136])?,
            // Go keeps only these bits of it.
            mode: (number(&block[100..108])? & 0o7777) as u32,
            owner: (number(&block[108..116])?, number(&block[116..124])?),
            modified: (number(&block[136..148])?, 0),
            ..Header::default()
        };
        let magic = &block[257..265];
        let mut prefix: &[u8] = b"";
        if magic.starts_with(b"ustar\0") {
            header.device = (number(&block[329..337])?, number(&block[337..345])?);
            if block[508..512] == *b"tar\0" {
                prefix = text(&block[345..476]);
                header.accessed = Some((number(&block[476..488])?, 0));
            } else {
                prefix = text(&block[345..500]);
            }
        } else if magic == b"ustar  \0" {
            header.device = (number(&block[329..337])?, number(&block[337..345])?);
            if block[345] != 0 {
                header.accessed = Some((number(&block[345..357])?, 0));
            }
            if block[357] != 0 {
                // Where this is no number Go takes both for something else.
                number(&block[357..369])?;
            }
        }
        if !prefix.is_empty() {
            header.name = [prefix, b"/", &header.name].concat();
        }
        Ok(header)
    }
}

/// The sum over all bytes, its own field taken as spaces; old programs summed signed bytes.
fn has_its_checksum(block: &[u8; BLOCK]) -> bool {
    let byte = |(at, byte): (usize, &u8)| match at {
        148..156 => b' ',
        _ => *byte,
    };
    let bytes = || block.iter().enumerate().map(byte);
    let unsigned: i64 = bytes().map(i64::from).sum();
    let signed: i64 = bytes().map(|byte| i64::from(byte.cast_signed())).sum();
    octal(&block[148..156]).is_ok_and(|said| said == unsigned || said == signed)
}

/// Bytes up to the first NUL.
pub(super) fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or(field)
}

fn unsigned(field: &[u8]) -> Result<u64, Failure> {
    u64::try_from(number(field)?).map_err(|_| damaged())
}

/// Octal digits, or two's complement in base 256 where the first bit is set.
fn number(field: &[u8]) -> Result<i64, Failure> {
    let Some((first, rest)) = field.split_first().filter(|(first, _)| **first & 0x80 != 0) else {
        return octal(field);
    };
    let is_negative = first & 0x40 != 0;
    // The first bit only says that it is such a number.
    let head = match is_negative {
        true => i128::from(*first) - 256,
        false => i128::from(first & 0x7f),
    };
    let value = rest.iter().try_fold(head, |value, byte| {
        value.checked_mul(256)?.checked_add(i128::from(*byte))
    });
    value
        .and_then(|value| i64::try_from(value).ok())
        .ok_or_else(damaged)
}

fn octal(field: &[u8]) -> Result<i64, Failure> {
    let is_padding = |byte: &u8| matches!(byte, b' ' | 0);
    let start = field.iter().position(|byte| !is_padding(byte));
    let end = field.iter().rposition(|byte| !is_padding(byte));
    let (Some(start), Some(end)) = (start, end) else {
        return Ok(0);
    };
    let digits = text(&field[start..=end]);
    digits
        .iter()
        .try_fold(0i64, |value, digit| match digit {
            b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(digit - b'0')),
            _ => None,
        })
        .ok_or_else(damaged)
}

fn damaged() -> Failure {
    Failure::unfit("a number in a header of the archive is none")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_base_256() {
        for (field, value) in [
            (&b"0000644\0"[..], 0o644),
            (b"  17 \0\0\0", 0o17),
            (b"\0\0\0\0\0\0\0\0", 0),
            (b"\x80\0\0\0\0\0\x01\x02", 258),
            (b"\xff\xff\xff\xff\xff\xff\xff\xfe", -2),
            (b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", i64::MAX),
        ] {
            assert_eq!(number(field).ok(), Some(value), "{field:?}");
        }
        for field in [&b"12x\0"[..], b"9", b"\x80\0\0\0\xff\0\0\0\0\0\0\0"] {
            assert!(number(field).is_err(), "{field:?}");
        }
    }

    #[test]
    fn a_header_with_another_sum_is_refused() {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(3);
        header.set_mode(0o4755);
        let name = format!("{}/{}", "d".repeat(120), "n".repeat(90));
        tar.append_data(&mut header, &name, &b"abc"[..]).unwrap();
        let mut block: [u8; BLOCK] = tar.into_inner().unwrap()[..BLOCK].try_into().unwrap();
        let header = Header::parse(&block).unwrap();
        assert_eq!(header.name, name.as_bytes(), "put together from its prefix");
        assert_eq!((header.size, header.mode), (3, 0o4755));
        block[0] ^= 1;
        assert!(Header::parse(&block).is_err());
    }
}
