//! `-o tar`: everything that was asked for as one archive on standard output.

use super::Wanted;
use super::unit::{self, Unit};
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::inside::Sink;
use crate::cli::inside::entry::{Entry, shown};
use crate::cli::inside::pick::Picked;
use crate::output::ui::Ui;
use crate::reader::op::{Bytes, Op};
use crate::reader::tar;

/// Passes an archive on; a single file gets a header.
struct Out<'u> {
    ui: &'u Ui,
    prefix: &'u [u8],
    /// Zeroes that complete the last block of a single file.
    padding: usize,
}

impl Sink for Out<'_> {
    fn start(&mut self, entry: &str, _resumed: bool, _version: &str) -> Result<(), CliError> {
        let entry: Entry = serde_json::from_str(entry).map_err(|e| {
            CliError::new(Exit::Error, "the reader's answer makes no sense").cause(e.to_string())
        })?;
        if entry.is_file() {
            let path = [self.prefix, entry.bytes()].concat();
            self.ui.bytes(&tar::header(&entry, &path, b"", entry.size))?;
            self.padding = tar::padding(entry.size);
        }
        Ok(())
    }

    fn data(&mut self, data: &[u8]) -> Result<(), CliError> {
        Ok(self.ui.bytes(data)?)
    }
}

/// Writes the archive. Where there are several components, each is a directory in it.
///
/// # Errors
/// When a path does not exist, or something did not arrive as it is.
pub(super) async fn archive(
    picked: &Picked,
    wanted: &Wanted<'_>,
    context: &Context,
) -> Result<Exit, CliError> {
    let (session, units) = unit::open(picked, wanted, context).await?;
    for unit in &units {
        // Nothing in it may be chosen, and then it is left out.
        if unit.entries.is_empty() {
            continue;
        }
        let prefix = if wanted.by_component {
            unit.part.component.clone().into_bytes()
        } else {
            Vec::new()
        };
        let mut out = Out {
            ui: &context.ui,
            prefix: &prefix,
            padding: 0,
        };
        let op = Op::Archive {
            id: unit.part.id.clone(),
            path: Bytes(unit.path.clone()),
            choice: unit.choice.clone(),
            prefix: Bytes(prefix.clone()),
            resume: None,
            version: String::new(),
        };
        session.ask(&unit.part.component_path, op, &mut out).await?;
        let padding = vec![0; out.padding];
        context.ui.bytes(&padding)?;
    }
    context.ui.bytes(&tar::END)?;
    Ok(left_out(&units, context))
}

fn left_out(units: &[Unit], context: &Context) -> Exit {
    let mut exit = Exit::Ok;
    for entry in units.iter().flat_map(|u| &u.entries).filter(|e| !e.travels()) {
        let path = shown(entry.bytes());
        context
            .ui
            .warn(&format!("{path} is a device, socket or pipe and was left out"));
        exit = Exit::Partial;
    }
    exit
}
