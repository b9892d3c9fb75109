//! The journeys, end to end: the same scenarios in the sandbox and on any cluster. See `stage.rs` for how to choose.

mod create;
mod ctrl_c;
mod examples;
mod faults;
mod guides;
mod hooks;
mod inside;
mod journeys;
mod locks;
mod repos;
mod restoring;
mod running;
mod scene;
mod stage;
