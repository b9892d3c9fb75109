//! `sandbox demo`: a real backup and a real restore in a minute, with no cluster.
//!
//! It is a script, not a simulation: it types the commands a user would type (this very program, as child processes), applies
//! manifests a user would write, and then looks at the files itself. What it prints on standard output is its story; it exits
//! non-zero if a single byte or attribute differs.

mod compare;
mod data;
mod manifests;
mod server;
mod story;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use self::compare::Picture;
use self::server::ObjectServer;
use self::story::Story;
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::output::human;

/// Show a real backup and a real restore, with no cluster, in under a minute
///
/// Starts a sandbox of its own, installs the operator there, backs up a StatefulSet and a volume with some thousand files
/// of every kind twice, destroys the data, restores it and compares every byte, mode, owner, time and link. Backups go to
/// an S3 server on this computer if there is one (`moto_server` on PATH, or KUBESTASH_S3_SERVER), to a volume otherwise.
///
/// Examples:
///   kubectl kubestash sandbox demo
///   kubectl kubestash sandbox demo --keep
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct DemoArgs {
    /// Leave the sandbox running afterwards, to look around in it
    #[arg(long)]
    keep: bool,
    /// How many small files each volume gets
    #[arg(long, default_value_t = 1500, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(320..=200_000))]
    files: u32,
}

/// One volume of the demo: what is in it and where its directory is.
struct Volume {
    claim: &'static str,
    directory: PathBuf,
}

/// The volumes that are backed up.
const CLAIMS: [&str; 3] = ["data-shop-0", "data-shop-1", "documents"];

/// Runs the demo.
///
/// # Errors
/// When a step fails; the story up to there says which, and where the logs are.
pub(super) async fn run(args: &DemoArgs, context: &Context) -> Result<Exit, CliError> {
    let start = Instant::now();
    let directory = tempfile::Builder::new()
        .prefix("kubestash-demo-")
        .tempdir()
        .map_err(|e| {
            CliError::new(Exit::Error, "no directory for the demo could be made").cause(e.to_string())
        })?;
    let story = Story::new(context, directory.path());
    let result = tell(args, &story, start).await;
    let failed = !matches!(result, Ok(Exit::Ok));
    if failed || args.keep {
        let kept = directory.keep();
        if failed {
            story.stop_sandbox();
            context
                .ui
                .say(&format!("The sandbox's state and logs are in {}", kept.display()));
        }
    } else {
        story.stop_sandbox();
    }
    result
}

async fn tell(args: &DemoArgs, story: &Story<'_>, start: Instant) -> Result<Exit, CliError> {
    story.chapter("A Kubernetes in this program")?;
    story.run(&["sandbox", "up", "--dir", story.sandbox_dir()])?;
    story.run(&["install", "--quiet"])?;
    story.chapter("An application with data")?;
    let (volumes, made) = application(args, story).await?;
    story.line(&format!(
        "{} files, {} in 3 volumes: modes, owners, links, sparse, empty, large, odd names",
        made.files,
        human::bytes(made.bytes)
    ))?;
    let _server = storage(story).await?;
    story.chapter("Two backups")?;
    let first = story.first_backups(&["shop", "documents"]).await?;
    story.line(&format!(
        "the first backups started by themselves and took {}",
        seconds(first)
    ))?;
    for (volume, seed) in volumes.iter().zip(101..) {
        data::change(&volume.directory, seed).map_err(|e| story.io("changing the data", &e))?;
    }
    story.run(&["backup", "now", "shop", "-n", manifests::NAMESPACE, "--wait"])?;
    story.run(&["backup", "now", "documents", "-n", manifests::NAMESPACE, "--wait"])?;
    story.run(&["snapshot", "list", "-n", manifests::NAMESPACE])?;
    let before = pictures(story, &volumes)?;
    story.chapter("Disaster")?;
    for volume in &volumes {
        story.command(&format!("rm -rf {}/*", volume.directory.display()))?;
        data::destroy(&volume.directory).map_err(|e| story.io("destroying the data", &e))?;
    }
    story.chapter("Restore")?;
    let restore = Instant::now();
    story.run(&["restore", "shop", "-n", manifests::NAMESPACE, "--wait"])?;
    story.run(&["restore", "documents", "-n", manifests::NAMESPACE, "--wait"])?;
    let restore = restore.elapsed();
    verdict(story, &volumes, &before, restore, start)?;
    if let Some(differences) = differences(&volumes, &before, story)? {
        return Err(
            CliError::new(Exit::Failed, "the restored data differs from what was backed up")
                .cause(differences),
        );
    }
    what_next(args, story)
}

/// Applies the application, waits for it and fills its volumes.
async fn application(args: &DemoArgs, story: &Story<'_>) -> Result<(Vec<Volume>, data::Made), CliError> {
    story.apply("application.yaml", manifests::APPLICATION).await?;
    let mut volumes = Vec::new();
    let mut total = data::Made::default();
    for (claim, seed) in CLAIMS.into_iter().zip(1_u64..) {
        let directory = story.volume_directory(claim).await?;
        let made = data::fill(
            &directory,
            args.files,
            seed * 0x9E37_79B9,
            nix::unistd::geteuid().is_root(),
        )
        .map_err(|e| story.io("writing the data", &e))?;
        total.files += made.files;
        total.bytes += made.bytes;
        volumes.push(Volume { claim, directory });
    }
    Ok((volumes, total))
}

/// Applies the storage and what backs up, on an S3 server where there is one.
async fn storage(story: &Story<'_>) -> Result<Option<ObjectServer>, CliError> {
    let server = ObjectServer::start(story.directory()).await;
    let storage = match &server {
        Some(server) => {
            story.line(&format!(
                "backups go to an S3 server on this computer: {}",
                server.endpoint()
            ))?;
            manifests::s3(server.endpoint(), server::BUCKET, server::KEY, server::SECRET)
        }
        None => {
            story.line("no S3 server here (moto_server), so backups go to a volume")?;
            manifests::LOCAL.to_owned()
        }
    };
    story.apply("storage.yaml", &storage).await?;
    let password: String = ulid::Ulid::generate().to_string();
    story
        .apply("backup.yaml", &manifests::configurations(&password))
        .await?;
    Ok(server)
}

fn pictures(story: &Story<'_>, volumes: &[Volume]) -> Result<Vec<Picture>, CliError> {
    volumes
        .iter()
        .map(|v| Picture::of(&v.directory).map_err(|e| story.io("reading the data", &e)))
        .collect()
}

fn differences(
    volumes: &[Volume],
    before: &[Picture],
    story: &Story<'_>,
) -> Result<Option<String>, CliError> {
    let mut found = Vec::new();
    for ((volume, then), now) in volumes.iter().zip(before).zip(pictures(story, volumes)?) {
        found.extend(
            then.differences(&now, 10)
                .into_iter()
                .map(|d| format!("{}: {d}", volume.claim)),
        );
    }
    Ok((!found.is_empty()).then(|| found.join("; ")))
}

fn verdict(
    story: &Story<'_>,
    volumes: &[Volume],
    before: &[Picture],
    restore: Duration,
    start: Instant,
) -> Result<(), CliError> {
    story.chapter("Proof")?;
    let mut entries = 0;
    for ((volume, then), now) in volumes.iter().zip(before).zip(pictures(story, volumes)?) {
        let differences = then.differences(&now, usize::MAX);
        entries += then.len();
        let word = if differences.is_empty() {
            "identical"
        } else {
            "DIFFERENT"
        };
        story.line(&format!(
            "{:<12} {:>6} files, directories and links: {word}",
            volume.claim,
            then.len()
        ))?;
    }
    story.line(&format!(
        "compared {entries} entries: bytes, modes, owners, times, links. Restored in {}; everything took {}.",
        seconds(restore),
        seconds(start.elapsed())
    ))
}

fn what_next(args: &DemoArgs, story: &Story<'_>) -> Result<Exit, CliError> {
    story.chapter("What to try next")?;
    let lines: &[String] = if args.keep {
        &[
            format!("export KUBECONFIG={}", story.kubeconfig().display()),
            "kubectl get backupsession,snapshots.storage.kubestash.com,restoresession -n demo".to_owned(),
            "kubectl kubestash status -n demo".to_owned(),
            format!("kubectl kubestash sandbox down --dir {}", story.sandbox_dir()),
        ]
    } else {
        &[
            "kubectl kubestash sandbox demo --keep    # the same, and stays for you to look around"
                .to_owned(),
            "kubectl kubestash sandbox up             # an empty one".to_owned(),
            "kubectl kubestash install                # on your own cluster".to_owned(),
        ]
    };
    for line in lines {
        story.command(line)?;
    }
    Ok(Exit::Ok)
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
