//! `snapshot cat`: the content of one file, byte for byte.

use std::ffi::OsString;

use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::inside::entry::{shown, typed};
use crate::cli::inside::{ReaderArgs, Session, Sink, pick};
use crate::cli::objects::Files;
use crate::output::ui::Ui;
use crate::reader::op::{Bytes, Op};

/// Print a file of a Snapshot, byte for byte
///
/// What arrives is compared with a hash that is computed beside the repository; a difference ends with code 3.
///
/// Examples:
///   kubectl kubestash snapshot cat bc/sample-backup config/app.yaml
///   kubectl kubestash snapshot cat bc/sample-backup /kubestash-data/logo.png > logo.png
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct CatArgs {
    /// The Snapshot (NAME, snapshot/NAME or snapshot NAME), or bc/NAME or repo/NAME for its latest; - reads its name or
    /// manifest from standard input
    #[arg(value_name = "SNAPSHOT", required = true)]
    snapshot: OsString,
    /// The file
    #[arg(value_name = "PATH", required_unless_present = "filename")]
    path: Vec<OsString>,
    #[command(flatten)]
    files: Files,
    /// The component that it is in, where several have such a file
    #[arg(long, value_name = "NAME")]
    component: Option<String>,
    #[command(flatten)]
    reader: ReaderArgs,
}

struct Out<'u>(&'u Ui);

impl Sink for Out<'_> {
    fn data(&mut self, data: &[u8]) -> Result<(), CliError> {
        Ok(self.0.bytes(data)?)
    }
}

/// Prints.
///
/// # Errors
/// When the file does not exist or did not arrive as it is.
pub async fn run(args: &CatArgs, context: &Context) -> Result<Exit, CliError> {
    let components: Vec<String> = args.component.iter().cloned().collect();
    let words: Vec<&OsString> = std::iter::once(&args.snapshot).chain(&args.path).collect();
    let (picked, rest) = pick::first(context, &words, &args.files, &components).await?;
    let asked = match rest.as_slice() {
        [path] => typed(path),
        other => {
            return Err(CliError::usage(format!(
                "name one file of the Snapshot, not {}",
                other.len()
            ))
            .hint("`kubectl kubestash snapshot download SNAPSHOT PATH… -o tar` prints several as an archive"));
        }
    };
    let places = picked.places(Some(&asked));
    if places.is_empty() {
        return Err(picked.nowhere(&asked));
    }
    let namespace = context.namespace().await?;
    let session = Session::open(context, &args.reader, namespace, picked.repository()).await?;
    let mut holders = Vec::new();
    let mut missing = None;
    for (part, path) in &places {
        if places.len() == 1 {
            holders.push((part, path));
            break;
        }
        // Several components may hold it: which do, before a byte is printed.
        let op = Op::Ls {
            id: part.id.clone(),
            path: Bytes(path.clone()),
            recursive: false,
        };
        match session.answer(&part.component_path, op).await {
            Ok(_) => holders.push((part, path)),
            Err(error) if error.exit == Exit::NothingMatched => missing = Some(error),
            Err(error) => return Err(error),
        }
    }
    let (part, path) = match holders.as_slice() {
        [one] => *one,
        [] => return Err(missing.unwrap_or_else(|| picked.nowhere(&asked))),
        several => {
            let names: Vec<&str> = several.iter().map(|(p, _)| p.component.as_str()).collect();
            return Err(
                CliError::usage(format!("several components have {}", shown(&asked)))
                    .hint(format!("choose one with --component: {}", names.join(", "))),
            );
        }
    };
    let op = Op::Cat {
        id: part.id.clone(),
        path: Bytes(path.clone()),
    };
    session
        .ask(&part.component_path, op, &mut Out(&context.ui))
        .await?;
    Ok(Exit::Ok)
}
