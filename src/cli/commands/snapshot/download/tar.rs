//! Reads a tar archive as it arrives, in pieces of any size: the archives that restic writes (POSIX with extended
//! headers), with names as the bytes they are. It can go on in the middle of one.

/// The unit of an archive.
pub(super) const BLOCK: u64 = 512;

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
    /// Where the current entry (with its extended headers) begins.
    entry: u64,
    at: u64,
}

impl Reader {
    /// At the beginning of an entry, which lies at this offset.
    pub(super) fn new(at: u64) -> Self {
        Reader {
            state: State::Header,
            gathered: Vec::new(),
            path: None,
            link: None,
            size: None,
            entry: at,
            at,
        }
    }

    /// In the middle of content of which `left` bytes are still to come.
    pub(super) fn within(at: u64, left: u64) -> Self {
        let end = at + left;
        Reader {
            state: State::Content {
                left,
                pad: end.next_multiple_of(BLOCK) - end,
            },
            ..Reader::new(at)
        }
    }

    /// Where reading could go on: here, inside content; else where the current entry begins.
    pub(super) fn resume_at(&self) -> u64 {
        match self.state {
            State::Content { left, .. } if left > 0 => self.at,
            State::Content { .. } | State::Padding { .. } => self.at,
            State::Header | State::Extended { .. } => self.entry,
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
                    self.at += now.len() as u64;
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
                                self.entry = self.at;
                                self.state = State::Header;
                            }
                        }
                    }
                }
                State::Extended { kind, left, pad } => {
                    let (now, later) = data.split_at(take(*left, data));
                    self.gathered.extend_from_slice(now);
                    self.at += now.len() as u64;
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
                    self.at += now.len() as u64;
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
                    self.at += now.len() as u64;
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
            self.entry = self.at;
            self.state = State::Header;
        }
    }

    /// A header block; `None` for extended headers and for the empty blocks of the end.
    fn header(&mut self, block: &[u8]) -> Result<Option<Header>, Broken> {
        if block.iter().all(|b| *b == 0) {
            self.entry = self.at;
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

/// The header blocks of one file, for archives that we write.
pub(super) fn written(path: &[u8], size: u64, mode: u32, mtime: i64) -> Vec<u8> {
    let path = path.strip_prefix(b"/").unwrap_or(path);
    let record = |key: &str, value: &[u8]| {
        let rest = key.len() + value.len() + 3;
        // The length counts its own digits.
        let mut length = rest + rest.to_string().len();
        if length.to_string().len() > rest.to_string().len() {
            length += 1;
        }
        let mut record = format!("{length} {key}=").into_bytes();
        record.extend_from_slice(value);
        record.push(b'\n');
        record
    };
    let mut records = record("path", path);
    records.extend(record("size", size.to_string().as_bytes()));
    let mut all = block(b"PaxHeaders/file", records.len() as u64, 0o644, mtime, b'x');
    all.extend_from_slice(&records);
    all.resize(all.len().next_multiple_of(512), 0);
    all.extend(block(
        path.get(..path.len().min(99)).unwrap_or_default(),
        size & 0o77_777_777_777,
        mode,
        mtime,
        b'0',
    ));
    all
}

fn block(name: &[u8], size: u64, mode: u32, mtime: i64, kind: u8) -> Vec<u8> {
    let mut block = vec![0; 512];
    let mut put = |at: usize, bytes: &[u8]| {
        for (place, byte) in block.iter_mut().skip(at).zip(bytes) {
            *place = *byte;
        }
    };
    put(0, name);
    put(100, format!("{mode:07o}").as_bytes());
    put(108, b"0000000\x000000000\0");
    put(124, format!("{size:011o}").as_bytes());
    put(136, format!("{:011o}", mtime.max(0)).as_bytes());
    put(148, b"        ");
    put(156, &[kind]);
    put(257, b"ustar\x0000");
    let sum: u64 = block.iter().map(|b| u64::from(*b)).sum();
    for (place, byte) in block.iter_mut().skip(148).zip(format!("{sum:06o}\0 ").bytes()) {
        *place = byte;
    }
    block
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
            all.extend(written(name, content.len() as u64, 0o644, 1));
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
                read(&mut Reader::new(0), &archive, piece),
                ["a\nb 5", "=hello", "done", &long, "done", "c 3", "=xyz", "done"],
                "{piece}"
            );
        }
    }

    #[test]
    fn reading_goes_on_from_any_byte() {
        let archive = archive();
        for stop in 0..archive.len() {
            let mut first = Reader::new(0);
            let before = read(&mut first, &archive[..stop], 100);
            let at = usize::try_from(first.resume_at()).unwrap();
            let mut second = match first.state {
                State::Content { left, .. } if left > 0 => Reader::within(at as u64, left),
                State::Padding { .. } => Reader::within(at as u64, 0),
                _ => Reader::new(at as u64),
            };
            let after = read(&mut second, &archive[at..], 100);
            let mut entries: Vec<String> = before
                .iter()
                .chain(&after)
                .filter(|e| e.ends_with(|c: char| c.is_ascii_digit()))
                .cloned()
                .collect();
            entries.dedup();
            assert_eq!(entries.len(), 3, "stopped at {stop}: {before:?} {after:?}");
        }
    }

    #[test]
    fn what_is_no_archive_is_refused() {
        let mut noise = vec![7; 512];
        noise[0] = b'a';
        let result = Reader::new(0).feed::<String>(&noise, |_| Ok(()));
        assert!(result.is_err());
    }
}
