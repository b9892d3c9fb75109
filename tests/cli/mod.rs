//! The plugin as its users meet it: the built program, as a process, against a served API server. Each test has a
//! namespace of its own and compares standard output, standard error and the exit code.

mod backup;
mod completion;
mod convert;
mod create;
mod create_pty;
mod doctor;
mod errors_page;
mod familiar;
mod general;
mod install;
mod logs;
mod naming;
mod restore;
mod run;
mod running;
mod shapes;
mod snapshot;
mod status;
mod uninstall;
mod validate;
mod why;
mod world;

pub(crate) use shapes::valid as documents;
