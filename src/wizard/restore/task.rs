//! How it is restored: the Addon, its task, and which files.

use std::collections::BTreeMap;

use super::State;
use crate::api::addons::Task;
use crate::cluster::kinds;
use crate::wizard::prompter::{Choice, Prompter, Question, Reply, fail, fail_with};

/// The Addon and the task that restore, with the task's definition where it could be read.
pub(super) fn chosen(state: &State) -> Option<(String, String, Option<&Task>)> {
    let (kind, ..) = state.target()?;
    let backup = state.backup_addon();
    let name = state
        .answers
        .addon
        .clone()
        .or_else(|| backup.map(|a| a.name.clone()))
        .unwrap_or_else(|| {
            if *kind == kinds::CLAIM {
                "pvc-addon"
            } else {
                "workload-addon"
            }
            .to_owned()
        });
    let made_by = backup
        .and_then(|a| a.tasks.first())
        .map_or("logical-backup", |t| t.name.as_str());
    let wanted = state
        .answers
        .task
        .clone()
        .unwrap_or_else(|| format!("{made_by}-restore"));
    let addon = state
        .found
        .addons
        .iter()
        .find(|a| a.metadata.name.as_deref() == Some(&name));
    let task = addon.and_then(|a| a.spec.restore_tasks.iter().find(|t| t.name == wanted));
    Some((name, wanted, task))
}

pub(super) fn params(state: &State) -> Result<BTreeMap<String, String>, String> {
    let mut params = crate::wizard::backup::pairs(&state.answers.param)?;
    for (name, patterns) in [
        ("include", &state.answers.include),
        ("exclude", &state.answers.exclude),
    ] {
        let patterns: Vec<&str> = patterns
            .iter()
            .map(String::as_str)
            .filter(|p| !p.is_empty())
            .collect();
        if !patterns.is_empty() {
            params.insert(name.to_owned(), patterns.join(","));
        }
    }
    Ok(params)
}

pub(super) fn task_step(state: &mut State, _: &mut dyn Prompter) -> Reply<()> {
    let given = params(state).or_else(fail)?;
    let Some((name, wanted, task)) = chosen(state) else {
        return Ok(());
    };
    let known = state
        .found
        .addons
        .iter()
        .find(|a| a.metadata.name.as_deref() == Some(&name));
    let Some(addon) = known else {
        if state.found.read(&kinds::ADDON) {
            return fail_with(
                format!("Addon {name} not found"),
                "`kubectl kubestash install` installs the catalog",
            );
        }
        return Ok(());
    };
    let Some(task) = task else {
        let names: Vec<&str> = addon.spec.restore_tasks.iter().map(|t| t.name.as_str()).collect();
        return fail_with(
            format!("Addon {name} has no task {wanted}"),
            format!("it restores with: {}", names.join(", ")),
        );
    };
    let unknown = given
        .keys()
        .find(|key| !task.parameters.iter().any(|p| p.name == **key));
    if let Some(unknown) = unknown {
        let names: Vec<&str> = task.parameters.iter().map(|p| p.name.as_str()).collect();
        return fail_with(
            format!("task {wanted} of Addon {name} has no parameter {unknown}"),
            format!("it has: {}", names.join(", ")),
        );
    }
    Ok(())
}

pub(super) fn files(state: &mut State, prompter: &mut dyn Prompter) -> Reply<()> {
    let Some((_, _, Some(task))) = chosen(state) else {
        return Ok(());
    };
    let parameters = task.parameters.clone();
    let given = !state.answers.include.is_empty() || !state.answers.exclude.is_empty();
    if !parameters.iter().any(|p| p.name == "include") || (given && !state.files_asked) {
        return Ok(());
    }
    if !state.files_asked {
        let choices = [
            Choice::new("everything", "all files of the components"),
            Choice::new("some files", "only those that match patterns"),
            Choice::new("all but some", "everything except what matches patterns"),
        ];
        let question = Question::new("--include", "Which files", "");
        let index = prompter.select(&question, &choices, Some(0))?;
        state.files_asked = true;
        state.files = match index {
            1 => vec!["include".to_owned()],
            2 => vec!["exclude".to_owned()],
            _ => Vec::new(),
        };
        return Ok(());
    }
    let Some(name) = state.files.pop() else {
        return Ok(());
    };
    let usage = parameters
        .into_iter()
        .find(|p| p.name == name)
        .map(|p| p.usage)
        .unwrap_or_default();
    let question = Question::new(&format!("--{name}"), "Patterns, separated by commas", usage);
    let text = prompter.text(&question, None, &|t| {
        if t.is_empty() {
            Err("write at least one, such as *.conf".to_owned())
        } else {
            Ok(String::new())
        }
    })?;
    if name == "include" {
        state.answers.include = vec![text];
    } else {
        state.answers.exclude = vec![text];
    }
    Ok(())
}
