//! Pure decisions: facts and the time go in, decisions come out.

pub mod naming;
pub mod schedule;
pub mod size;
