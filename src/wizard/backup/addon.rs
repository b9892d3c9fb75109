//! Who makes the backup, and with which parameters. Titles and explanations are the Addon's own usage texts.

use std::collections::BTreeMap;

use super::{State, pairs};
use crate::api::addons::{Addon, Task};
use crate::api::shared::ParameterDefinition;
use crate::cluster::{Kind, kinds};
use crate::decide::volumes;
use crate::wizard::found::Found;
use crate::wizard::prompter::{Choice, Prompter, Question, Reply, choose, fail, fail_with};

/// The Addon that the catalog has for a kind.
pub(in crate::wizard) fn by_kind(kind: &Kind) -> &'static str {
    if *kind == kinds::CLAIM {
        "pvc-addon"
    } else {
        "workload-addon"
    }
}

/// The Addon of a name; nothing where Addons cannot be read.
pub(in crate::wizard) fn find<'f>(found: &'f Found, name: &str) -> Reply<Option<&'f Addon>> {
    let known = found
        .addons
        .iter()
        .find(|a| a.metadata.name.as_deref() == Some(name));
    if known.is_none() && found.read(&kinds::ADDON) {
        let names: Vec<&str> = found
            .addons
            .iter()
            .filter_map(|a| a.metadata.name.as_deref())
            .collect();
        let hint = if names.is_empty() {
            "`kubectl kubestash install` installs the catalog".to_owned()
        } else {
            format!("there are: {}", names.join(", "))
        };
        return fail_with(format!("Addon {name} not found"), hint);
    }
    Ok(known)
}

/// A task among those of an Addon.
pub(in crate::wizard) fn task<'t>(tasks: &'t [Task], addon: &str, name: &str) -> Reply<&'t Task> {
    match tasks.iter().find(|t| t.name == name) {
        Some(task) => Ok(task),
        None => {
            let names: Vec<&str> = tasks.iter().map(|t| t.name.as_str()).collect();
            fail_with(
                format!("Addon {addon} has no task {name}"),
                format!("it has: {}", names.join(", ")),
            )
        }
    }
}

pub(super) fn addon(state: &mut State, prompter: &mut dyn Prompter) -> Reply<()> {
    let Some((kind, _)) = state.target() else {
        return Ok(());
    };
    let name = state
        .answers
        .addon
        .clone()
        .unwrap_or_else(|| by_kind(kind).to_owned());
    let found = state.found.clone();
    let Some(addon) = find(&found, &name)? else {
        return Ok(());
    };
    match &state.answers.task {
        Some(wanted) => task(&addon.spec.backup_tasks, &name, wanted).map(|_| ()),
        None => {
            let tasks = &addon.spec.backup_tasks;
            if tasks.len() < 2 {
                return Ok(());
            }
            let choices: Vec<Choice> = tasks.iter().map(|t| Choice::new(&t.name, describe(t))).collect();
            let question = Question::new(
                "--task",
                "How",
                format!("Addon {name} can back it up in several ways."),
            );
            state.answers.task = Some(choose(prompter, &question, &choices, Some(DEFAULT))?);
            Ok(())
        }
    }
}

/// The task of backups unless told otherwise.
const DEFAULT: &str = "logical-backup";

fn describe(task: &Task) -> &'static str {
    match task.name.as_str() {
        "logical-backup" => "the files, encrypted and deduplicated, into the storage",
        "volume-snapshot" => "snapshots of the volumes by their own storage system",
        "manifest-backup" => "the objects as YAML, without data",
        _ => "",
    }
}

/// The name of the Addon and the task's, with its definition where it could be read.
pub(super) fn chosen(state: &State) -> Option<(String, String, Option<&Task>)> {
    let (kind, _) = state.target()?;
    let name = state
        .answers
        .addon
        .clone()
        .unwrap_or_else(|| by_kind(kind).to_owned());
    let addon = state
        .found
        .addons
        .iter()
        .find(|a| a.metadata.name.as_deref() == Some(&name));
    let tasks = addon.map(|a| a.spec.backup_tasks.as_slice()).unwrap_or_default();
    let wanted = state.answers.task.clone().unwrap_or_else(|| match tasks {
        [only] => only.name.clone(),
        _ => DEFAULT.to_owned(),
    });
    let task = tasks.iter().find(|t| t.name == wanted);
    Some((name, wanted, task))
}

/// The parameters that were given, `--paths` and `--exclude` among them.
///
/// # Errors
/// When one is not written as KEY=VALUE.
pub(super) fn params(state: &State) -> Result<BTreeMap<String, String>, String> {
    let mut params = pairs(&state.answers.param)?;
    for (name, value) in [
        ("paths", &state.answers.paths),
        ("exclude", &state.answers.exclude),
    ] {
        if let Some(value) = value {
            params.insert(name.to_owned(), value.clone());
        }
    }
    Ok(params)
}

fn put(state: &mut State, name: &str, value: String) {
    match name {
        "paths" => state.answers.paths = Some(value),
        "exclude" => state.answers.exclude = Some(value),
        _ => state.answers.param.push(format!("{name}={value}")),
    }
}

fn flag(name: &str) -> String {
    match name {
        "paths" | "exclude" => format!("--{name}"),
        _ => format!("--param {name}=…"),
    }
}

fn ask(state: &mut State, parameter: &ParameterDefinition, prompter: &mut dyn Prompter) -> Reply<()> {
    let mounts: Vec<String> = state
        .found_target()
        .map(|t| t.mounts.iter().map(|m| m.path.clone()).collect())
        .unwrap_or_default();
    let reached = reached(state);
    let default = match parameter.name.as_str() {
        "paths" if !mounts.is_empty() => Some(mounts.join(",")),
        _ => parameter.default.clone(),
    };
    let required = parameter.required;
    let mut question = Question::new(&flag(&parameter.name), title(&parameter.name), &parameter.usage)
        .need(parameter.usage.clone());
    question.must = required && default.is_none();
    let fits = |text: &str| {
        if required && text.is_empty() {
            return Err("it cannot be empty".to_owned());
        }
        if parameter.name == "paths" {
            beside(text, &reached).map_or(Ok(()), |(why, hint)| Err(format!("{why}; {hint}")))?;
        }
        Ok(String::new())
    };
    let default = default.or_else(|| (!required).then(String::new));
    let value = prompter.text(&question, default.as_deref(), &fits)?;
    put(state, &parameter.name, value);
    Ok(())
}

/// Where the catalog's own Addons read of the target; nothing where the target or the Addon is not known.
fn reached(state: &State) -> Vec<String> {
    let Some(target) = state.found_target() else {
        return Vec::new();
    };
    match chosen(state) {
        Some((addon, _, _)) if addon == by_kind(target.kind) => target.reached.clone(),
        _ => Vec::new(),
    }
}

/// What is wrong with the first of `paths` that no backup could read, and what there is instead. A path above a mount is
/// fine: what is mounted below it is read.
fn beside(paths: &str, reached: &[String]) -> Option<(String, String)> {
    for path in paths.split(',').map(str::trim) {
        if !path.starts_with('/') {
            let hint = "such as /var/lib/data,/etc/app".to_owned();
            return Some(("paths begin with / and are separated by commas".to_owned(), hint));
        }
        let within = |mount: &String| volumes::within(path, mount) || volumes::within(mount, path);
        if !reached.is_empty() && !reached.iter().any(within) {
            return Some((
                format!("{path} lies outside every volume that is backed up"),
                format!("mounted are: {}", reached.join(", ")),
            ));
        }
    }
    None
}

fn title(name: &str) -> String {
    match name {
        "paths" => "Which paths".to_owned(),
        "exclude" => "Files to leave out".to_owned(),
        _ => name.to_owned(),
    }
}

pub(super) fn required(state: &mut State, prompter: &mut dyn Prompter) -> Reply<()> {
    let given = params(state).or_else(fail)?;
    let Some((addon, name, Some(task))) = chosen(state) else {
        return Ok(());
    };
    let unknown = given
        .keys()
        .find(|key| !task.parameters.iter().any(|p| p.name == **key));
    if let Some(unknown) = unknown {
        let known: Vec<&str> = task.parameters.iter().map(|p| p.name.as_str()).collect();
        return fail_with(
            format!("task {name} of Addon {addon} has no parameter {unknown}"),
            format!("it has: {}", known.join(", ")),
        );
    }
    if let Some(paths) = given.get("paths")
        && let Some((why, hint)) = beside(paths, &reached(state))
    {
        return fail_with(format!("--paths: {why}"), hint);
    }
    let open = task
        .parameters
        .iter()
        .find(|p| p.required && !given.contains_key(&p.name));
    match open.cloned() {
        Some(parameter) => ask(state, &parameter, prompter),
        None => Ok(()),
    }
}

pub(super) fn optional(state: &mut State, prompter: &mut dyn Prompter) -> Reply<()> {
    let given = params(state).or_else(fail)?;
    let Some((_, _, Some(task))) = chosen(state) else {
        return Ok(());
    };
    let open: Vec<ParameterDefinition> = task
        .parameters
        .iter()
        .filter(|p| !p.required && !given.contains_key(&p.name))
        .cloned()
        .collect();
    let Some(wanted) = &mut state.params_to_ask else {
        let choices: Vec<Choice> = open
            .iter()
            .map(|p| {
                let default = p.default.as_deref().filter(|d| !d.is_empty());
                let now = default.map(|d| format!(" (now: {d})")).unwrap_or_default();
                Choice::new(&p.name, format!("{}{now}", p.usage))
            })
            .collect();
        if choices.is_empty() {
            state.params_to_ask = Some(Vec::new());
            return Ok(());
        }
        let question = Question::new("--param", "Anything to change", "The defaults are good for most.");
        let chosen = prompter.several(&question, &choices, &vec![false; choices.len()])?;
        let names = chosen
            .into_iter()
            .filter_map(|i| open.get(i))
            .map(|p| p.name.clone())
            .collect();
        state.params_to_ask = Some(names);
        return Ok(());
    };
    let next = wanted
        .iter()
        .position(|name| open.iter().any(|p| p.name == *name));
    let Some(name) = next.map(|at| wanted.remove(at)) else {
        return Ok(());
    };
    match open.into_iter().find(|p| p.name == name) {
        Some(parameter) => ask(state, &parameter, prompter),
        None => Ok(()),
    }
}
