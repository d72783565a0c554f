//! Tars byte by byte, with all that well-kept libraries refuse to write.

/// A tar that is being made.
#[derive(Clone, Default)]
pub struct Archive(Vec<u8>);

/// One entry. What is not said is that of an empty file of root's.
#[derive(Clone)]
pub struct Entry<'a> {
    pub kind: u8,
    pub name: &'a str,
    pub link: &'a str,
    pub mode: u32,
    pub owner: (u32, u32),
    pub time: i64,
    pub device: (u32, u32),
    pub bytes: &'a [u8],
    /// What the header says of the size, where it is not that of the bytes.
    pub size: Option<u64>,
    /// The eight bytes of magic and version.
    pub magic: &'a [u8; 8],
    pub prefix: &'a str,
}

impl Default for Entry<'_> {
    fn default() -> Self {
        Entry {
            kind: b'0',
            name: "",
            link: "",
            mode: 0o644,
            owner: (0, 0),
            time: 1_600_000_000,
            device: (0, 0),
            bytes: b"",
            size: None,
            magic: b"ustar\x0000",
            prefix: "",
        }
    }
}

impl Archive {
    pub fn new() -> Archive {
        Archive::default()
    }

    pub fn add(mut self, entry: Entry) -> Archive {
        self.0.extend(header(&entry));
        self.pad(entry.bytes);
        self
    }

    pub fn file(self, name: &str, mode: u32, bytes: &[u8]) -> Archive {
        let entry = Entry {
            name,
            mode,
            bytes,
            ..Entry::default()
        };
        self.add(entry)
    }

    pub fn dir(self, name: &str, mode: u32) -> Archive {
        let (kind, time) = (b'5', 1_500_000_000);
        let entry = Entry {
            kind,
            name,
            mode,
            time,
            ..Entry::default()
        };
        self.add(entry)
    }

    pub fn symlink(self, name: &str, link: &str) -> Archive {
        let (kind, mode) = (b'2', 0o777);
        let entry = Entry {
            kind,
            name,
            link,
            mode,
            ..Entry::default()
        };
        self.add(entry)
    }

    pub fn hard_link(self, name: &str, link: &str) -> Archive {
        let kind = b'1';
        let entry = Entry {
            kind,
            name,
            link,
            ..Entry::default()
        };
        self.add(entry)
    }

    /// Extended headers for the next entry.
    pub fn pax(self, records: &[(&str, &[u8])]) -> Archive {
        self.extended(b'x', "PaxHeaders/x", records)
    }

    /// Extended headers for all that follows.
    pub fn global(self, name: &str, records: &[(&str, &[u8])]) -> Archive {
        self.extended(b'g', name, records)
    }

    fn extended(self, kind: u8, name: &str, records: &[(&str, &[u8])]) -> Archive {
        let mut bytes = Vec::new();
        for (key, value) in records {
            let rest = [b" ", key.as_bytes(), b"=", value, b"\n"].concat();
            // The length counts its own digits.
            let mut length = rest.len();
            while length != rest.len() + length.to_string().len() {
                length = rest.len() + length.to_string().len();
            }
            bytes.extend(length.to_string().bytes().chain(rest));
        }
        let entry = Entry {
            kind,
            name,
            bytes: &bytes,
            ..Entry::default()
        };
        self.add(entry)
    }

    /// The whole tar.
    pub fn end(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        self.0
    }

    fn pad(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
    }
}

fn header(entry: &Entry) -> [u8; 512] {
    let mut block = [0; 512];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, entry.name.as_bytes());
    put(100, &number::<8>(i64::from(entry.mode)));
    put(108, &number::<8>(i64::from(entry.owner.0)));
    put(116, &number::<8>(i64::from(entry.owner.1)));
    let size = entry.size.unwrap_or(entry.bytes.len() as u64);
    put(124, &number::<12>(size as i64));
    put(136, &number::<12>(entry.time));
    put(148, b"        ");
    put(156, &[entry.kind]);
    put(157, entry.link.as_bytes());
    put(257, entry.magic);
    if entry.magic != &[0; 8] {
        put(329, &number::<8>(i64::from(entry.device.0)));
        put(337, &number::<8>(i64::from(entry.device.1)));
        put(345, entry.prefix.as_bytes());
    }
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// Octal where it fits, else base 256.
fn number<const N: usize>(value: i64) -> [u8; N] {
    let mut field = [0; N];
    let text = format!("{value:0width$o}", width = N - 1);
    if value >= 0 && text.len() < N {
        field[..N - 1].copy_from_slice(text.as_bytes());
        return field;
    }
    let bytes = i128::from(value).to_be_bytes();
    field.copy_from_slice(&bytes[16 - N..]);
    field[0] |= 0x80;
    field
}
