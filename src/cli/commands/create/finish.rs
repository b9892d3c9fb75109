//! From complete answers to objects in the cluster: review, proof, apply, wait.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::review::{Decision, review};
use super::{Common, DryRun, Filled, apply, ask_rest, left};
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::report;
use crate::cluster::{Cluster, Kind};
use crate::output::human;
use crate::output::wrap::fold_command;
use crate::wizard::asking::Asking;
use crate::wizard::found::Found;
use crate::wizard::prompter::{Choice, Prompter, Question, choose};

/// One command, as far as it differs from the others: how its wizard begins, and what comes after the answers.
pub(super) trait Wizard {
    /// Its wizard.
    type State: Asking;
    /// The wizard before the first question.
    fn begin(&self, answers: Answers<Self>, found: Arc<Found>) -> Self::State;
    /// What speaks against these objects, in sentences; they are written all the same.
    fn beware(&self, state: &Self::State, objects: &[Value]) -> Vec<String> {
        let _ = (state, objects);
        Vec::new()
    }
    /// Tries what is to be written, before it is: the objects themselves, as a person may have changed what the answers made.
    async fn prove(&self, objects: &[Value], context: &Context, cluster: &Cluster) -> Result<(), CliError> {
        let _ = (objects, context, cluster);
        Ok(())
    }
    /// What writing means although the proof failed.
    fn all_the_same(&self) -> &'static str {
        "it will not be Ready until it is mended"
    }
    /// Says what matters once it is written, and waits where that was asked for. What was written may differ from the
    /// answers: it tells.
    async fn after(
        &self,
        state: &Self::State,
        written: &Written<'_>,
        context: &Context,
        cluster: &Cluster,
    ) -> Result<Exit, CliError>;
}

/// The answers of a command.
pub(super) type Answers<W> = <<W as Wizard>::State as Asking>::Answers;

/// A command with all that was given: its answers, those of the file included, and how it is to be run.
pub(super) struct Order<'o, W: Wizard> {
    /// The command.
    pub(super) wizard: &'o W,
    /// The answers before the first question.
    pub(super) answers: Answers<W>,
    /// How it is run.
    pub(super) common: &'o Common,
}

/// What was written, and whether to wait for it.
pub(super) struct Written<'w> {
    /// The objects as the server has them, without the values of Secrets.
    pub(super) objects: &'w [Value],
    /// The bound, where there is something to wait for.
    pub(super) wait: Option<Duration>,
}

impl Written<'_> {
    /// The objects of a kind that were written.
    pub(super) fn of(&self, kind: &'static Kind) -> impl Iterator<Item = &Value> {
        of_kind(self.objects, kind)
    }
}

/// The objects of a kind among those of a command.
pub(super) fn of_kind<'o>(objects: &'o [Value], kind: &'static Kind) -> impl Iterator<Item = &'o Value> {
    objects
        .iter()
        .filter(move |object| report::text(object, "/kind") == kind.kind)
}

/// The namespace and name of an object.
pub(super) fn place(object: &Value) -> (&str, &str) {
    (
        report::text(object, "/metadata/namespace"),
        report::text(object, "/metadata/name"),
    )
}

/// Takes a wizard to its end.
pub(super) async fn finish<W: Wizard>(
    order: &Order<'_, W>,
    context: &Context,
    mut filled: Filled<W::State>,
) -> Result<Exit, CliError> {
    let Order { wizard, common, .. } = *order;
    loop {
        let objects = filled
            .state
            .manifests()
            .ok_or_else(|| CliError::new(Exit::Error, "the answers are not complete"))?;
        if let Some(person) = filled.person.as_mut() {
            let line = filled.state.command_line(&order.answers);
            person.say(&format!(
                "\n{}\n  {}",
                context.ui.style().strong("The same without questions"),
                context
                    .ui
                    .style()
                    .code(&fold_command(&line, person.columns().min(104) - 4))
            ));
        }
        for warning in wizard.beware(&filled.state, &objects) {
            context.ui.warn(&warning);
        }
        if common.dry_run != DryRun::None {
            return dry(common, context, &objects).await;
        }
        let cluster = context.cluster().await?;
        let Some(mut person) = filled.person.take() else {
            wizard.prove(&objects, context, cluster).await?;
            return write(wizard, common, context, &filled, &objects, false).await;
        };
        let decision = review(context, cluster, &mut person, objects).await?;
        filled.person = Some(person);
        match decision {
            Decision::Quit => return Err(left()),
            Decision::Saved => return Ok(Exit::Ok),
            Decision::Back => go_back(context, &mut filled, 1).await?,
            Decision::Apply(objects) => {
                match proven(wizard, &objects, context, cluster, &mut filled).await? {
                    Proven::Write => return write(wizard, common, context, &filled, &objects, true).await,
                    Proven::Back => go_back(context, &mut filled, 0).await?,
                }
            }
        }
    }
}

/// Asks the last question again. `taken`: how many answers are off the screen already.
async fn go_back<S: Asking>(context: &Context, filled: &mut Filled<S>, taken: usize) -> Result<(), CliError> {
    let Some(answers) = filled.walk.back(&mut filled.state) else {
        return Err(left());
    };
    if let Some(person) = filled.person.as_mut() {
        person.forget(answers.saturating_sub(taken));
    }
    if ask_rest(filled, context).await? {
        Ok(())
    } else {
        Err(left())
    }
}

enum Proven {
    Write,
    Back,
}

/// Proves until it is well, or the person decides otherwise.
async fn proven<W: Wizard>(
    wizard: &W,
    objects: &[Value],
    context: &Context,
    cluster: &Cluster,
    filled: &mut Filled<W::State>,
) -> Result<Proven, CliError> {
    loop {
        let Err(error) = wizard.prove(objects, context, cluster).await else {
            return Ok(Proven::Write);
        };
        if error.exit == Exit::Interrupted {
            return Err(error);
        }
        context.ui.error(&error.message, &error.causes, &error.hints);
        let Some(person) = filled.person.as_mut() else {
            return Err(error);
        };
        let choices = [
            Choice::new("change the answers", ""),
            Choice::new("try again", "once it is mended"),
            Choice::new("apply all the same", wizard.all_the_same()),
            Choice::new("quit", "change nothing"),
        ];
        let question = Question::new("", "What now", "Nothing has been written yet.");
        let chosen = choose(person, &question, &choices, None);
        // The proof has written to the screen, and its reason is to stay there.
        person.settle();
        match chosen.as_deref() {
            Ok("change the answers") | Err(crate::wizard::prompter::Halt::Back) => return Ok(Proven::Back),
            Ok("try again") => {}
            Ok("apply all the same") => return Ok(Proven::Write),
            _ => return Err(left()),
        }
    }
}

async fn dry(common: &Common, context: &Context, objects: &[Value]) -> Result<Exit, CliError> {
    let format = common.format();
    if common.dry_run == DryRun::Client {
        if objects.iter().any(|o| report::text(o, "/kind") == "Secret") && !format.is_table() {
            context
                .ui
                .warn("the output holds the values of a Secret: keep it out of logs and repositories");
        }
        apply::print(context, &format, objects.to_vec())?;
        return Ok(Exit::Ok);
    }
    let cluster = context.cluster().await?;
    apply::all(context, cluster, objects, &format, true).await?;
    Ok(Exit::Ok)
}

async fn write<W: Wizard>(
    wizard: &W,
    common: &Common,
    context: &Context,
    filled: &Filled<W::State>,
    objects: &[Value],
    person: bool,
) -> Result<Exit, CliError> {
    let cluster = context.cluster().await?;
    let format = common.format();
    let done = apply::all(context, cluster, objects, &format, false).await?;
    let written = Written {
        objects: &done,
        wait: (common.wait || person).then_some(common.timeout),
    };
    wizard.after(&filled.state, &written, context, cluster).await
}

/// Waits until `status.phase` of an object is Ready.
///
/// # Errors
/// [`Exit::TimedOut`] with the reason that the object gives, [`Exit::Failed`] for an object that is invalid.
pub(super) async fn ready(
    context: &Context,
    cluster: &Cluster,
    kind: &'static Kind,
    name: &(&str, &str),
    limit: Duration,
    reason: impl Fn(&Value) -> String,
) -> Result<(), CliError> {
    let (namespace, name) = *name;
    let progress = context.ui.progress();
    progress.step(&format!("waiting until {} {name} is Ready", kind.kind));
    let mut last = Value::Null;
    let watched = async {
        let mut changes = crate::cluster::watch::object(cluster, kind, namespace, name);
        while let Some(change) = changes.recv().await {
            let Some(object) = change? else { continue };
            match object.pointer("/status/phase").and_then(Value::as_str) {
                Some("Ready") => return Ok(true),
                Some("Invalid") => {
                    last = object;
                    return Ok(false);
                }
                _ => {
                    let why = reason(&object);
                    if !why.is_empty() {
                        progress.tick(&format!("waiting until {} {name} is Ready: {why}", kind.kind));
                    }
                    last = object;
                }
            }
        }
        Err(CliError::new(
            Exit::Error,
            format!("{} {name} can no longer be watched", kind.kind),
        ))
    };
    let ended = tokio::select! {
        ended = tokio::time::timeout(limit, watched) => ended,
        _ = tokio::signal::ctrl_c() => {
            return Err(CliError::new(Exit::Interrupted, format!("{} {name} was written and is not Ready yet", kind.kind))
                .hint("`kubectl kubestash status` shows how it goes on"));
        }
    };
    drop(progress);
    let late = || {
        let limit = human::go_duration(limit);
        CliError::new(
            Exit::TimedOut,
            format!("{} {name} was not Ready within {limit}", kind.kind),
        )
    };
    match ended {
        Ok(Ok(true)) => {
            let done = context
                .ui
                .style()
                .good(&format!("{} {name} is Ready.", kind.kind));
            context.ui.say(&done);
            Ok(())
        }
        Ok(Ok(false)) => Err(
            CliError::new(Exit::Failed, format!("{} {name} is not valid", kind.kind)).cause(reason(&last)),
        ),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(late().cause(reason(&last)).hint(format!(
            "`kubectl kubestash why {}/{name} -n {namespace}` follows it to the cause",
            kind.kind.to_lowercase()
        ))),
    }
}

/// The message of the first condition of an object that is False.
pub(super) fn condition(object: &Value) -> String {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
    let broken = conditions
        .into_iter()
        .flatten()
        .find(|c| c.get("status").and_then(Value::as_str) == Some("False"));
    broken
        .map(|c| report::text(c, "/message").to_owned())
        .unwrap_or_default()
}
