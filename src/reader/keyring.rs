//! Keys of repositories in the memory of the reader pod's own process.
//!
//! Deriving a key from a password takes half a second by design. The pod that has done it once keeps the key for as long as
//! it lives, a quarter of an hour, and gives it to the processes of later questions over a socket that only its own user can
//! open. It is asked for by a hash of repository and password: whoever does not have the password gets nothing, and a
//! password that was changed is proven anew.

use std::path::PathBuf;

use super::source::Source;

/// How many keys are kept; a pod serves one Repository, which has one per component.
#[cfg(unix)]
const KEPT: usize = 256;
/// The longest line.
#[cfg(unix)]
const LINE: u64 = 4096;
/// Nobody waits longer than this for the other side.
#[cfg(unix)]
const LIMIT: std::time::Duration = std::time::Duration::from_secs(2);

/// Where the key of one repository is kept.
#[derive(Clone)]
#[cfg_attr(not(unix), allow(dead_code))]
pub(super) struct Place {
    socket: PathBuf,
    name: String,
}

impl Place {
    /// Of the repository in a directory below the storage's prefix.
    pub(super) fn of(source: &Source, dir: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("kubestash reader: name of a kept key");
        hasher.update(&(dir.len() as u64).to_be_bytes());
        hasher.update(dir.as_bytes());
        hasher.update(source.password.expose().as_bytes());
        Place {
            socket: socket(&source.scratch),
            name: hasher.finalize().to_string(),
        }
    }
}

fn socket(scratch: &std::path::Path) -> PathBuf {
    scratch.join("keyring")
}

#[cfg(unix)]
mod unix {
    use std::collections::HashMap;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::sync::{Arc, Mutex, PoisonError};

    use serde::{Deserialize, Serialize};
    use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
    use tokio::net::{UnixListener, UnixStream};

    use super::{KEPT, LIMIT, LINE, Place, socket};
    use crate::backend::SecretText;

    /// What is said on the socket; without a key it is a question.
    #[derive(Serialize, Deserialize)]
    struct Said {
        name: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
    }

    type Keys = Arc<Mutex<HashMap<String, SecretText>>>;

    impl Place {
        /// The key, if the pod has it.
        pub(in crate::reader) async fn ask(&self) -> Option<String> {
            let answer = self.talk(None).await?;
            Some(answer.trim_end().to_owned()).filter(|key| !key.is_empty())
        }

        /// Gives the key to the pod; where that fails it is derived again.
        pub(in crate::reader) async fn keep(&self, key: String) {
            self.talk(Some(key)).await;
        }

        async fn talk(&self, key: Option<String>) -> Option<String> {
            let said = Said {
                name: self.name.clone(),
                key,
            };
            let mut line = serde_json::to_vec(&said).ok()?;
            line.push(b'\n');
            let talk = async {
                let mut stream = UnixStream::connect(&self.socket).await.ok()?;
                stream.write_all(&line).await.ok()?;
                let mut answer = String::new();
                stream.take(LINE).read_to_string(&mut answer).await.ok()?;
                Some(answer)
            };
            tokio::time::timeout(LIMIT, talk).await.ok()?
        }
    }

    /// Keeps keys for as long as the returned value lives.
    pub(in crate::reader) fn serve(scratch: &Path) -> std::io::Result<Serving> {
        let path = socket(scratch);
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        let keys = Keys::default();
        Ok(Serving(tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let keys = keys.clone();
                tokio::spawn(async move { tokio::time::timeout(LIMIT, answer(stream, keys)).await });
            }
        })))
    }

    /// See [`serve`].
    pub(in crate::reader) struct Serving(tokio::task::JoinHandle<()>);

    impl Drop for Serving {
        fn drop(&mut self) {
            self.0.abort();
        }
    }

    async fn answer(mut stream: UnixStream, keys: Keys) {
        let mut line = String::new();
        let (read, mut write) = stream.split();
        if BufReader::new(read.take(LINE))
            .read_line(&mut line)
            .await
            .is_err()
        {
            return;
        }
        let Ok(said) = serde_json::from_str::<Said>(&line) else {
            return;
        };
        let known = {
            let mut keys = keys.lock().unwrap_or_else(PoisonError::into_inner);
            match said.key {
                Some(key) => {
                    if keys.len() < KEPT || keys.contains_key(&said.name) {
                        keys.insert(said.name, SecretText::new(key));
                    }
                    None
                }
                None => keys.get(&said.name).cloned(),
            }
        };
        if let Some(key) = known {
            let _ = write.write_all(key.expose().as_bytes()).await;
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        fn place(scratch: &Path, name: &str) -> Place {
            Place {
                socket: socket(scratch),
                name: name.into(),
            }
        }

        #[tokio::test]
        async fn a_key_is_given_to_whoever_knows_its_name() {
            let scratch = tempfile::tempdir().unwrap();
            let one = place(scratch.path(), "one");
            assert_eq!(one.ask().await, None, "nobody serves yet");
            one.keep("lost".into()).await;
            let serving = serve(scratch.path()).unwrap();
            assert_eq!(one.ask().await, None);
            one.keep("key of one".into()).await;
            assert_eq!(one.ask().await.as_deref(), Some("key of one"));
            assert_eq!(place(scratch.path(), "other").ask().await, None);
            let mode = std::fs::metadata(socket(scratch.path()))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600);
            drop(serving);
        }
    }
}

#[cfg(unix)]
pub(super) use self::unix::serve;

/// Readers run in Linux containers.
#[cfg(not(unix))]
impl Place {
    pub(super) async fn ask(&self) -> Option<String> {
        None
    }

    pub(super) async fn keep(&self, _key: String) {}
}
