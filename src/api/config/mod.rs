//! Documents that are not objects of the API server: what the operator hands to Jobs and what they hand back.

pub mod job_plan;
pub mod job_result;
