//! The operator against the sandbox's API server: YAML in, YAML out.

mod backup_storage;
mod bucket;
mod cluster;
mod google;
mod local;
mod monitoring;
mod repository;
mod webhook;
