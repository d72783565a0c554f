//! A layer as it is transferred becomes the plain tar in it.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

/// How a layer may be packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    /// It is a tar.
    Plain,
    /// Its first bytes say it.
    Packed,
}

/// The plain tar in `layer`. As for containerd the first bytes say how it is packed, unless its type
/// says that it is not.
pub(super) fn inflate<'a>(
    mut layer: impl BufRead + Send + 'a,
    packing: Packing,
) -> io::Result<Box<dyn Read + Send + 'a>> {
    if packing == Packing::Plain {
        return Ok(Box::new(layer));
    }
    // The bytes may come one by one.
    let mut first = Vec::new();
    layer.by_ref().take(4).read_to_end(&mut first)?;
    let kind = first.clone();
    let layer = io::Cursor::new(first).chain(layer);
    Ok(match kind.as_slice() {
        [0x1f, 0x8b, 0x08, ..] => Box::new(Gzip(Some(Box::new(GzDecoder::new(layer))))),
        [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => {
            Box::new(zstd::stream::read::Decoder::with_buffer(layer)?)
        }
        _ => Box::new(layer),
    })
}

/// All members of a gzip file. Zeros at its end are none.
struct Gzip<R>(Option<Box<GzDecoder<R>>>);

impl<R: BufRead> Read for Gzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(mut member) = self.0.take() {
            let count = member.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                self.0 = Some(member);
                return Ok(count);
            }
            let mut rest = member.into_inner();
            if skip_zeros(&mut rest)? {
                self.0 = Some(Box::new(GzDecoder::new(rest)));
            }
        }
        Ok(0)
    }
}

/// Whether anything is left.
fn skip_zeros(rest: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let bytes = rest.fill_buf()?;
        if bytes.is_empty() {
            return Ok(false);
        }
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        let is_all = zeros == bytes.len();
        rest.consume(zeros);
        if !is_all {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::write::GzEncoder;
    use flate2::Compression;
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn inflated(packed: &[u8], packing: Packing) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        // In pieces of three bytes, as no header is long.
        let layer = io::BufReader::with_capacity(3, packed);
        inflate(layer, packing)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    #[test]
    fn every_packing_is_taken_off() {
        let zstd = zstd::encode_all(&b"abc"[..], 1).unwrap();
        for packed in [
            gzip(b"abc"),
            [gzip(b"a"), gzip(b""), gzip(b"bc")].concat(),
            [gzip(b"abc"), vec![0; 700]].concat(),
            [
                zstd::encode_all(&b"ab"[..], 1).unwrap(),
                zstd::encode_all(&b"c"[..], 1).unwrap(),
            ]
            .concat(),
            zstd,
            b"abc".to_vec(),
        ] {
            assert_eq!(inflated(&packed, Packing::Packed).unwrap(), b"abc");
        }
        assert_eq!(inflated(b"", Packing::Packed).unwrap(), b"");
        assert_eq!(inflated(&gzip(b"a"), Packing::Plain).unwrap(), gzip(b"a"));
    }

    #[test]
    fn damage_is_an_error() {
        let whole = gzip(b"abcdefgh");
        let mut wrong_sum = whole.clone();
        let at = wrong_sum.len() - 6;
        wrong_sum[at] ^= 1;
        for packed in [
            wrong_sum,
            whole[..whole.len() - 4].to_vec(),
            [whole.clone(), b"\0\0rest".to_vec()].concat(),
        ] {
            assert!(inflated(&packed, Packing::Packed).is_err());
        }
    }
}
