//! What every `create` takes besides its answers: where those come from, and what becomes of the manifests.

use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cli::error::{CliError, Exit};
use crate::output::format::Format;
use crate::output::human;
use crate::wizard::answers;

/// How a wizard is run.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Common {
    /// Take answers from a YAML file whose keys are the names of the flags; - is standard input
    #[arg(long, value_name = "FILE|-")]
    pub(super) answers: Option<String>,
    /// Ask also where defaults would do
    #[arg(short, long)]
    pub(super) interactive: bool,
    /// With `client`, print what would be applied; with `server`, let the API server check it too; nothing is stored
    #[arg(long, value_name = "none|client|server", default_value = "none")]
    pub(super) dry_run: DryRun,
    /// Form of the output: table, json, yaml, name, jsonpath=… or custom-columns=…
    #[arg(short, long, value_name = "FORMAT", value_parser = Format::parse)]
    pub(super) output: Option<Format>,
    /// Wait until it is ready (a restore: until it has ended)
    #[arg(long)]
    pub(super) wait: bool,
    /// How long to wait
    #[arg(long, value_name = "DURATION", value_parser = human::parse_duration, default_value = "5m")]
    pub(super) timeout: Duration,
}

/// Whether anything is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum DryRun {
    /// Apply.
    None,
    /// Print only.
    Client,
    /// Let the server judge.
    Server,
}

impl Common {
    /// The answers of the file under those of the command line.
    pub(super) fn answers<A: Serialize + DeserializeOwned + Default>(
        &self,
        flags: &A,
    ) -> Result<A, CliError> {
        let Some(path) = &self.answers else {
            return Ok(answers::over(flags, &A::default()));
        };
        let text = read(path)?;
        let file = answers::read(&text).map_err(|cause| {
            CliError::new(Exit::Usage, format!("the answers in {path} cannot be used")).cause(cause)
        })?;
        Ok(answers::over(flags, &file))
    }

    pub(super) fn format(&self) -> Format {
        let default = if self.dry_run == DryRun::Client {
            Format::Yaml
        } else {
            Format::Table
        };
        self.output.clone().unwrap_or(default)
    }
}

/// Reads a file, or standard input for `-`.
pub(super) fn read(path: &str) -> Result<String, CliError> {
    let text = if path == "-" {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(path)
    };
    text.map_err(|error| CliError::file(path, &error))
}
