//! Answers that a pod remembers. A snapshot never changes, so a listing of one and what was found in it stay true: the
//! download that follows a look, the next look and the next search need not read the repository again.

use std::path::{Path, PathBuf};

use ring::digest::{Context, SHA256};
use tokio::io::AsyncWriteExt;

use super::perform::hex;
use super::source::Source;

/// How many answers are remembered.
const REMEMBERED: usize = 16;
/// The largest that is, in bytes.
pub(super) const LARGEST: usize = 64 << 20;

/// Where an answer is remembered; only in a pod of our own, as names of files are nobody else's business.
pub(super) fn place<'a>(
    source: &Source,
    kind: &str,
    question: impl IntoIterator<Item = &'a [u8]>,
) -> Option<PathBuf> {
    if !source.remembers {
        return None;
    }
    let mut digest = Context::new(&SHA256);
    for text in question {
        digest.update(&(text.len() as u64).to_be_bytes());
        digest.update(text);
    }
    let name = format!("{kind}-{}", hex(digest.finish().as_ref()));
    Some(source.scratch.join("answers").join(name))
}

/// Keeps an answer. Where it cannot be kept, the next one only takes longer.
pub(super) async fn remember(place: &Path, answer: &[u8]) {
    let _ = keep(place, answer).await;
}

async fn keep(place: &Path, answer: &[u8]) -> std::io::Result<()> {
    let Some(dir) = place.parent() else { return Ok(()) };
    tokio::fs::create_dir_all(dir).await?;
    let mut known = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        known.push((entry.metadata()?.modified()?, entry.path()));
    }
    known.sort();
    let surplus = (known.len() + 1).saturating_sub(REMEMBERED);
    for (_, old) in known.into_iter().take(surplus) {
        tokio::fs::remove_file(old).await?;
    }
    let between = place.with_extension(std::process::id().to_string());
    let mut file = tokio::fs::File::create(&between).await?;
    file.write_all(answer).await?;
    file.flush().await?;
    tokio::fs::rename(between, place).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_oldest_answers_are_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        for n in 0..REMEMBERED + 3 {
            remember(&dir.path().join(format!("answer-{n:03}")), b"x").await;
            // Times of files tell them apart no finer than the system's clock ticks.
            let then = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(n as u64);
            let file = std::fs::File::options()
                .write(true)
                .open(dir.path().join(format!("answer-{n:03}")));
            file.unwrap().set_modified(then).unwrap();
        }
        let mut left: Vec<_> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        left.sort();
        assert_eq!(left.len(), REMEMBERED);
        assert_eq!(left[0], "answer-003");
    }
}
