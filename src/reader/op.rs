//! The words between the plugin and the reader.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::sync::mpsc::UnboundedReceiver;

use super::Trouble;
use super::pattern::Choice;
use crate::api::config::job_result::JobCause;

/// The longest request.
const REQUEST: u64 = 4 << 20;

/// A path as the bytes it is; base64 on the way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bytes(pub Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Bytes).map_err(serde::de::Error::custom)
    }
}

impl Bytes {
    /// A name as the system has it.
    #[must_use]
    pub fn from_os(name: &std::ffi::OsStr) -> Self {
        #[cfg(unix)]
        {
            Bytes(std::os::unix::ffi::OsStrExt::as_bytes(name).to_vec())
        }
        #[cfg(not(unix))]
        {
            Bytes(name.to_string_lossy().into_owned().into_bytes())
        }
    }

    /// As restic's argument.
    #[must_use]
    pub fn to_os(&self) -> std::ffi::OsString {
        #[cfg(unix)]
        {
            std::os::unix::ffi::OsStringExt::from_vec(self.0.clone())
        }
        #[cfg(not(unix))]
        {
            String::from_utf8_lossy(&self.0).into_owned().into()
        }
    }
}

/// One question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// Directory of the restic repository below the Repository's path.
    pub component_path: String,
    /// What to do.
    pub op: Op,
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Op {
    /// Entries as [`super::names::Entry`] lines, the directory itself first.
    Ls {
        /// restic's snapshot id.
        id: String,
        /// The directory or file.
        path: Bytes,
        /// Everything below it.
        recursive: bool,
    },
    /// The content of one file.
    Cat {
        /// restic's snapshot id.
        id: String,
        /// The file.
        path: Bytes,
    },
    /// A tar archive of a directory without its end, or the content of a file: [`Control::Start`] says which.
    Archive {
        /// restic's snapshot id.
        id: String,
        /// The directory or file.
        path: Bytes,
        /// What of the directory.
        #[serde(default)]
        choice: Choice,
        /// What stands before each path in the archive.
        #[serde(default)]
        prefix: Bytes,
        /// Where an earlier archive broke off.
        #[serde(default)]
        resume: Option<Resume>,
        /// The version of that archive; one of another version cannot be gone on with.
        #[serde(default)]
        version: String,
    },
    /// The SHA-256 of each file in a directory: one JSON line with `path` (base64) and `sha256` each.
    Sums {
        /// restic's snapshot id.
        id: String,
        /// The directory.
        path: Bytes,
    },
    /// Everything at and below a directory of the volume that the pod shows, as lines of [`Op::Ls`]; where something cannot
    /// be read, a line with its path and `unread`.
    LiveList {
        /// The directory.
        path: Bytes,
    },
    /// As [`Op::Sums`], of the volume that the pod shows.
    LiveSums {
        /// The directory.
        path: Bytes,
    },
    /// The pod that shows a volume is not needed any more.
    Leave,
    /// restic's matches by snapshot, one JSON array.
    Find {
        /// restic's snapshot ids; all when empty.
        ids: Vec<String>,
        /// restic's patterns.
        patterns: Vec<Bytes>,
        /// Small letters match capitals.
        ignore_case: bool,
        /// Matches also tell `content`: equal where files of one repository hold the same, and symbolic links lead to the
        /// same. restic does not say it, so it is missing where restic had to be asked.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        contents: bool,
    },
    /// restic's changes, one JSON line each.
    Diff {
        /// The older.
        from: String,
        /// The newer.
        to: String,
    },
    /// restic's snapshots, one JSON array.
    Snapshots,
    /// How large the repository is: restic's JSON.
    Stats,
    /// Checks the structure, with `readData` every byte: restic's JSON lines.
    Check {
        /// Read all data, too.
        #[serde(rename = "readData")]
        read_data: bool,
    },
    /// The keys: one JSON array.
    Keys,
    /// Adds a key and proves that it opens the repository; prints `{"id": …}`.
    KeyAdd {
        /// The new password.
        password: Secret,
        /// What the key's user is called.
        user: String,
        /// What the key's host is called.
        host: String,
    },
    /// Proves that a password opens the repository; prints `{"id": …}` of the key that does.
    KeyProve {
        /// The password.
        password: Secret,
    },
    /// Removes a key. The repository is opened with `password` where one is given, which keeps that key.
    KeyRemove {
        /// Its id.
        id: String,
        /// A password that will still open the repository.
        password: Secret,
    },
    /// The locks with the records of their holders: one [`LockLine`] each.
    Locks,
    /// Removes one lock whose holder the asker has proven gone.
    LockRemove {
        /// Its id.
        id: String,
    },
}

impl Op {
    /// Whether it is about a volume, and no repository is opened.
    #[must_use]
    pub fn is_live(&self) -> bool {
        matches!(self, Op::LiveList { .. } | Op::LiveSums { .. } | Op::Leave)
    }
}

/// Where an archive broke off: at an entry of which so many bytes are there, or after the whole entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// The entry.
    pub path: Bytes,
    /// How many bytes of it are there; `None`: it is complete. The archive then begins with what is missing of it, under a
    /// header that says how much that is.
    pub done: Option<u64>,
}

/// A password on its way through standard input; shown nowhere.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

/// A lock, as people need to judge it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LockLine {
    /// restic's id of it.
    pub id: String,
    /// The host that took it: a pod's name.
    pub host: String,
    /// When; restic refreshes it every few minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<jiff::Timestamp>,
    /// Whether it keeps everybody else out.
    pub exclusive: bool,
    /// The record of the pod beside the repository, where there is one that fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<crate::restic::locks::Holder>,
    /// Whether the record is of the cluster that the reader runs in.
    #[serde(default)]
    pub ours: bool,
}

/// A message beside the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "camelCase")]
pub enum Control {
    /// Nothing to say, but it still works.
    Alive,
    /// What [`Op::Archive`] is about to send.
    #[serde(rename_all = "camelCase")]
    Start {
        /// The entry that was asked for, as one line of [`Op::Ls`].
        entry: String,
        /// Whether the archive goes on where the earlier one broke off.
        resumed: bool,
        /// The version of the archive.
        version: String,
    },
    /// A hash of everything written so far.
    Checkpoint {
        /// How many bytes.
        bytes: u64,
        /// BLAKE3, hexadecimal.
        hash: String,
    },
    /// All was written.
    End {
        /// How many bytes.
        bytes: u64,
        /// BLAKE3, hexadecimal.
        hash: String,
    },
    /// It failed.
    Failed {
        /// The class.
        cause: JobCause,
        /// A sentence.
        text: String,
    },
}

impl Request {
    /// Reads the first line.
    ///
    /// # Errors
    /// When it is no request.
    pub async fn read(from: impl AsyncRead + Unpin) -> Result<Self, Trouble> {
        let mut line = String::new();
        let read = BufReader::new(from.take(REQUEST)).read_line(&mut line).await;
        let broken = |why: String| {
            Trouble::new(
                JobCause::Misconfigured,
                format!("the request cannot be read: {why}; are plugin and operator of the same version?"),
            )
        };
        read.map_err(|e| broken(e.to_string()))?;
        serde_json::from_str(&line).map_err(|e| broken(format!("{} at column {}", kind_of(&e), e.column())))
    }
}

/// serde's own words would quote the request, and with it a password.
fn kind_of(error: &serde_json::Error) -> &'static str {
    match error.classify() {
        serde_json::error::Category::Io => "it did not arrive",
        serde_json::error::Category::Syntax => "it is no JSON",
        serde_json::error::Category::Data => "it asks for something unknown",
        serde_json::error::Category::Eof => "it ends too early",
    }
}

/// Writes messages to standard error as they come, and says every 15 seconds that the process is alive: somebody on the
/// way may cut a connection on which nothing moves.
pub async fn speak(mut heard: UnboundedReceiver<Control>) {
    let Ok(mut err) = super::streams::messages() else {
        return;
    };
    loop {
        let quiet = std::time::Duration::from_secs(15);
        let message = match tokio::time::timeout(quiet, heard.recv()).await {
            Ok(Some(message)) => message,
            Ok(None) => return,
            Err(_) => Control::Alive,
        };
        let Ok(mut line) = serde_json::to_vec(&message) else {
            return;
        };
        line.push(b'\n');
        if err.write_all(&line).await.is_err() || err.flush().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_travels_whole_and_a_broken_one_is_not_quoted() {
        let request = Request {
            component_path: "repository/v1/daily/dump".into(),
            op: Op::Ls {
                id: "ab".into(),
                path: Bytes(b"/a\xff\n".to_vec()),
                recursive: true,
            },
        };
        let line = serde_json::to_string(&request).unwrap();
        assert_eq!(Request::read(line.as_bytes()).await.unwrap(), request);
        let error = Request::read(&br#"{"componentPath":"x","op":{"kind":"keyProve","password":7}}"#[..])
            .await
            .unwrap_err();
        assert!(!error.message.contains('7'), "{}", error.message);
    }

    #[test]
    fn passwords_are_not_shown() {
        let op = Op::KeyProve {
            password: Secret("hunter2".into()),
        };
        assert!(!format!("{op:?}").contains("hunter2"));
    }
}
