//! Kinds without reasoning of their own: their phase and conditions, what they refer to, and what refers to them.

use super::chain::{About, Chain, Health, describe};
use super::facts::{Facts, Other};
use super::storage;
use crate::api::shared::ConditionStatus;

/// Conditions whose truth is the bad news.
const BAD_WHEN_TRUE: &[&str] = &["BackupVerificationSkipped", "BackupSkipped"];

/// Follows an object to what it refers to.
pub fn other(chain: &mut Chain, facts: &Facts, about: &About, other: &Other) {
    let complaint = other.conditions.iter().find(|c| {
        if BAD_WHEN_TRUE.contains(&c.type_.as_str()) {
            c.status == ConditionStatus::True
        } else {
            c.status == ConditionStatus::False
        }
    });
    let says = match other.phase.as_str() {
        "" if other.used_by.is_empty() => "exists; nothing uses it".to_owned(),
        "" => {
            let users: Vec<String> = other
                .used_by
                .iter()
                .take(5)
                .map(|u| format!("{} {}/{}", u.kind, u.namespace, u.name))
                .collect();
            let more = if other.used_by.len() > 5 { ", …" } else { "" };
            format!("used by {}{more}", users.join(", "))
        }
        phase => phase.to_owned(),
    };
    match other.phase.as_str() {
        "Failed" | "NotReady" | "Invalid" | "Skipped" => chain.broken(about.clone(), says),
        "Pending" | "Running" => {
            chain.waiting(about.clone(), says);
            storage::operator(chain, facts);
        }
        _ if complaint.is_some() => chain.broken(about.clone(), says),
        _ => chain.good(about.clone(), says),
    }
    for (reference, exists) in &other.refers {
        if *exists {
            chain.good(reference.clone(), "exists");
        } else {
            chain.root(
                reference.clone(),
                "does not exist",
                format!(
                    "it refers to {} {}, which does not exist",
                    reference.kind, reference.name
                ),
                vec![format!(
                    "create it, or correct the {}: `kubectl edit {} {}{}`",
                    about.kind,
                    about.kind.to_lowercase(),
                    about.name,
                    place(about)
                )],
            );
        }
    }
    if let Some(condition) = complaint {
        chain.because(
            Health::Bad,
            format!("{}: {}", condition.type_, condition.message),
            vec![describe(about)],
        );
    }
}

fn place(about: &About) -> String {
    if about.namespace.is_empty() {
        String::new()
    } else {
        format!(" -n {}", about.namespace)
    }
}
