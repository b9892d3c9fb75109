//! The data mover with real restic: Jobs as processes, as Kubernetes starts them, against a directory or an S3 server.

mod api_server;
mod azure;
mod backup;
mod content;
mod fixture;
mod killed;
mod restore;
mod retention;
mod s3;
mod storage;
mod tree;
