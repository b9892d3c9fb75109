//! The store's log: one JSON record a line, appended before the write is visible. A record that was torn by a crash
//! is the last one and is dropped on opening. When the log holds much more than what lives, it is rewritten into a
//! new file that replaces it by renaming.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::{GroupResource, ObjectKey};

/// Name of the log in the state directory.
const FILE: &str = "objects.log";
/// A log smaller than this is never compacted.
const SMALL: u64 = 4 << 20;
/// A log this many times larger than after its last compaction is compacted.
const GROWTH: u64 = 4;

#[derive(Serialize, Deserialize)]
struct Line<'a> {
    /// resourceVersion of the write.
    v: u64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    g: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    r: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    ns: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    n: String,
    /// The object; absent for a deletion.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    o: Option<&'a RawValue>,
}

/// One write read back.
pub(super) struct Record {
    pub(super) version: u64,
    pub(super) kind: GroupResource,
    pub(super) key: ObjectKey,
    /// The object and its text; `None` for a deletion.
    pub(super) object: Option<(Value, Vec<u8>)>,
}

impl Record {
    /// The line for a write; `text` is the object as JSON.
    pub(super) fn put(version: u64, kind: &GroupResource, key: &ObjectKey, text: &[u8]) -> Vec<u8> {
        let raw = serde_json::from_slice::<&RawValue>(text).ok();
        Self::line(version, kind, key, raw)
    }

    /// The line for a deletion.
    pub(super) fn delete(version: u64, kind: &GroupResource, key: &ObjectKey) -> Vec<u8> {
        Self::line(version, kind, key, None)
    }

    fn line(version: u64, kind: &GroupResource, key: &ObjectKey, object: Option<&RawValue>) -> Vec<u8> {
        let line = Line {
            v: version,
            g: kind.group.clone(),
            r: kind.resource.clone(),
            ns: key.0.clone(),
            n: key.1.clone(),
            o: object,
        };
        let mut bytes = serde_json::to_vec(&line).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    fn parse(line: &[u8]) -> Option<Self> {
        let parsed: Line<'_> = serde_json::from_slice(line.strip_suffix(b"\n")?).ok()?;
        let object = match parsed.o {
            Some(raw) => Some((
                serde_json::from_str(raw.get()).ok()?,
                raw.get().as_bytes().to_vec(),
            )),
            None => None,
        };
        Some(Self {
            version: parsed.v,
            kind: GroupResource {
                group: parsed.g,
                resource: parsed.r,
            },
            key: (parsed.ns, parsed.n),
            object,
        })
    }
}

/// The open log.
pub(super) struct Log {
    path: PathBuf,
    file: File,
    bytes: u64,
    compacted: u64,
}

impl Log {
    /// Opens or makes the log of a directory; answers its records and the highest version in it.
    pub(super) fn open(dir: &Path) -> io::Result<(Self, Vec<Record>, u64)> {
        fs::create_dir_all(dir)?;
        let path = dir.join(FILE);
        let mut file = private().read(true).append(true).create(true).open(&path)?;
        let (mut records, mut good, mut version) = (Vec::new(), 0_u64, 0);
        let mut reader = BufReader::new(&file);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line)?;
            if read == 0 {
                break;
            }
            let Some(record) = Record::parse(&line) else {
                if reader.read_until(b'\n', &mut Vec::new())? > 0 {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        format!(
                            "{} is damaged at byte {good}, not only at its end",
                            path.display()
                        ),
                    ));
                }
                tracing::warn!(path = %path.display(), "dropping a record that was not written to its end");
                break;
            };
            good += read as u64;
            version = version.max(record.version);
            // A record without a resource only carries the version (the head of a compacted log).
            if !record.kind.resource.is_empty() {
                records.push(record);
            }
        }
        file.set_len(good)?;
        file.seek(SeekFrom::End(0))?;
        Ok((
            Self {
                path,
                file,
                bytes: good,
                compacted: good,
            },
            records,
            version,
        ))
    }

    /// Appends one line. A failed append leaves the log as it was.
    pub(super) fn append(&mut self, line: &[u8]) -> io::Result<()> {
        if let Err(error) = self.file.write_all(line) {
            self.file.set_len(self.bytes)?;
            return Err(error);
        }
        self.bytes += line.len() as u64;
        Ok(())
    }

    /// Whether the log has grown enough to be rewritten.
    pub(super) fn wants_compaction(&self) -> bool {
        self.bytes > SMALL && self.bytes > self.compacted.saturating_mul(GROWTH)
    }

    /// Rewrites the log to hold just what lives. The last appended record is not yet part of `live` and is kept.
    pub(super) fn compact<'a>(
        &mut self,
        version: u64,
        live: impl Iterator<Item = (&'a GroupResource, &'a ObjectKey, Arc<Value>)>,
    ) -> io::Result<()> {
        let last = self.last_line()?;
        let fresh = self.path.with_extension("new");
        let file = private().write(true).create(true).truncate(true).open(&fresh)?;
        let mut out = BufWriter::new(file);
        out.write_all(&Record::line(
            version,
            &GroupResource::new("", ""),
            &(String::new(), String::new()),
            None,
        ))?;
        for (kind, key, value) in live {
            let text = serde_json::to_vec(&*value)?;
            let at = super::object::resource_version(&value).parse().unwrap_or(version);
            out.write_all(&Record::put(at, kind, key, &text))?;
        }
        out.write_all(&last)?;
        let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        fs::rename(&fresh, &self.path)?;
        self.file = OpenOptions::new().append(true).open(&self.path)?;
        self.bytes = self.file.metadata()?.len();
        self.compacted = self.bytes;
        Ok(())
    }

    fn last_line(&self) -> io::Result<Vec<u8>> {
        let mut last = Vec::new();
        let mut reader = BufReader::new(File::open(&self.path)?);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 {
            std::mem::swap(&mut last, &mut line);
            line.clear();
        }
        Ok(last)
    }
}

/// Files of the state directory hold Secrets: nobody else may read them.
fn private() -> OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}
