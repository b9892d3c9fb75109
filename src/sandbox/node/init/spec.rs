//! What the node tells a container's first step: plain data, read from a file that only the sandbox's user can
//! read. It may hold secrets (the environment), so nothing here has a `Debug` that shows values.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Everything needed to start one container.
#[derive(Clone, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// An empty directory on the host that becomes the container's `/`: its writable layer.
    pub rootfs: PathBuf,
    /// The container's host name (the pod's name; restic writes it into its locks).
    pub hostname: String,
    /// How ids are mapped; `None` when the sandbox runs as root and needs no user namespace.
    pub user_namespace: Option<IdMap>,
    /// Directories of the host that every container sees, read-only.
    pub host_dirs: Vec<PathBuf>,
    /// What is mounted besides: volumes, the files of the image, the termination log.
    pub mounts: Vec<MountSpec>,
    /// Small files written into the writable layer, by absolute path (`/etc/hosts` …).
    pub files: Vec<(PathBuf, String)>,
    /// Give these volumes to this group before they are mounted (`securityContext.fsGroup`).
    pub fs_group: Option<FsGroup>,
    /// Mount `/` read-only at the end (`readOnlyRootFilesystem`).
    pub read_only_root: bool,
    /// Whether the command reads what others write to it.
    pub stdin: bool,
    /// What is opened as the command's standard input, a named pipe or a terminal; nothing is read where there is none.
    pub input: Option<PathBuf>,
    /// The process itself; with a terminal that is all its streams.
    pub process: ProcessSpec,
}

/// A directory or file of the host at a place in the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountSpec {
    /// Absolute path on the host.
    pub source: PathBuf,
    /// A path inside `source`; created as a directory when it is missing. It may not lead out of `source`.
    pub sub_path: Option<String>,
    /// Absolute path in the container.
    pub target: PathBuf,
    /// Whether writing is refused.
    pub read_only: bool,
    /// The source is kept in memory, and holds at most so many bytes.
    pub memory: Option<u64>,
}

/// A group that owns volumes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FsGroup {
    /// Group id inside the container.
    pub gid: u32,
    /// Host directories to give away, and whether only reading is given.
    pub volumes: Vec<(PathBuf, bool)>,
    /// Leave a volume alone whose top directory is right already (`fsGroupChangePolicy: OnRootMismatch`).
    pub on_root_mismatch: bool,
}

/// A process: who it is and what it executes.
#[derive(Clone, Serialize, Deserialize)]
pub struct ProcessSpec {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// The whole environment: nothing of the host's is inherited.
    pub env: Vec<(String, String)>,
    /// Working directory, created when missing.
    pub cwd: PathBuf,
    /// User id inside the container.
    pub uid: u32,
    /// Group id inside the container.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Bits of the capabilities a root process keeps.
    pub capabilities: u64,
    /// Whether standard input is a terminal that becomes the controlling one.
    pub tty: bool,
}

/// Which ids a user namespace knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum IdMap {
    /// Only the sandbox's own user and group, as 0.
    Single {
        /// The user's id on the host.
        uid: u32,
        /// The group's id on the host.
        gid: u32,
    },
    /// The own user as 0 and subordinate ranges from 1 on. The node runs `newuidmap` and `newgidmap`.
    Ranges {
        /// How many user ids exist inside, 0 included.
        uids: u32,
        /// How many group ids exist inside, 0 included.
        gids: u32,
    },
}

impl IdMap {
    /// Whether a user id exists inside.
    pub fn has_uid(&self, uid: u32) -> bool {
        match self {
            Self::Single { .. } => uid == 0,
            Self::Ranges { uids, .. } => uid < *uids,
        }
    }

    /// Whether a group id exists inside.
    pub fn has_gid(&self, gid: u32) -> bool {
        match self {
            Self::Single { .. } => gid == 0,
            Self::Ranges { gids, .. } => gid < *gids,
        }
    }
}

/// A command to run inside a container that runs already.
#[derive(Clone, Serialize, Deserialize)]
pub struct EnterSpec {
    /// The container's first process, as the host counts.
    pub pid: i32,
    /// Whether the container has a user namespace of its own.
    pub user_namespace: Option<IdMap>,
    /// The command.
    pub process: ProcessSpec,
}
