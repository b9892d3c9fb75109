//! What does not belong together, and how to bring it to one state. Pure.

use schemars::JsonSchema;
use serde::Serialize;

use super::{DefinitionVersions, OperatorVersion};
use crate::cluster::Error;

/// Something that does not belong together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Skew {
    /// What it is about: the operator or the definitions.
    pub(super) what: String,
    /// What was found, one sentence.
    pub(super) finding: String,
    /// What to do, with a command to paste where there is one.
    pub(super) fix: String,
    /// Whether it only could not be found out.
    pub(super) unread: bool,
}

fn skew(what: &str, finding: String, fix: String) -> Skew {
    Skew {
        what: what.to_owned(),
        finding,
        fix,
        unread: false,
    }
}

/// What could not be read.
pub(super) fn unread(what: &str, error: &Error) -> Skew {
    Skew {
        unread: true,
        ..skew(
            what,
            format!("{what} could not be read: {error}"),
            "ask a cluster administrator to run `kubectl kubestash version`".to_owned(),
        )
    }
}

/// Whether the first is a higher version than the second; where one is no number, it is not known.
fn newer(one: &str, other: &str) -> Option<bool> {
    let parse = |text: &str| semver::Version::parse(text).ok();
    Some(parse(one)? > parse(other)?)
}

/// How to bring the cluster to this program's version, or the other way round.
fn towards(own: &str, theirs: Option<&str>) -> String {
    match theirs.and_then(|theirs| Some((theirs, newer(theirs, own)?))) {
        Some((theirs, true)) => {
            format!(
                "use the plugin of version {theirs}; `kubectl kubestash install` of this one would go back to {own}"
            )
        }
        _ => format!("`kubectl kubestash install` brings the cluster to {own}"),
    }
}

/// The operator beside this program.
pub(super) fn operators(own: &str, found: &[OperatorVersion]) -> Vec<Skew> {
    const WHAT: &str = "the operator";
    let mut all = Vec::new();
    if found.len() > 1 {
        let places: Vec<&str> = found.iter().map(|o| o.namespace.as_str()).collect();
        all.push(skew(
            WHAT,
            format!(
                "{} operators run, in the namespaces {}",
                found.len(),
                places.join(", ")
            ),
            "`kubectl kubestash doctor` says how to remove one".to_owned(),
        ));
    }
    let Some(operator) = found.first() else {
        return all;
    };
    match operator.version.as_deref() {
        Some(version) if version == own => {}
        Some(version) => all.push(skew(
            WHAT,
            format!("this program is {own}, the operator {version}"),
            towards(own, Some(version)),
        )),
        None => all.push(skew(
            WHAT,
            format!("the operator's image {} does not say its version", operator.image),
            format!("make sure it is {own}, or {}", towards(own, None)),
        )),
    }
    all
}

/// The definitions beside this program.
pub(super) fn definitions(
    own: &str,
    operator: Option<&OperatorVersion>,
    definitions: &DefinitionVersions,
) -> Vec<Skew> {
    const WHAT: &str = "the definitions";
    let theirs = operator.and_then(|o| o.version.as_deref());
    let mut all = Vec::new();
    if definitions.found > 0 && !definitions.missing.is_empty() {
        all.push(skew(
            WHAT,
            format!(
                "the cluster lacks {} of {} definitions: {}",
                definitions.missing.len(),
                definitions.wanted,
                definitions.missing.join(", ")
            ),
            towards(own, theirs),
        ));
    }
    if !definitions.differing.is_empty() {
        all.push(skew(
            WHAT,
            format!(
                "{} of {} definitions are not those of {own}: {}; fields that they do not know are dropped",
                definitions.differing.len(),
                definitions.wanted,
                definitions.differing.join(", ")
            ),
            towards(own, theirs),
        ));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operator(version: Option<&str>) -> OperatorVersion {
        OperatorVersion {
            namespace: "kubestash".into(),
            image: "x/y".into(),
            version: version.map(str::to_owned),
            available: true,
        }
    }

    #[test]
    fn the_fix_leads_to_the_newer_of_two() {
        assert!(operators("0.2.0", &[operator(Some("0.2.0"))]).is_empty());
        assert!(operators("0.2.0", &[]).is_empty());
        let behind = operators("0.2.0", &[operator(Some("0.1.9"))]);
        assert_eq!(
            behind[0].fix,
            "`kubectl kubestash install` brings the cluster to 0.2.0"
        );
        let ahead = operators("0.2.0", &[operator(Some("0.10.0"))]);
        assert!(
            ahead[0].fix.starts_with("use the plugin of version 0.10.0"),
            "{ahead:?}"
        );
        assert_eq!(operators("0.2.0", &[operator(None), operator(None)]).len(), 2);
    }

    #[test]
    fn definitions_that_are_missing_or_different_are_named() {
        let some = |missing: &[&str], differing: &[&str], found| DefinitionVersions {
            wanted: 14,
            found,
            missing: missing.iter().map(|s| (*s).to_owned()).collect(),
            differing: differing.iter().map(|s| (*s).to_owned()).collect(),
        };
        assert!(definitions("1.0.0", None, &some(&[], &[], 14)).is_empty());
        assert!(
            definitions("1.0.0", None, &some(&["a"], &[], 0)).is_empty(),
            "nothing is installed, which is no skew"
        );
        let found = definitions("1.0.0", None, &some(&["a"], &["b", "c"], 13));
        assert!(
            found[0].finding.contains("lacks 1 of 14 definitions: a"),
            "{found:?}"
        );
        assert!(
            found[1]
                .finding
                .contains("2 of 14 definitions are not those of 1.0.0: b, c"),
            "{found:?}"
        );
    }
}
