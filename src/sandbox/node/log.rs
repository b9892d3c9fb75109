//! Container logs on disk: one file per instance of a container, in the container runtimes' own line format
//! (`<RFC 3339 time> <stream> <F|P> <text>`), bounded by rotation. Written here, read by [`super::log_reader`].

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use jiff::Timestamp;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::sync::watch;

use super::console::{Console, Stream};

/// A file is rotated when it grows beyond this; one rotated file is kept.
pub(crate) const ROTATE_AT: u64 = 10 * 1024 * 1024;

/// Longer lines are cut into parts.
const LINE_LIMIT: usize = 16 * 1024;

/// How far a log has been written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Progress {
    /// How many times the file was rotated.
    pub(crate) rotations: u64,
    /// Bytes in the current file.
    pub(crate) length: u64,
    /// Whether nothing more will come.
    pub(crate) ended: bool,
}

/// The log of one instance of a container while it is written.
pub(crate) struct LogFile {
    path: PathBuf,
    rotate_at: u64,
    file: Mutex<File>,
    progress: watch::Sender<Progress>,
}

impl LogFile {
    /// Creates the file. Directories are created as needed.
    pub(crate) fn create(path: &Path, rotate_at: u64) -> io::Result<Self> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let file = File::options().create(true).append(true).open(path)?;
        let length = file.metadata()?.len();
        let progress = watch::Sender::new(Progress {
            length,
            ..Progress::default()
        });
        Ok(Self {
            path: path.to_path_buf(),
            rotate_at,
            file: Mutex::new(file),
            progress,
        })
    }

    /// Where readers learn of new lines.
    pub(crate) fn watch(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Says that nothing more will come.
    pub(crate) fn end(&self) {
        self.progress.send_modify(|p| p.ended = true);
    }

    /// Appends one line or part of a line.
    fn write(&self, now: Timestamp, stream: &str, whole: bool, text: &[u8]) -> io::Result<()> {
        let mut line = format!("{now:.9} {stream} {} ", if whole { "F" } else { "P" }).into_bytes();
        line.extend_from_slice(text);
        line.push(b'\n');
        let mut file = self
            .file
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut progress = *self.progress.borrow();
        if progress.length > 0 && progress.length + line.len() as u64 > self.rotate_at {
            fs::rename(&self.path, rotated(&self.path))?;
            *file = File::options().create(true).append(true).open(&self.path)?;
            progress = Progress {
                rotations: progress.rotations + 1,
                length: 0,
                ended: false,
            };
        }
        file.write_all(&line)?;
        progress.length += line.len() as u64;
        self.progress.send_replace(progress);
        Ok(())
    }

    /// Copies one of a container's streams into the log until it closes, and tells it to those who are attached.
    pub(crate) async fn copy(
        &self,
        stream: &str,
        from: impl AsyncRead + Unpin,
        attached: Option<(&Console, Stream)>,
    ) {
        let mut reader = BufReader::with_capacity(LINE_LIMIT, from);
        let mut pending: Vec<u8> = Vec::new();
        loop {
            let chunk = match reader.fill_buf().await {
                Ok(chunk) if !chunk.is_empty() => chunk,
                _ => break,
            };
            let used = chunk.len();
            if let Some((console, stream)) = attached {
                console.deliver(stream, chunk).await;
            }
            pending.extend_from_slice(chunk);
            reader.consume(used);
            self.write_lines(stream, &mut pending);
        }
        if !pending.is_empty() {
            self.write_or_say(stream, true, &pending);
        }
    }

    fn write_lines(&self, stream: &str, pending: &mut Vec<u8>) {
        let mut start = 0;
        while let Some(end) = pending
            .iter()
            .skip(start)
            .position(|b| *b == b'\n')
            .map(|at| start + at)
        {
            self.write_or_say(stream, true, pending.get(start..end).unwrap_or_default());
            start = end + 1;
        }
        pending.drain(..start);
        while pending.len() > LINE_LIMIT {
            let part: Vec<u8> = pending.drain(..LINE_LIMIT).collect();
            self.write_or_say(stream, false, &part);
        }
    }

    /// Writes a line or a part of one; what is too long goes in parts.
    fn write_or_say(&self, stream: &str, whole: bool, text: &[u8]) {
        let mut rest = text;
        loop {
            let (part, after) = rest.split_at(rest.len().min(LINE_LIMIT));
            let last = after.is_empty();
            if let Err(error) = self.write(Timestamp::now(), stream, whole && last, part) {
                tracing::warn!(path = %self.path.display(), %error, "a line of a container's log is lost");
            }
            if last {
                return;
            }
            rest = after;
        }
    }
}

/// The name of the file that was rotated away.
pub(crate) fn rotated(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    PathBuf::from(name)
}

/// One line of a log file, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    pub(crate) time: &'a str,
    pub(crate) whole: bool,
    pub(crate) text: &'a [u8],
}

/// Takes a line (without its newline) apart; `None` for what is not a log line.
pub(crate) fn parse_line(line: &[u8]) -> Option<Line<'_>> {
    let mut fields = line.splitn(4, |b| *b == b' ');
    let time = std::str::from_utf8(fields.next()?).ok()?;
    let _stream = fields.next()?;
    let whole = fields.next()? == b"F";
    Some(Line {
        time,
        whole,
        text: fields.next()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_kept_whole_long_ones_in_parts_and_the_last_without_newline() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("logs/0.log");
        let log = LogFile::create(&path, ROTATE_AT).unwrap();
        let long = "x".repeat(LINE_LIMIT + 10);
        log.copy("stdout", format!("one\n\n{long}\nlast").as_bytes(), None)
            .await;
        let text = fs::read(&path).unwrap();
        let lines: Vec<Line<'_>> = text
            .split(|b| *b == b'\n')
            .filter(|l| !l.is_empty())
            .map(|l| parse_line(l).unwrap())
            .collect();
        assert_eq!(
            lines.iter().map(|l| l.text.len()).collect::<Vec<_>>(),
            vec![3, 0, LINE_LIMIT, 10, 4]
        );
        assert_eq!(
            lines.iter().map(|l| l.whole).collect::<Vec<_>>(),
            vec![true, true, false, true, true]
        );
        assert!(lines[0].time.parse::<Timestamp>().is_ok());
        assert_eq!(log.watch().borrow().length, text.len() as u64);
    }

    #[tokio::test]
    async fn a_log_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        let log = LogFile::create(&path, 1000).unwrap();
        let text: String = (0..100).map(|n| format!("line {n}\n")).collect();
        log.copy("stderr", text.as_bytes(), None).await;
        let both = fs::metadata(&path).unwrap().len() + fs::metadata(rotated(&path)).unwrap().len();
        assert!(both <= 2000, "{both} bytes");
        assert!(
            fs::read_to_string(&path)
                .unwrap()
                .ends_with(" stderr F line 99\n")
        );
        assert!(log.watch().borrow().rotations > 1);
    }
}
