//! The only printer: streams, formats, tables, colours, human units.
//!
//! Data goes to standard output, talk to standard error, and nothing depends on colour alone. Commands hand values to
//! [`ui::Ui`] and [`format::Format`]; no other room prints.

pub mod columns;
pub mod format;
pub mod human;
pub mod jsonpath;
pub mod junit;
pub mod progress;
pub mod style;
pub mod table;
pub mod ui;
pub mod wrap;
