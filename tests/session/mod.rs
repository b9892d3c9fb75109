//! The operator's controllers against the sandbox's API server, with a node and a storage side that are played.

mod backups;
mod claims;
mod counting;
mod hooks;
mod interrupted;
mod quiet;
mod restores;
mod world;
