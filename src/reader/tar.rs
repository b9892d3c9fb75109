//! Writes tar archives: POSIX headers with extended records where a value does not fit, and GNU's long names for paths that
//! are no UTF-8, which extended records cannot hold. The same entries are the same bytes always.

use super::entry::Entry;

/// The unit of an archive.
pub const BLOCK: u64 = 512;
/// What a plain header's name and link fields hold.
const NAME: usize = 100;
/// What an archive ends with.
pub const END: [u8; 1024] = [0; 1024];
/// The largest size that twelve octal digits hold.
const LARGEST: u64 = 0o77_777_777_777;
/// The largest owner that seven octal digits hold.
const OWNER: u32 = 0o7_777_777;

/// The header blocks of an entry at `path`, with `size` bytes of content to follow (see [`padding`]).
#[must_use]
pub fn header(entry: &Entry, path: &[u8], link: &[u8], size: u64) -> Vec<u8> {
    let mut path = path.strip_prefix(b"/").unwrap_or(path).to_vec();
    let kind = match entry.kind.as_str() {
        "dir" => b'5',
        "symlink" => b'2',
        _ => b'0',
    };
    if kind == b'5' {
        path.push(b'/');
    }
    let (mut all, mut records) = (Vec::with_capacity(1536), Vec::new());
    for (value, key, long) in [(&path[..], "path", b'L'), (link, "linkpath", b'K')] {
        match std::str::from_utf8(value) {
            Ok(text) if value.len() <= NAME && text.is_ascii() => {}
            Ok(_) => record(&mut records, key, value),
            Err(_) if value.len() <= NAME => {}
            Err(_) => {
                all.extend(block(
                    b"././@LongLink",
                    b"",
                    value.len() as u64 + 1,
                    long,
                    &Entry::default(),
                ));
                all.extend_from_slice(value);
                all.push(0);
                pad(&mut all);
            }
        }
    }
    if size > LARGEST {
        record(&mut records, "size", size.to_string().as_bytes());
    }
    for (owner, key) in [(entry.uid, "uid"), (entry.gid, "gid")] {
        if owner > OWNER {
            record(&mut records, key, owner.to_string().as_bytes());
        }
    }
    if let Some(time) = entry
        .mtime
        .filter(|t| t.subsec_nanosecond() != 0 || t.as_second() < 0)
    {
        let (mut seconds, mut nanos) = (time.as_second(), time.subsec_nanosecond());
        let sign = if seconds < 0 || nanos < 0 { "-" } else { "" };
        (seconds, nanos) = (seconds.abs(), nanos.abs());
        record(
            &mut records,
            "mtime",
            format!("{sign}{seconds}.{nanos:09}").as_bytes(),
        );
    }
    if !records.is_empty() {
        all.extend(block(
            b"PaxHeaders/entry",
            b"",
            records.len() as u64,
            b'x',
            &Entry::default(),
        ));
        all.append(&mut records);
        pad(&mut all);
    }
    all.extend(block(&path, link, size & LARGEST, kind, entry));
    all
}

/// How many zeroes follow content of this size.
#[must_use]
pub fn padding(size: u64) -> usize {
    usize::try_from(size.next_multiple_of(BLOCK) - size).unwrap_or_default()
}

fn pad(all: &mut Vec<u8>) {
    all.resize(all.len().next_multiple_of(512), 0);
}

/// An extended record; its length counts its own digits.
fn record(all: &mut Vec<u8>, key: &str, value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + rest.to_string().len();
    if length.to_string().len() > rest.to_string().len() {
        length = rest + length.to_string().len();
    }
    all.extend_from_slice(format!("{length} {key}=").as_bytes());
    all.extend_from_slice(value);
    all.push(b'\n');
}

fn block(name: &[u8], link: &[u8], size: u64, kind: u8, entry: &Entry) -> Vec<u8> {
    let mut block = vec![0; 512];
    let mut put = |at: usize, bytes: &[u8], most: usize| {
        for (place, byte) in block.iter_mut().skip(at).zip(bytes.iter().take(most)) {
            *place = *byte;
        }
    };
    let seconds = entry.mtime.map_or(0, jiff::Timestamp::as_second).max(0);
    put(0, name, NAME);
    put(100, format!("{:07o}", entry.unix_mode()).as_bytes(), 7);
    put(108, format!("{:07o}", entry.uid.min(OWNER)).as_bytes(), 7);
    put(116, format!("{:07o}", entry.gid.min(OWNER)).as_bytes(), 7);
    put(124, format!("{size:011o}").as_bytes(), 11);
    put(136, format!("{seconds:011o}").as_bytes(), 11);
    put(148, b"        ", 8);
    put(156, &[kind], 1);
    put(157, link, NAME);
    put(257, b"ustar\x0000", 8);
    let sum: u64 = block.iter().map(|b| u64::from(*b)).sum();
    for (place, byte) in block.iter_mut().skip(148).zip(format!("{sum:06o}\0 ").bytes()) {
        *place = byte;
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What tar itself says about an archive.
    fn listed(archive: &[u8]) -> String {
        use std::io::Write;
        use std::process::{Command, Stdio};
        let mut tar = Command::new("tar")
            .args([
                "--numeric-owner",
                "--full-time",
                "--utc",
                "--quoting-style=escape",
                "-tvf",
                "-",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        tar.stdin.take().unwrap().write_all(archive).unwrap();
        let output = tar.wait_with_output().unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        let squeezed = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        text.lines().map(squeezed).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn tar_reads_what_is_written() {
        let entry = |kind: &str, mode, uid, time: &str| Entry {
            kind: kind.into(),
            mode,
            uid,
            gid: 7,
            mtime: Some(time.parse().unwrap()),
            ..Entry::default()
        };
        let file = entry("file", 0o640, 3_000_000, "2001-02-03T04:05:06.123456789Z");
        let mut archive = header(&file, b"/a\nb", b"", 3);
        archive.extend_from_slice(b"xyz");
        archive.resize(archive.len() + padding(3), 0);
        let long = [b"long/".repeat(60), b"\xff".to_vec()].concat();
        archive.extend(header(
            &entry("dir", 0o755, 1, "2001-02-03T04:05:06Z"),
            &long,
            b"",
            0,
        ));
        let target = "größe/".repeat(30);
        archive.extend(header(
            &entry("symlink", 0o777, 1, "1969-12-31T23:59:58Z"),
            b"l",
            target.as_bytes(),
            0,
        ));
        archive.extend(header(
            &entry("file", 0o600, 1, "2001-02-03T04:05:06Z"),
            b"bad\xff",
            b"",
            0,
        ));
        archive.resize(archive.len() + 1024, 0);
        let said = listed(&archive);
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(
            lines[0],
            r"-rw-r----- 3000000/7 3 2001-02-03 04:05:06.123456789 a\nb"
        );
        assert!(
            lines[1].starts_with("drwxr-xr-x 1/7") && lines[1].ends_with(r"long/\377/"),
            "{}",
            lines[1]
        );
        assert!(lines[2].contains("1969-12-31 23:59:58 l -> gr"), "{}", lines[2]);
        assert!(lines[3].ends_with(r"bad\377"), "{}", lines[3]);
    }

    #[test]
    fn lengths_of_records_count_themselves() {
        for length in [1, 90, 91, 92, 93, 988, 989, 990, 991] {
            let mut all = Vec::new();
            record(&mut all, "path", &vec![b'x'; length]);
            let said = String::from_utf8(all.clone()).unwrap();
            assert_eq!(
                said.split(' ').next().unwrap().parse::<usize>().unwrap(),
                all.len()
            );
        }
    }
}
