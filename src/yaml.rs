//! YAML in and out: the only module that names the YAML crate.
