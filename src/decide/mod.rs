//! Pure decisions: facts and the time go in, decisions come out.

pub mod addon;
pub mod admission;
pub mod backup;
pub mod backup_configuration;
pub mod cancel;
pub mod components;
pub mod conditions;
pub mod explain;
pub mod job;
pub mod naming;
pub mod phases;
pub mod place;
pub mod plan;
pub mod repository_status;
pub mod restore;
pub mod resync;
pub mod retention;
pub mod retention_job;
pub mod schedule;
pub mod size;
pub mod storage_job;
pub mod target;
pub mod trigger;
pub mod usage_policy;
pub mod variables;
pub mod volumes;
