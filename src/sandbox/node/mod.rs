//! The node: each container is a local process in its own mount namespace.

pub mod init;
