//! Who may use a storage or a policy: the word of `--allow`, the usage policy that it stands for, and whether it is the one
//! that is used where none is named. The wizards of both ask the same two questions, which are here.

use serde_json::{Value, json};

use super::prompter::{Choice, Prompter, Question, Reply, fail};

/// The usage policy of a word: `same`, `all`, or a label selector such as `team=a,stage=prod`.
///
/// # Errors
/// When the selector is none.
pub fn policy(word: &str) -> Result<Value, String> {
    let allowed = match word {
        "same" => json!({"from": "Same"}),
        "all" => json!({"from": "All"}),
        selector => {
            let mut labels = serde_json::Map::new();
            for part in selector.split(',') {
                match part.split_once('=') {
                    Some((key, value)) if !key.trim().is_empty() => {
                        labels.insert(key.trim().to_owned(), json!(value.trim()));
                    }
                    _ => {
                        return Err(format!(
                            "{word:?} says nobody: write same, all, or labels of namespaces such as team=a"
                        ));
                    }
                }
            }
            json!({"from": "Selector", "selector": {"matchLabels": labels}})
        }
    };
    Ok(json!({"allowedNamespaces": allowed}))
}

/// The step of `--allow`: asks who may use it, or checks the word that was given.
///
/// # Errors
/// No answer, or a word that says nobody.
pub fn allow(
    what: &str,
    namespace: &str,
    answer: &mut Option<String>,
    prompter: &mut dyn Prompter,
) -> Reply<()> {
    match answer {
        Some(word) => policy(word).map(|_| ()).or_else(fail),
        None => {
            *answer = Some(ask(what, namespace, prompter)?);
            Ok(())
        }
    }
}

/// The step of `--default`, where the namespace has no default yet: asks once.
///
/// # Errors
/// No answer.
pub fn default(what: &str, answer: &mut bool, asked: &mut bool, prompter: &mut dyn Prompter) -> Reply<()> {
    if *answer || *asked {
        return Ok(());
    }
    let question = Question::new(
        "--default",
        format!("Make it the default {what}"),
        format!("BackupConfigurations that name no {what} then use this one."),
    );
    *answer = prompter.confirm(&question, false)?;
    *asked = true;
    Ok(())
}

/// Asks who may use an object of this namespace.
///
/// # Errors
/// No answer.
pub fn ask(what: &str, namespace: &str, prompter: &mut dyn Prompter) -> Reply<String> {
    let question = Question::new(
        "--allow",
        format!("Who may use this {what}"),
        "BackupConfigurations of other namespaces can use it only if it is allowed here.",
    );
    let choices = [
        Choice::new("same", format!("only namespace {namespace}")),
        Choice::new("all", "every namespace of the cluster"),
        Choice::new("labels", "namespaces with certain labels"),
    ];
    match prompter.select(&question, &choices, Some(0))? {
        0 => Ok("same".to_owned()),
        1 => Ok("all".to_owned()),
        _ => prompter.text(
            &Question::new(
                "--allow",
                "Labels of those namespaces",
                "Such as team=a,stage=prod.",
            ),
            None,
            &|text| policy(text).map(|_| String::new()),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_for_policies() {
        assert_eq!(
            policy("all").unwrap(),
            json!({"allowedNamespaces": {"from": "All"}})
        );
        assert_eq!(
            policy("team=a, x=b").unwrap(),
            json!({"allowedNamespaces": {"from": "Selector", "selector": {"matchLabels": {"team": "a", "x": "b"}}}})
        );
        assert!(policy("everybody").is_err());
    }
}
