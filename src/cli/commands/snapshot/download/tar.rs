//! Reads a tar archive as it arrives, in pieces of any size: the archives that a reader writes (POSIX with extended
//! headers), with names as the bytes they are.

use crate::reader::tar::BLOCK;

/// One entry's header.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Header {
    /// Path in the archive, without a leading or trailing slash.
    pub(super) path: Vec<u8>,
    /// What it is.
    pub(super) kind: Kind,
    /// Bytes of content.
    pub(super) size: u64,
    /// Target of a link.
    pub(super) link: Vec<u8>,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// A file.
    #[default]
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// Anything else.
    Other,
}

/// What a piece of the archive meant.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event<'d> {
    /// An entry begins.
    Entry(Header),
    /// Content of the entry.
    Data(&'d [u8]),
    /// The entry is complete.
    Done,
}

/// The bytes are no archive.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken(pub(super) &'static str);

enum State {
    /// Gathering a header.
    Header,
    /// Gathering an extended header of this kind and size.
    Extended { kind: u8, left: u64, pad: u64 },
    /// Inside content.
    Content { left: u64, pad: u64 },
    /// Skipping up to the next block.
    Padding { left: u64 },
}

/// The reader.
pub(super) struct Reader {
    state: State,
    gathered: Vec<u8>,
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
}

impl Reader {
    /// At the beginning of an archive.
    pub(super) fn new() -> Self {
        Reader {
            state: State::Header,
            gathered: Vec::new(),
            path: None,
            link: None,
            size: None,
        }
    }

    /// Takes a piece.
    pub(super) fn feed<'d, E: From<Broken>>(
        &mut self,
        mut data: &'d [u8],
        mut on: impl FnMut(Event<'d>) -> Result<(), E>,
    ) -> Result<(), E> {
        while !data.is_empty() {
            let take = |left: u64, data: &[u8]| usize::try_from(left).unwrap_or(usize::MAX).min(data.len());
            match &mut self.state {
                State::Header => {
                    let want = usize::try_from(BLOCK).unwrap_or(512) - self.gathered.len();
                    let (now, later) = data.split_at(want.min(data.len()));
                    self.gathered.extend_from_slice(now);
                    data = later;
                    if self.gathered.len() as u64 == BLOCK {
                        let block = std::mem::take(&mut self.gathered);
                        if let Some(header) = self.header(&block)? {
                            let size = if header.kind == Kind::File { header.size } else { 0 };
                            on(Event::Entry(header))?;
                            self.state = State::Content {
                                left: size,
                                pad: size.next_multiple_of(BLOCK) - size,
                            };
                            if size == 0 {
                                on(Event::Done)?;
                                self.state = State::Header;
                            }
                        }
                    }
                }
                State::Extended { kind, left, pad } => {
                    let (now, later) = data.split_at(take(*left, data));
                    self.gathered.extend_from_slice(now);
                    *left -= now.len() as u64;
                    data = later;
                    if *left == 0 {
                        let (kind, pad) = (*kind, *pad);
                        let body = std::mem::take(&mut self.gathered);
                        let body = body
                            .get(..body.len() - usize::try_from(pad).unwrap_or(0))
                            .unwrap_or_default();
                        self.extended(kind, body);
                        self.state = State::Header;
                    }
                }
                State::Content { left, pad } => {
                    let (now, later) = data.split_at(take(*left, data));
                    *left -= now.len() as u64;
                    let (ended, pad) = (*left == 0, *pad);
                    data = later;
                    if !now.is_empty() {
                        on(Event::Data(now))?;
                    }
                    if ended {
                        on(Event::Done)?;
                        self.state = State::Padding { left: pad };
                        self.padded();
                    }
                }
                State::Padding { left } => {
                    let (now, later) = data.split_at(take(*left, data));
                    *left -= now.len() as u64;
                    data = later;
                    self.padded();
                }
            }
        }
        Ok(())
    }

    fn padded(&mut self) {
        if matches!(self.state, State::Padding { left: 0 }) {
            self.state = State::Header;
        }
    }

    /// A header block; `None` for extended headers and for the empty blocks of the end.
    fn header(&mut self, block: &[u8]) -> Result<Option<Header>, Broken> {
        if block.iter().all(|b| *b == 0) {
            return Ok(None);
        }
        let sum: u64 = block
            .iter()
            .enumerate()
            .map(|(at, byte)| u64::from(if (148..156).contains(&at) { b' ' } else { *byte }))
            .sum();
        if number(field(block, 148, 8)) != Some(sum) {
            return Err(Broken("a header's checksum does not fit"));
        }
        let size = number(field(block, 124, 12)).ok_or(Broken("a header's size is no number"))?;
        let kind = block.get(156).copied().unwrap_or(0);
        if matches!(kind, b'x' | b'g' | b'L' | b'K') {
            if size > 8 << 20 {
                return Err(Broken("an extended header is too large"));
            }
            let padded = size.next_multiple_of(BLOCK);
            self.state = State::Extended {
                kind,
                left: padded,
                pad: padded - size,
            };
            if padded == 0 {
                self.state = State::Header;
            }
            return Ok(None);
        }
        let mut path = until_nul(field(block, 345, 155)).to_vec();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(until_nul(field(block, 0, 100)));
        let mut path = self.path.take().unwrap_or(path);
        while path.last() == Some(&b'/') {
            path.pop();
        }
        let link = until_nul(field(block, 157, 100)).to_vec();
        Ok(Some(Header {
            path,
            kind: match kind {
                0 | b'0' => Kind::File,
                b'5' => Kind::Directory,
                b'2' => Kind::Link,
                _ => Kind::Other,
            },
            size: self.size.take().unwrap_or(size),
            link: self.link.take().unwrap_or(link),
        }))
    }

    /// An extended header: records `<length> <key>=<value>\n`, or a long name of GNU's.
    fn extended(&mut self, kind: u8, body: &[u8]) {
        match kind {
            b'L' => self.path = Some(until_nul(body).to_vec()),
            b'K' => self.link = Some(until_nul(body).to_vec()),
            b'x' => {
                let mut rest = body;
                while let Some(blank) = rest.iter().position(|b| *b == b' ') {
                    let length = std::str::from_utf8(&rest[..blank])
                        .ok()
                        .and_then(|t| t.parse::<usize>().ok());
                    let Some(record) = length.and_then(|length| rest.get(blank + 1..length.checked_sub(1)?))
                    else {
                        return;
                    };
                    if let Some(equals) = record.iter().position(|b| *b == b'=') {
                        let value = &record[equals + 1..];
                        match &record[..equals] {
                            b"path" => self.path = Some(value.to_vec()),
                            b"linkpath" => self.link = Some(value.to_vec()),
                            b"size" => {
                                self.size = std::str::from_utf8(value).ok().and_then(|t| t.parse().ok());
                            }
                            _ => {}
                        }
                    }
                    rest = length.and_then(|length| rest.get(length..)).unwrap_or_default();
                }
            }
            _ => {}
        }
    }
}

fn field(block: &[u8], from: usize, length: usize) -> &[u8] {
    block.get(from..from + length).unwrap_or_default()
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    &bytes[..end]
}

/// Octal digits, or GNU's and star's binary form for large numbers.
fn number(field: &[u8]) -> Option<u64> {
    if let Some((first, rest)) = field.split_first()
        && first & 0x80 != 0
    {
        return Some(
            rest.iter()
                .fold(u64::from(first & 0x7f), |sum, byte| (sum << 8) | u64::from(*byte)),
        );
    }
    let text = std::str::from_utf8(until_nul(field)).ok()?.trim();
    if text.is_empty() {
        return Some(0);
    }
    u64::from_str_radix(text, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    impl From<Broken> for String {
        fn from(broken: Broken) -> Self {
            broken.0.to_owned()
        }
    }

    fn read(reader: &mut Reader, archive: &[u8], piece: usize) -> Vec<String> {
        let mut seen: Vec<String> = Vec::new();
        for data in archive.chunks(piece) {
            reader
                .feed::<String>(data, |event| {
                    match event {
                        Event::Entry(h) => {
                            seen.push(format!("{} {}", String::from_utf8_lossy(&h.path), h.size));
                        }
                        Event::Data(data) => {
                            let text = String::from_utf8_lossy(data).into_owned();
                            match seen.last_mut() {
                                Some(last) if last.starts_with('=') => last.push_str(&text),
                                _ => seen.push(format!("={text}")),
                            }
                        }
                        Event::Done => seen.push("done".into()),
                    }
                    Ok(())
                })
                .unwrap();
        }
        seen
    }

    fn archive() -> Vec<u8> {
        let mut all = Vec::new();
        for (name, content) in [
            (&b"/a\nb"[..], "hello"),
            (b"long/".repeat(60).as_slice(), ""),
            (b"c", "xyz"),
        ] {
            let name = name.strip_suffix(b"/").unwrap_or(name);
            let entry = crate::reader::entry::Entry {
                kind: "file".into(),
                ..Default::default()
            };
            all.extend(crate::reader::tar::header(
                &entry,
                name,
                b"",
                content.len() as u64,
            ));
            all.extend_from_slice(content.as_bytes());
            all.resize(all.len().next_multiple_of(512), 0);
        }
        all.resize(all.len() + 1024, 0);
        all
    }

    #[test]
    fn pieces_of_any_size_are_one_archive() {
        let archive = archive();
        let long = format!("{} 0", "long/".repeat(60).trim_end_matches('/'));
        for piece in [1, 7, 512, 100_000] {
            assert_eq!(
                read(&mut Reader::new(), &archive, piece),
                ["a\nb 5", "=hello", "done", &long, "done", "c 3", "=xyz", "done"],
                "{piece}"
            );
        }
    }

    #[test]
    fn what_is_no_archive_is_refused() {
        let mut noise = vec![7; 512];
        noise[0] = b'a';
        let result = Reader::new().feed::<String>(&noise, |_| Ok(()));
        assert!(result.is_err());
    }
}
