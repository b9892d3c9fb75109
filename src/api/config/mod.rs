//! Documents that are not objects of the API server: what the operator hands to Jobs and what they hand back, and what
//! is kept in a backup storage.

mod backend_meta;
pub mod job_plan;
pub mod job_result;
pub mod reader;

pub use backend_meta::BackendMeta;
