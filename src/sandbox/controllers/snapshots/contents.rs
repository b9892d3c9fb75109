//! VolumeSnapshotContents of our driver: the copies themselves.

use std::sync::Arc;

use kube::{Resource, ResourceExt};

use super::types::{SnapshotError, VolumeSnapshotContent, VolumeSnapshotContentStatus};
use super::{CONTENT_PROTECTION, Sources, is_ours};
use crate::sandbox::controllers::engine::{
    Controller, Error, Key, Next, Queue, Recorder, is_terminating, now,
};
use crate::sandbox::controllers::volumes::{Directories, amount, exists, path_of};

/// The controller of contents.
pub(in super::super) struct Contents {
    sources: Sources,
    directories: Directories,
    events: Recorder,
}

impl Contents {
    /// Listens to contents; returns the controller and its queue.
    pub(in super::super) fn new(
        sources: &Sources,
        directories: &Directories,
        events: &Recorder,
    ) -> (Self, Arc<Queue>) {
        let queue = Arc::new(Queue::default());
        let inbox = Arc::clone(&queue);
        sources.contents.on_change(move |_, new| {
            if let Some(content) = new.filter(|content| is_ours(content)) {
                inbox.add(Key::of(content.as_ref()));
            }
        });
        // A content that was deleted first waits for its VolumeSnapshot.
        let inbox = Arc::clone(&queue);
        sources.snapshots.on_change(move |old, new| {
            let going = new.is_none_or(|snapshot| is_terminating(snapshot.as_ref()));
            let status = new
                .or(old)
                .filter(|_| going)
                .and_then(|snapshot| snapshot.status.clone());
            if let Some(content) = status.and_then(|status| status.bound_volume_snapshot_content_name) {
                inbox.add(Key::new("", content));
            }
        });
        let controller = Self {
            sources: sources.clone(),
            directories: directories.clone(),
            events: events.of("csi-snapshotter"),
        };
        (controller, queue)
    }

    /// Takes the picture, or finds the one that is named.
    async fn take(&self, content: &VolumeSnapshotContent) -> Result<VolumeSnapshotContentStatus, Error> {
        let source = &content.spec.source;
        let mut status = content.status.clone().unwrap_or_default();
        if let Some(handle) = &source.snapshot_handle {
            if !is_plain(handle) || !exists(&self.directories.snapshot(handle)).await {
                return Err(Error::Other(format!("there is no snapshot {handle}")));
            }
            status.snapshot_handle = Some(handle.clone());
        } else {
            let name = source.volume_handle.clone().unwrap_or_default();
            let volume = self.sources.volumes.get(&Key::new("", &name));
            let path = volume.as_ref().and_then(|volume| path_of(volume));
            let (Some(volume), Some(path)) = (volume, path) else {
                return Err(Error::Other(format!(
                    "volume {name} is not a directory of this node"
                )));
            };
            let handle = content.name_any();
            let time = jiff::Timestamp::now().as_nanosecond();
            self.directories
                .copy(&path, &self.directories.snapshot(&handle))
                .await?;
            let size = volume
                .spec
                .as_ref()
                .and_then(|spec| spec.capacity.as_ref()?.get("storage"));
            // Sizes are whole numbers of bytes far below 2^53.
            #[allow(clippy::cast_possible_truncation)]
            let bytes = size.map(|size| amount(size) as i64);
            status.snapshot_handle = Some(handle);
            status.restore_size = bytes;
            status.creation_time = i64::try_from(time).ok();
        }
        status.ready_to_use = Some(true);
        status.error = None;
        Ok(status)
    }

    async fn let_go(&self, content: &VolumeSnapshotContent) -> Result<(), Error> {
        let handle = content
            .status
            .as_ref()
            .and_then(|status| status.snapshot_handle.clone());
        let handle = handle.unwrap_or_else(|| content.name_any());
        if content.spec.deletion_policy == "Delete" && is_plain(&handle) {
            self.directories
                .remove(&self.directories.snapshot(&handle))
                .await?;
        }
        let mut free = content.clone();
        free.finalizers_mut()
            .retain(|finalizer| finalizer != CONTENT_PROTECTION);
        self.sources.contents.update(content, &free).await
    }

    /// Whether the VolumeSnapshot still stands between the content and its end.
    fn is_held(&self, content: &VolumeSnapshotContent) -> bool {
        let reference = &content.spec.volume_snapshot_ref;
        let key = Key::new(
            reference.namespace.clone().unwrap_or_default(),
            reference.name.clone().unwrap_or_default(),
        );
        let snapshot = self.sources.snapshots.get(&key);
        snapshot.is_some_and(|snapshot| {
            snapshot.meta().uid == reference.uid && !is_terminating(snapshot.as_ref())
        })
    }
}

impl Controller for Contents {
    const NAME: &'static str = "volumesnapshotcontent";

    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        let Some(content) = self.sources.contents.get(key).filter(|content| is_ours(content)) else {
            return Ok(None);
        };
        if is_terminating(content.as_ref()) {
            if !self.is_held(&content) {
                self.let_go(&content).await?;
            }
            return Ok(None);
        }
        if content.status.as_ref().and_then(|status| status.ready_to_use) == Some(true) {
            return Ok(None);
        }
        let mut next = content.as_ref().clone();
        match self.take(&content).await {
            Ok(status) => {
                next.status = Some(status);
                self.sources.contents.update_status(&content, &next).await?;
                Ok(None)
            }
            Err(error) => {
                let status = next.status.get_or_insert_default();
                let message = format!("Failed to check and update snapshot content: {error}");
                status.ready_to_use = Some(false);
                if status.error.as_ref().and_then(|error| error.message.as_ref()) != Some(&message) {
                    status.error = Some(SnapshotError {
                        message: Some(message.clone()),
                        time: Some(now()),
                    });
                    self.events
                        .warning(content.as_ref(), "SnapshotCreationFailed", message);
                }
                self.sources.contents.update_status(&content, &next).await?;
                Err(error)
            }
        }
    }
}

/// Whether the handle is a plain name, so that it cannot lead out of the directory of snapshots.
fn is_plain(handle: &str) -> bool {
    !handle.is_empty() && !handle.contains('/') && !matches!(handle, "." | "..")
}
