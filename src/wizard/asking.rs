//! What all wizards have in common, for whoever runs one: a state with answers, the steps that complete them, and the
//! manifests that follow from them.

use std::sync::Arc;

use clap::Args;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::answers::{command_line, given};
use super::found::Found;
use super::walk::Step;
use crate::cluster::Kind;

/// A wizard on its way.
pub trait Asking: Clone + 'static {
    /// Its answers: flags, answers file and state at once.
    type Answers: Args + Serialize + DeserializeOwned + Default + Clone;

    /// The word after `create`.
    const COMMAND: &'static str;
    /// Kinds of ours that its choices come from.
    const OURS: &'static [&'static Kind];
    /// Kinds of Kubernetes' own that they come from.
    const BUILTIN: &'static [&'static Kind];
    /// Its steps in order.
    const STEPS: &'static [Step<Self>];

    /// The answers so far.
    fn answers(&self) -> &Self::Answers;

    /// What the cluster has.
    fn found(&self) -> &Found;

    /// Takes what the cluster has now, after something was made in it.
    fn look_again(&mut self, found: Arc<Found>);

    /// The objects of the answers; `None` while essential ones are missing.
    fn manifests(&self) -> Option<Vec<Value>>;

    /// The answers that make the same again, where `first` are those that were given before the first question.
    fn retold(&self, first: &Self::Answers) -> Self::Answers {
        let _ = first;
        self.answers().clone()
    }

    /// The command line that gives the same answers.
    fn command_line(&self, first: &Self::Answers) -> String {
        let command = format!("create {}", Self::COMMAND);
        command_line(&command, &self.found().namespace, &self.retold(first))
    }
}

/// Whether any answer was given at all.
pub fn any<A: Serialize>(answers: &A) -> bool {
    !given(answers).is_empty()
}
