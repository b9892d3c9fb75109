//! `create`: wizards that also script. What they have in common: where the answers come from, who is asked for the rest,
//! what is shown before anything is written, and how it is applied.

mod apply;
pub mod backup;
mod common;
mod finish;
pub(in crate::cli::commands) mod prove;
pub mod restore;
pub mod retention;
mod review;
pub mod storage;

use std::future::Future;
use std::io::IsTerminal;
use std::sync::Arc;

use serde_json::Value;

use self::common::{Common, DryRun, read};
use self::finish::{Answers, Order, Wizard, finish};
use crate::cli::context::Context;
use crate::cli::error::{CliError, Exit};
use crate::cli::report;
use crate::cluster::{Cluster, Error, ListOptions, kinds};
use crate::wizard::asking::{Asking, any};
use crate::wizard::found::{Found, fetch};
use crate::wizard::prompter::{Choice, Halt, Nobody, Prompter, Question, choose};
use crate::wizard::terminal::Terminal;
use crate::wizard::walk::Walk;

/// Create storages, retention policies, backups and restores, step by step or by flags
///
/// On a terminal they ask for what is missing, explain each choice, and show everything before it is written. In scripts
/// every answer is a flag or stands in --answers FILE; a missing one is an error that names all of them.
#[derive(Debug, clap::Args)]
pub struct CreateArgs {
    #[command(subcommand)]
    command: CreateCommand,
}

#[derive(Debug, clap::Subcommand)]
enum CreateCommand {
    Storage(Box<storage::StorageArgs>),
    Retention(Box<retention::RetentionArgs>),
    Backup(Box<backup::BackupArgs>),
    Restore(Box<restore::RestoreArgs>),
}

/// Runs one of the wizards.
///
/// # Errors
/// What the command could not do.
pub async fn run(args: &CreateArgs, context: &Context) -> Result<Exit, CliError> {
    listen_for_interrupts();
    let ended = match &args.command {
        CreateCommand::Storage(args) => Box::pin(storage::run(args, context)).await,
        CreateCommand::Retention(args) => Box::pin(retention::run(args, context)).await,
        CreateCommand::Backup(args) => Box::pin(backup::run(args, context)).await,
        CreateCommand::Restore(args) => Box::pin(restore::run(args, context)).await,
    };
    said(context, ended)
}

/// Whoever left is told that nothing was changed.
fn said(context: &Context, ended: Result<Exit, CliError>) -> Result<Exit, CliError> {
    if ended
        .as_ref()
        .is_err_and(|e| e.silent && e.exit == Exit::Interrupted)
    {
        context.ui.say("Nothing was changed.");
    }
    ended
}

/// Does a step that an interrupt simply ends.
async fn or_interrupted<T, E>(step: impl Future<Output = Result<T, E>>) -> Result<T, CliError>
where
    CliError: From<E>,
{
    tokio::select! {
        done = step => Ok(done?),
        _ = tokio::signal::ctrl_c() => Err(left()),
    }
}

/// Once somebody listens, Ctrl-C no longer ends the process by itself: the terminal is put in order and what was made for
/// a short while is removed first.
fn listen_for_interrupts() {
    tokio::spawn(async {
        // Only the registration matters; whoever waits for an interrupt listens on its own.
        let _ = tokio::signal::ctrl_c().await;
    });
}

/// Whether somebody can be asked: both ends of the conversation are terminals, and this is no CI run.
pub(crate) fn somebody_there() -> bool {
    let ci = std::env::var_os("CI").is_some_and(|v| !v.is_empty());
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal() && !ci
}

/// A wizard with complete answers: its state, and the person who gave them, where one did.
struct Filled<S> {
    state: S,
    walk: Walk<S>,
    person: Option<Terminal>,
}

/// Takes a wizard from its answers to its end.
///
/// # Errors
/// What is missing or refused, and that the person left.
async fn run_wizard<W: Wizard>(
    wizard: &W,
    flags: &Answers<W>,
    common: &Common,
    context: &Context,
) -> Result<Exit, CliError> {
    let ended = run_at(wizard, flags, common, context, None).await?;
    ended.ok_or_else(left)
}

/// The same, in a namespace that is settled already. `None`: the person went back before the first question.
async fn run_at<W: Wizard>(
    wizard: &W,
    flags: &Answers<W>,
    common: &Common,
    context: &Context,
    settled: Option<&str>,
) -> Result<Option<Exit>, CliError> {
    let order = Order {
        wizard,
        answers: common.answers(flags)?,
        common,
    };
    let own = context.namespace().await?;
    let cluster = context.cluster().await?;
    // Whoever gave no answer at all has not thought of the namespace either.
    let ask =
        settled.is_none() && somebody_there() && context.flags.namespace.is_none() && !any(&order.answers);
    let mut first = settled.is_none();
    loop {
        let namespace = if ask {
            ask_namespace(context, cluster, own, first).await?
        } else {
            None
        };
        first = first && namespace.is_none();
        let chosen = namespace.as_deref().or(settled).unwrap_or(own);
        let found = look::<W::State>(context, cluster, chosen).await?;
        let state = wizard.begin(order.answers.clone(), found);
        match Box::pin(fill(common, context, state, first)).await? {
            Some(filled) => return finish(&order, context, filled).await.map(Some),
            None if namespace.is_some() => first = false,
            None => return Ok(None),
        }
    }
}

/// What the cluster has for a wizard.
async fn look<S: Asking>(
    context: &Context,
    cluster: &Cluster,
    namespace: &str,
) -> Result<Arc<Found>, CliError> {
    let found = fetch(cluster, namespace, context.now, S::OURS, S::BUILTIN);
    Ok(Arc::new(or_interrupted(found).await?))
}

/// Asks for the namespace, where there are several; `None` where there is nothing to choose.
async fn ask_namespace(
    context: &Context,
    cluster: &Cluster,
    own: &str,
    first: bool,
) -> Result<Option<String>, CliError> {
    let listed: Result<Vec<Value>, Error> = or_interrupted(async {
        Ok::<_, CliError>(cluster.list(&kinds::NAMESPACE, &ListOptions::default()).await)
    })
    .await?;
    let mut names: Vec<String> = match listed {
        Ok(objects) => objects
            .iter()
            .map(|o| report::text(o, "/metadata/name").to_owned())
            .collect(),
        // Whoever may not list them works in the one that the context names.
        Err(Error::Forbidden { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    names.retain(|name| !name.starts_with("kube-"));
    if names.len() < 2 {
        return Ok(None);
    }
    let choices: Vec<Choice> = names
        .iter()
        .map(|name| Choice::new(name, if name == own { "of the current context" } else { "" }))
        .collect();
    let question = Question::new(
        "-n",
        "Namespace",
        "Where the application is, and the objects that back it up.",
    );
    let mut person = Terminal::new(context.ui.style());
    if first {
        person.greet();
    }
    match choose(&mut person, &question, &choices, Some(own)) {
        Ok(name) => Ok(Some(name)),
        Err(Halt::Failed(message, _)) => Err(CliError::new(Exit::Error, message)),
        Err(_) => Err(left()),
    }
}

/// Goes through the steps: with nobody first, so that a complete set of flags asks nothing; with a person where something
/// is missing or was asked for. `None`: the person went back before the first question.
async fn fill<S: Asking>(
    common: &Common,
    context: &Context,
    state: S,
    first: bool,
) -> Result<Option<Filled<S>>, CliError> {
    let mut nobody = Nobody::default();
    let mut alone = state.clone();
    let outcome = Walk::default().run(&mut alone, S::STEPS, &mut nobody);
    let ask = somebody_there() && (common.interactive || !nobody.missing.is_empty());
    if !ask {
        if let Err(Halt::Failed(message, hint)) = outcome {
            return Err(refused(&message, hint));
        }
        if !nobody.missing.is_empty() {
            return Err(missing(S::COMMAND, &nobody));
        }
        for (flag, value) in nobody.assumed.iter().filter(|(_, value)| !value.is_empty()) {
            context.ui.detail(&format!("{flag} {value} (by default)"));
        }
        return Ok(Some(Filled {
            state: alone,
            walk: Walk::default(),
            person: None,
        }));
    }
    let person = Terminal::new(context.ui.style());
    if first {
        person.greet();
    }
    let mut filled = Filled {
        state,
        walk: Walk::default(),
        person: Some(person),
    };
    Ok(ask_rest(&mut filled, context).await?.then_some(filled))
}

/// Asks until everything is answered. What cannot be right is said, and the last question asked again. False: the person
/// went back before the first question.
async fn ask_rest<S: Asking>(filled: &mut Filled<S>, context: &Context) -> Result<bool, CliError> {
    loop {
        let Some(person) = filled.person.as_mut() else {
            return Ok(true);
        };
        match filled.walk.run(&mut filled.state, S::STEPS, person) {
            Ok(()) => return Ok(true),
            Err(Halt::Quit | Halt::Missing) => return Err(left()),
            Err(Halt::Back) => return Ok(false),
            Err(Halt::MakeStorage) => make_storage(filled, context).await?,
            Err(Halt::Failed(message, hint)) => {
                let error = refused(&message, hint);
                let Some(answers) = filled.walk.back(&mut filled.state) else {
                    return Err(error);
                };
                person.refuse(answers, &error.message, &error.causes, &error.hints);
            }
        }
    }
}

/// Makes a storage on the way, and looks again at what there is.
async fn make_storage<S: Asking>(filled: &mut Filled<S>, context: &Context) -> Result<(), CliError> {
    let namespace = filled.state.found().namespace.clone();
    if storage::on_the_way(context, &namespace).await?.is_some() {
        let found = look::<S>(context, context.cluster().await?, &namespace).await?;
        filled.walk.each(|state| state.look_again(found.clone()));
        filled.state.look_again(found);
        // What stands above is the storage's: going back takes away only what comes from here on.
        filled.person = Some(Terminal::new(context.ui.style()));
    } else if let Some(person) = filled.person.as_mut() {
        person.forget(1);
    }
    Ok(())
}

/// The person left; nothing was written.
fn left() -> CliError {
    CliError {
        silent: true,
        ..CliError::new(Exit::Interrupted, "nothing was changed")
    }
}

/// An answer that cannot be right.
fn refused(message: &str, hint: Option<String>) -> CliError {
    let missing = [" not found", " has no Snapshot", " has no component"];
    let exit = if missing.iter().any(|words| message.contains(words)) {
        Exit::NothingMatched
    } else {
        Exit::Precondition
    };
    // A flag with a wrong value is a mistake of the command line.
    let exit = if message.starts_with("--") || message.starts_with('"') {
        Exit::Usage
    } else {
        exit
    };
    let error = CliError::new(exit, message);
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// One error for everything that is missing.
fn missing(command: &str, nobody: &Nobody) -> CliError {
    let flags: Vec<&str> = nobody.missing.iter().map(|(flag, _)| flag.as_str()).collect();
    let mut error = CliError::new(
        Exit::Usage,
        format!(
            "there is no terminal to ask on, and {} missing: {}",
            is_are(flags.len()),
            flags.join(", ")
        ),
    );
    for (flag, hint) in &nobody.missing {
        error = error.cause(format!("{flag}: {hint}"));
    }
    error.hint(format!(
        "`kubectl kubestash create {command} --help` explains every flag; on a terminal the command asks for them"
    ))
}

fn is_are(count: usize) -> String {
    if count == 1 {
        "one answer is".to_owned()
    } else {
        format!("{count} answers are")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_error_names_everything_that_is_missing() {
        let mut nobody = Nobody::default();
        nobody.missing = vec![
            ("--target".into(), "what to back up".into()),
            ("--storage".into(), "one of a, b".into()),
        ];
        let error = missing("backup", &nobody);
        assert_eq!(error.exit, Exit::Usage);
        assert_eq!(
            error.message,
            "there is no terminal to ask on, and 2 answers are missing: --target, --storage."
        );
        assert_eq!(
            error.causes,
            ["--target: what to back up", "--storage: one of a, b"]
        );
    }
}
