//! What is restored into: where it came from, something else in the namespace, or something elsewhere.

use super::{State, kind_of};
use crate::cluster::{Kind, kinds};
use crate::wizard::backup::parse_target;
use crate::wizard::prompter::{Choice, Prompter, Question, Reply, choose, fail, fail_with};
use crate::wizard::{names, target};

pub(super) fn target_step(state: &mut State, prompter: &mut dyn Prompter) -> Reply<()> {
    let Some(repository) = state.repository().cloned() else {
        return unknown_source(state, prompter);
    };
    let own = repository.spec.app_ref.clone();
    let own_kind = own.as_ref().and_then(kind_of);
    if let Some(text) = &state.answers.target {
        let (kind, name) = parse_target(text).or_else(fail)?;
        return fits(state, kind, name, own_kind);
    }
    let found = state.found.clone();
    if state.in_place {
        let Some((kind, None, name)) = state.target() else {
            return Ok(());
        };
        return fits(state, kind, &name, own_kind);
    }
    if state.elsewhere {
        return ask_elsewhere(state, own_kind, prompter);
    }
    let in_place = own
        .as_ref()
        .zip(own_kind)
        .map(|(own, kind)| format!("{}/{}", target::word(kind), own.name));
    let mut choices = Vec::new();
    if let Some(word) = &in_place {
        choices.push(Choice::new(
            word,
            "where it came from; files of the Snapshot replace those of their names",
        ));
    }
    let same_class =
        |kind: &Kind| own_kind.is_none_or(|own| (own == &kinds::CLAIM) == (kind == &kinds::CLAIM));
    choices.extend(
        found
            .targets
            .iter()
            .filter(|t| t.has_data() && same_class(t.kind) && Some(t.word()) != in_place)
            .map(|t| Choice::new(t.word(), t.detail.clone())),
    );
    const ELSEWHERE: &str = "in another namespace";
    choices.push(Choice::new(ELSEWHERE, ""));
    let mut question = Question::new(
        "--target",
        "Restore into",
        "It must exist. Files that the Snapshot does not have stay as they are.",
    );
    question.must = in_place.is_none();
    let chosen = choose(prompter, &question, &choices, in_place.as_deref())?;
    if chosen == ELSEWHERE {
        state.elsewhere = true;
    } else if Some(&chosen) == in_place.as_ref() {
        state.in_place = true;
    } else {
        state.answers.target = Some(chosen);
    }
    Ok(())
}

/// A Repository that cannot be read: what it is of is not known either.
fn unknown_source(state: &mut State, prompter: &mut dyn Prompter) -> Reply<()> {
    if state.answers.repo.is_none() {
        return Ok(());
    }
    if let Some(text) = &state.answers.target {
        return parse_target(text).map(|_| ()).or_else(fail);
    }
    let question = Question::new("--target", "Restore into", "As KIND/NAME.").must();
    let text = prompter.text(&question, None, &|t| parse_target(t).map(|_| String::new()))?;
    state.answers.target = Some(text);
    Ok(())
}

fn ask_elsewhere(state: &mut State, own: Option<&'static Kind>, prompter: &mut dyn Prompter) -> Reply<()> {
    let found = state.found.clone();
    if state.answers.target_namespace.is_none() {
        let choices: Vec<Choice> = found
            .namespaces
            .iter()
            .filter(|n| n.name != found.namespace)
            .map(|n| Choice::new(&n.name, ""))
            .collect();
        let question = Question::new("--target-namespace", "Namespace of the target", "");
        let chosen = if choices.is_empty() {
            prompter.text(&question, None, &|t| names::check(t).map(|()| String::new()))?
        } else {
            choose(prompter, &question, &choices, None)?
        };
        state.answers.target_namespace = Some(chosen);
        return Ok(());
    }
    let question = Question::new("--target", "Restore into", "As KIND/NAME; it must exist there.");
    let text = prompter.text(&question, None, &|t| {
        let (kind, _) = parse_target(t)?;
        class(kind, own).map(|()| String::new())
    })?;
    state.answers.target = Some(text);
    Ok(())
}

/// What was read from a claim goes into a claim, and what was read from a workload into a workload: their paths differ.
fn class(kind: &Kind, own: Option<&'static Kind>) -> Result<(), String> {
    match own {
        Some(own) if (own == &kinds::CLAIM) != (kind == &kinds::CLAIM) => Err(format!(
            "the backup was made of a {}, whose paths a {} does not have",
            own.kind, kind.kind
        )),
        _ => Ok(()),
    }
}

fn fits(state: &State, kind: &'static Kind, name: &str, own: Option<&'static Kind>) -> Reply<()> {
    class(kind, own).or_else(fail)?;
    let found = &state.found;
    let here = state
        .answers
        .target_namespace
        .as_ref()
        .is_none_or(|n| *n == found.namespace);
    if here && found.read(kind) && !found.targets.iter().any(|t| t.kind == kind && t.name == name) {
        return fail_with(
            format!("{} {name} in namespace {} not found", kind.kind, found.namespace),
            "create it first, or name another with --target KIND/NAME",
        );
    }
    Ok(())
}
