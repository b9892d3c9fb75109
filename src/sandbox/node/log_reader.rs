//! Reads container logs back: the last lines, since a moment, following until the container ends.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use jiff::Timestamp;
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::sync::{mpsc, watch};

use super::log::{Line, Progress, parse_line, rotated};
use crate::sandbox::kubelet::LogOptions;

/// Chunks that wait for a slow reader before the file is read further.
const AHEAD: usize = 16;

/// The container runtime's answer is cut into chunks of about this size.
const CHUNK: usize = 32 * 1024;

/// Streams a log. `live` is there while the container still writes.
pub(crate) fn stream(
    path: PathBuf,
    live: Option<watch::Receiver<Progress>>,
    options: LogOptions,
) -> BoxStream<'static, io::Result<Bytes>> {
    let (to, from) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        let mut out = Output {
            to,
            chunk: Vec::new(),
            left: options.limit_bytes,
            options: options.clone(),
            fresh: true,
        };
        // The only other failure is that nobody reads any more.
        if let Err(error) = read(&path, live.filter(|_| options.follow), &mut out).await
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            let _ = out.to.send(Err(error)).await;
        }
    });
    Box::pin(futures::stream::unfold(from, |mut from| async {
        from.recv().await.map(|item| (item, from))
    }))
}

/// The last lines of a log that ended; empty when there is none.
pub(crate) async fn tail(path: &Path, count: usize) -> Vec<u8> {
    let options = LogOptions {
        tail_lines: Some(count),
        ..LogOptions::default()
    };
    let chunks = stream(path.to_path_buf(), None, options);
    let chunks: Vec<_> = chunks.filter_map(|c| async { c.ok() }).collect().await;
    chunks.concat()
}

struct Output {
    to: mpsc::Sender<io::Result<Bytes>>,
    chunk: Vec<u8>,
    left: Option<u64>,
    options: LogOptions,
    /// Whether the next text starts a line.
    fresh: bool,
}

impl Output {
    /// Adds a line of the file if it is wanted.
    async fn line(&mut self, raw: &[u8]) -> io::Result<()> {
        let Some(line) = parse_line(raw) else {
            return Ok(());
        };
        if !self.wanted(&line) {
            return Ok(());
        }
        if self.options.timestamps && self.fresh {
            self.chunk.extend_from_slice(line.time.as_bytes());
            self.chunk.push(b' ');
        }
        self.chunk.extend_from_slice(line.text);
        self.fresh = line.whole;
        if line.whole {
            self.chunk.push(b'\n');
        }
        if self.chunk.len() >= CHUNK {
            self.flush().await
        } else {
            Ok(())
        }
    }

    fn wanted(&self, line: &Line<'_>) -> bool {
        self.options
            .since
            .is_none_or(|since| line.time.parse::<Timestamp>().is_ok_and(|t| t >= since))
    }

    async fn flush(&mut self) -> io::Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let mut chunk = std::mem::take(&mut self.chunk);
        if let Some(left) = &mut self.left {
            chunk.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= chunk.len() as u64;
        }
        let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
        self.to.send(Ok(Bytes::from(chunk))).await.map_err(|_| gone())?;
        if self.left == Some(0) { Err(gone()) } else { Ok(()) }
    }
}

async fn read(path: &Path, live: Option<watch::Receiver<Progress>>, out: &mut Output) -> io::Result<()> {
    let start = live.as_ref().map_or(0, |l| l.borrow().rotations);
    let mut current = BufReader::new(open(path).await?);
    let mut earlier = Vec::new();
    match File::open(rotated(path)).await {
        Ok(mut file) => drop(file.read_to_end(&mut earlier).await?),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    let mut skip = 0;
    let mut now = Vec::new();
    current.read_to_end(&mut now).await?;
    // What was read may end in the middle of a line that is being written.
    let rest = now.split_off(now.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1));
    if let Some(tail) = out.options.tail_lines {
        skip = lines_before_tail(&[&earlier, &now], tail);
    }
    for line in lines(&earlier).chain(lines(&now)).skip(skip) {
        out.line(line).await?;
    }
    drop((earlier, now));
    out.flush().await?;
    match live {
        Some(live) => follow(path, current, rest, start, live, out).await,
        None => Ok(()),
    }
}

async fn open(path: &Path) -> io::Result<File> {
    File::open(path).await
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|b| *b == b'\n').filter(|l| !l.is_empty())
}

/// How many lines of the files come before the last `tail` whole lines.
fn lines_before_tail(files: &[&[u8]], tail: usize) -> usize {
    let mut starts: VecDeque<usize> = VecDeque::new();
    let mut fresh = true;
    let mut count = 0;
    for line in files.iter().flat_map(|f| lines(f)) {
        if fresh {
            starts.push_back(count);
            if starts.len() > tail {
                starts.pop_front();
            }
        }
        fresh = parse_line(line).is_none_or(|l| l.whole);
        count += 1;
    }
    if tail == 0 {
        count
    } else {
        starts.front().copied().unwrap_or(0)
    }
}

async fn follow(
    path: &Path,
    mut file: BufReader<File>,
    mut partial: Vec<u8>,
    mut rotations: u64,
    mut live: watch::Receiver<Progress>,
    out: &mut Output,
) -> io::Result<()> {
    loop {
        // Looked at before reading: what is written later is announced later.
        let progress = *live.borrow_and_update();
        drain(&mut file, &mut partial, out).await?;
        out.flush().await?;
        if progress.rotations != rotations {
            rotations = progress.rotations;
            file = BufReader::new(open(path).await?);
            continue;
        }
        if progress.ended {
            return Ok(());
        }
        tokio::select! {
            changed = live.changed() => if changed.is_err() {
                drain(&mut file, &mut partial, out).await?;
                return out.flush().await;
            },
            () = out.to.closed() => return Ok(()),
        }
    }
}

async fn drain(file: &mut BufReader<File>, partial: &mut Vec<u8>, out: &mut Output) -> io::Result<()> {
    while file.read_until(b'\n', partial).await? > 0 {
        if partial.last() == Some(&b'\n') {
            partial.pop();
            let line = std::mem::take(partial);
            out.line(&line).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::log::LogFile;
    use super::*;
    use std::sync::Arc;
    use std::time::Duration;

    async fn text(stream: BoxStream<'static, io::Result<Bytes>>) -> String {
        let chunks: Vec<_> = stream.collect().await;
        chunks
            .into_iter()
            .map(|c| String::from_utf8(c.unwrap().to_vec()).unwrap())
            .collect()
    }

    #[tokio::test]
    async fn tail_limit_since_and_timestamps() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        let log = LogFile::create(&path, 120).unwrap();
        log.copy("stdout", &b"a\nb\nc\nd\n"[..], None).await;
        assert!(rotated(&path).exists(), "the test wants a rotated log");
        let read = |options| text(stream(path.clone(), None, options));
        assert!(read(LogOptions::default()).await.ends_with("c\nd\n"));
        assert_eq!(
            read(LogOptions {
                tail_lines: Some(2),
                ..Default::default()
            })
            .await,
            "c\nd\n"
        );
        assert_eq!(
            read(LogOptions {
                tail_lines: Some(0),
                ..Default::default()
            })
            .await,
            ""
        );
        assert_eq!(
            read(LogOptions {
                tail_lines: Some(2),
                limit_bytes: Some(3),
                ..Default::default()
            })
            .await,
            "c\nd"
        );
        let later = Timestamp::now() + Duration::from_secs(60);
        assert_eq!(
            read(LogOptions {
                since: Some(later),
                ..Default::default()
            })
            .await,
            ""
        );
        let stamped = read(LogOptions {
            tail_lines: Some(1),
            timestamps: true,
            ..Default::default()
        })
        .await;
        let (time, rest) = stamped.split_once(' ').unwrap();
        assert!(time.parse::<Timestamp>().is_ok() && rest == "d\n", "{stamped}");
    }

    #[tokio::test]
    async fn following_sees_every_line_over_rotations_and_ends_with_the_container() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        let log = Arc::new(LogFile::create(&path, 4096).unwrap());
        log.copy("stdout", &b"first\n"[..], None).await;
        let options = LogOptions {
            follow: true,
            ..Default::default()
        };
        let mut followed = stream(path, Some(log.watch()), options);
        assert_eq!(&followed.next().await.unwrap().unwrap()[..], b"first\n");
        let writer = tokio::spawn(async move {
            for n in 0..300 {
                log.copy("stdout", format!("line {n}\n").as_bytes(), None).await;
                tokio::task::yield_now().await;
                if n % 20 == 0 {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
            log.end();
        });
        let all = text(followed).await;
        writer.await.unwrap();
        let expected: String = (0..300).map(|n| format!("line {n}\n")).collect();
        assert_eq!(all, expected);
    }
}
