//! The credentials of a storage: a Secret that exists, the environment, a file, or typed without echo.

use super::State;
use crate::api::storage::Provider;
use crate::cluster::kinds;
use crate::wizard::credentials;
use crate::wizard::prompter::{Choice, Halt, Prompter, Question, Reply, choose, fail, fail_with};

pub(super) fn credentials_step(state: &mut State, prompter: &mut dyn Prompter) -> Reply<()> {
    let answers = &state.answers;
    let given =
        answers.no_secret || answers.from_env || answers.from_file.is_some() || answers.secret.is_some();
    let provider = match state.provider() {
        Some(Provider::Local) => return Ok(()),
        // Without a provider only a script gets here, which is to learn of everything that is missing at once.
        None if given => return Ok(()),
        None => Provider::S3,
        Some(provider) => provider,
    };
    if state.typing {
        return typed(state, provider, prompter);
    }
    if state.answers.no_secret || !state.values.is_empty() {
        return Ok(());
    }
    if state.answers.from_env {
        let read = state.outside.environment.clone();
        state.values = read(provider).or_else(fail)?;
        return Ok(());
    }
    if let Some(path) = state.answers.from_file.clone() {
        let text = (state.outside.file)(&path).or_else(fail)?;
        state.values = credentials::from_text(provider, &text).or_else(|e| fail(format!("{path}: {e}")))?;
        return Ok(());
    }
    if let Some(name) = state.answers.secret.clone() {
        return existing(state, provider, &name, prompter);
    }
    ask_credentials(state, provider, prompter)
}

/// A Secret that was named, without values for it: it must be there with its keys, or they are asked for.
fn existing(state: &mut State, provider: Provider, name: &str, prompter: &mut dyn Prompter) -> Reply<()> {
    if !state.found.read(&kinds::SECRET) {
        return Ok(());
    }
    let known = state.found.secrets.iter().find(|s| s.name == name);
    let lacks: Vec<&str> = credentials::required(provider)
        .iter()
        .map(|(key, _)| *key)
        .filter(|key| known.is_none_or(|s| !s.keys.iter().any(|k| k == key)))
        .collect();
    match (known, lacks.is_empty()) {
        (Some(_), true) => Ok(()),
        (Some(_), false) => fail_with(
            format!(
                "Secret {name} in namespace {} lacks {}",
                state.found.namespace,
                lacks.join(" and ")
            ),
            format!(
                "`kubectl edit secret {name} -n {}` adds it",
                state.found.namespace
            ),
        ),
        (None, _) => {
            let question = Question::new(
                "--from-env",
                format!("Secret {name} does not exist; type its credentials now"),
                "",
            )
            .must()
            .need(format!(
                "the credentials for Secret {name}, which does not exist: --from-env or --from-file FILE"
            ));
            if !prompter.confirm(&question, true)? {
                return Err(Halt::Back);
            }
            state.typing = true;
            Ok(())
        }
    }
}

fn ask_credentials(state: &mut State, provider: Provider, prompter: &mut dyn Prompter) -> Reply<()> {
    const TYPE: &str = "type them";
    const FILE: &str = "from a file";
    const ENVIRONMENT: &str = "from the environment";
    const IDENTITY: &str = "none";
    let needed: Vec<&str> = credentials::required(provider)
        .iter()
        .map(|(key, _)| *key)
        .collect();
    // What stands beside the keys goes into a new Secret.
    let new_only = state.answers.ca_file.is_some() || state.answers.endpoint_suffix.is_some();
    let fitting = state
        .found
        .secrets
        .iter()
        .filter(|s| !new_only && needed.iter().all(|key| s.keys.iter().any(|k| k == key)));
    let mut choices: Vec<Choice> = fitting
        .map(|s| {
            Choice::new(
                format!("secret/{}", s.name),
                "exists, with the keys that are needed",
            )
        })
        .collect();
    let environment = (state.outside.environment)(provider).ok();
    if environment.is_some() {
        choices.push(Choice::new(
            ENVIRONMENT,
            format!("{} of this shell", needed.join(", ")),
        ));
    }
    // Google's key is a document: nobody types it.
    choices.push(if provider == Provider::Gcs {
        Choice::new(FILE, "Google's JSON key, into a new Secret")
    } else {
        Choice::new(TYPE, "without echo, into a new Secret")
    });
    if !new_only {
        choices.push(Choice::new(
            IDENTITY,
            "the cloud's own identity of pods or nodes (IRSA, workload identity)",
        ));
    }
    let first = choices.first().map(|c| c.value.clone());
    let question = Question::new(
        "--secret",
        "Credentials",
        "They must be allowed to list, read, write and delete there. They go into a Secret and nowhere else.",
    )
    .must()
    .need("the credentials: --secret NAME of one that exists, --from-env, --from-file FILE, or --no-secret");
    let chosen = choose(prompter, &question, &choices, first.as_deref())?;
    match chosen.as_str() {
        TYPE | FILE => state.typing = true,
        IDENTITY => state.answers.no_secret = true,
        ENVIRONMENT => {
            state.answers.from_env = true;
            state.values = environment.unwrap_or_default();
        }
        secret => state.answers.secret = secret.strip_prefix("secret/").map(ToOwned::to_owned),
    }
    Ok(())
}

/// Asks for one value after the other, without echo.
fn typed(state: &mut State, provider: Provider, prompter: &mut dyn Prompter) -> Reply<()> {
    let next = credentials::required(provider)
        .iter()
        .find(|(key, _)| !state.values.has(key));
    let Some((key, what)) = next else {
        state.typing = false;
        return Ok(());
    };
    if provider == Provider::Gcs {
        let question = Question::new(
            "--from-file",
            "File with the JSON key",
            "As the Google console downloads it.",
        );
        let read = state.outside.file.clone();
        let path = prompter.text(&question, None, &|path| {
            if path.is_empty() {
                return Err("the name of the file is needed".to_owned());
            }
            // Never said again: it may be on a screen that others see.
            if path.starts_with('{') {
                return Err("that is the key itself; give the name of the file that holds it".to_owned());
            }
            let text = read(path)?;
            credentials::from_text(Provider::Gcs, &text)
                .map(|_| String::new())
                .map_err(|_| format!("{path} is no JSON key of a service account"))
        })?;
        state.values = read(&path)
            .and_then(|text| credentials::from_text(Provider::Gcs, &text))
            .or_else(fail)?;
        state.answers.from_file = Some(path);
        return Ok(());
    }
    let question = Question::new("--from-env", *what, format!("{key}; not shown while you type."));
    let value = prompter.hidden(&question)?;
    if value.trim().is_empty() {
        prompter.say("  It cannot be empty.");
    }
    state.values.put(key, value.trim().to_owned());
    Ok(())
}
