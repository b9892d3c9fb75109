//! Searches for names in many snapshots: in the trees themselves, or by restic where those cannot be read here.

use std::path::Path;
use std::sync::Arc;

use tokio::io::AsyncWrite;

use super::memory;
use super::native::Native;
use super::native::find::Search;
use super::op::{Bytes, Op};
use super::pattern::Pattern;
use super::perform::Answer;
use super::process::pass_on_and_keep;
use super::source::{Opened, Source, Trouble};
use crate::api::config::job_result::JobCause;
use crate::restic::look::Look;

/// What is looked for.
struct Asked<'a> {
    opened: &'a Opened,
    source: &'a Source,
    ids: &'a [String],
    patterns: Vec<Pattern>,
    contents: bool,
}

/// Answers [`Op::Find`].
///
/// # Errors
/// When a pattern is none, or the repository cannot be read.
pub(super) async fn search<W: AsyncWrite + Unpin>(
    op: &Op,
    opened: &Opened,
    source: &Source,
    answer: &mut Answer<'_, W>,
) -> Result<(), Trouble> {
    let Op::Find {
        ids,
        patterns,
        ignore_case,
        contents,
    } = op
    else {
        return Ok(());
    };
    let read: Result<Vec<_>, _> = patterns
        .iter()
        .map(|p| Pattern::new(&p.0, *ignore_case))
        .collect();
    let asked = Asked {
        opened,
        source,
        ids,
        patterns: read.map_err(|why| Trouble::new(JobCause::Misconfigured, why))?,
        contents: *contents,
    };
    let question = serde_json::to_vec(op).unwrap_or_default();
    // What all snapshots hold changes with the next one; what these hold does not.
    let place = memory::place(source, "find", [opened.dir.as_bytes(), &question]).filter(|_| !ids.is_empty());
    if let Some(place) = &place
        && let Ok(known) = tokio::fs::read(place).await
    {
        return answer.write(&known).await;
    }
    if let Some(native) = opened.native(source).await
        && natively(&asked, native, answer, place.as_deref()).await?
    {
        return Ok(());
    }
    let look = Look::Find {
        ids: ids.clone(),
        patterns: patterns.iter().map(Bytes::to_os).collect(),
        ignore_case: *ignore_case,
    };
    pass_on_and_keep(&look, opened, answer, place.as_deref()).await
}

/// Searches the trees, and answers in restic's form: one array. `false`: restic has to be asked.
async fn natively<W: AsyncWrite + Unpin>(
    asked: &Asked<'_>,
    native: &Arc<Native>,
    answer: &mut Answer<'_, W>,
    place: Option<&Path>,
) -> Result<bool, Trouble> {
    let (ids, patterns, contents) = (asked.ids.to_vec(), asked.patterns.clone(), asked.contents);
    let (mut found, working) = native.stream(move |native, take| {
        Search::new(native, &patterns, contents).run(&ids, &mut |hits| {
            let text = serde_json::to_vec(&hits).unwrap_or_default();
            take(text)
        })
    });
    let mut kept = Vec::new();
    let mut handed_on = false;
    while let Some(hits) = found.recv().await {
        let before = if handed_on { b"," } else { b"[" };
        handed_on = true;
        for part in [&before[..], &hits] {
            answer.write(part).await?;
            if kept.len() < memory::LARGEST {
                kept.extend_from_slice(part);
            }
        }
    }
    let why = match working.await {
        Ok(Ok(())) => {
            let end: &[u8] = if handed_on { b"]" } else { b"[]" };
            answer.write(end).await?;
            kept.extend_from_slice(end);
            if let Some(place) = place.filter(|_| kept.len() < memory::LARGEST) {
                memory::remember(place, &kept).await;
            }
            return Ok(true);
        }
        Ok(Err(why)) => why,
        Err(error) => error.to_string(),
    };
    asked.opened.instead(asked.source, &why, handed_on)?;
    Ok(false)
}
