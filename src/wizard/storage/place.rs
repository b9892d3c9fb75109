//! Where a storage is: the questions of each provider, and `spec.storage` from their answers.

use serde_json::{Map, Value, json};

use super::State;
use crate::api::storage::Provider;
use crate::cluster::kinds;
use crate::wizard::prompter::{Choice, Prompter, Question, Reply, choose, fail};
use crate::wizard::target::Target;

/// Where local storages are mounted unless told otherwise.
const MOUNT: &str = "/backups";

pub(super) fn server(state: &mut State, prompter: &mut dyn Prompter) -> Reply<()> {
    const AMAZON: &str = "Amazon S3";
    const OTHER: &str = "another server";
    if state.provider() != Some(Provider::S3) {
        return Ok(());
    }
    if let Some(endpoint) = &state.answers.endpoint {
        return address(endpoint).map(|_| ()).or_else(fail);
    }
    if state.server_asked {
        return Ok(());
    }
    let mut choices = vec![Choice::new(AMAZON, "")];
    choices.extend(
        state
            .found
            .endpoints
            .iter()
            .map(|e| Choice::new(e, "a Service of this cluster")),
    );
    choices.push(Choice::new(OTHER, "MinIO, Ceph, Wasabi, R2, B2, …"));
    let question = Question::new("--endpoint", "Which S3 server", "");
    let chosen = choose(prompter, &question, &choices, Some(AMAZON))?;
    match chosen.as_str() {
        AMAZON => state.server_asked = true,
        OTHER => {
            let question = Question::new(
                "--endpoint",
                "Its address",
                "As the pods of the cluster reach it, with http:// or https://.",
            );
            state.answers.endpoint = Some(prompter.text(&question, None, &typed_address)?);
        }
        found => state.answers.endpoint = Some(found.to_owned()),
    }
    Ok(())
}

/// Checks an address that somebody types: with or without TLS is not guessed.
fn typed_address(text: &str) -> Result<String, String> {
    if !text.is_empty() && !text.contains("://") {
        return Err(format!(
            "write https://{text}, or http://{text} for a server without TLS"
        ));
    }
    address(text)
}

/// Checks the address of a server.
fn address(text: &str) -> Result<String, String> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("https", text));
    let host = rest.trim_end_matches('/');
    if !matches!(scheme, "http" | "https") {
        return Err(format!("{text}: the address starts with http:// or https://"));
    }
    if host.is_empty() || host.contains(['/', ' ', '?', '@']) {
        return Err(format!(
            "{text}: an address is a host with an optional port; the bucket is asked for apart"
        ));
    }
    Ok(if scheme == "http" {
        "Without TLS: the data is encrypted all the same, the credentials are only signed with.".to_owned()
    } else {
        String::new()
    })
}

fn place_name(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if text.is_empty() {
        return Err("\"\" cannot be right: a name is needed, of letters, digits, -, . and _".to_owned());
    }
    if !text.chars().all(fits) {
        return Err(format!(
            "{text:?} cannot be right: letters, digits, -, . and _ only"
        ));
    }
    Ok(String::new())
}

pub(super) fn bucket(state: &mut State, prompter: &mut dyn Prompter) -> Reply<()> {
    // Without a provider only a script gets here, which is to learn of everything that is missing at once.
    if matches!(state.provider(), Some(Provider::Azure | Provider::Local)) {
        return Ok(());
    }
    if let Some(bucket) = &state.answers.bucket {
        return place_name(bucket).map(|_| ()).or_else(fail);
    }
    let why = match state.provider() {
        Some(Provider::Gcs) => "One that does not exist is made, where the credentials may.",
        _ => "It must exist already.",
    };
    let question = Question::new("--bucket", "Bucket", why).must().need("the bucket");
    state.answers.bucket = Some(prompter.text(&question, None, &place_name)?);
    Ok(())
}

pub(super) fn account(state: &mut State, prompter: &mut dyn Prompter) -> Reply<()> {
    if state.provider() != Some(Provider::Azure) {
        return Ok(());
    }
    if let Some(account) = &state.answers.account {
        return place_name(account).map(|_| ()).or_else(fail);
    }
    let question = Question::new("--account", "Storage account", "")
        .must()
        .need("the storage account");
    state.answers.account = Some(prompter.text(&question, None, &place_name)?);
    Ok(())
}

/// Which of Azure's clouds; nearly everybody's is the public one.
pub(super) fn cloud(state: &mut State, prompter: &mut dyn Prompter) -> Reply<()> {
    const PUBLIC: &str = "Azure";
    const OTHER: &str = "another";
    if state.provider() != Some(Provider::Azure) || state.cloud_asked {
        return Ok(());
    }
    if let Some(suffix) = &state.answers.endpoint_suffix {
        return place_name(suffix).map(|_| ()).or_else(fail);
    }
    let answers = &state.answers;
    if answers.no_secret || answers.secret.is_some() && !answers.from_env && answers.from_file.is_none() {
        // A Secret that exists says it itself.
        return Ok(());
    }
    let choices = [
        Choice::new(PUBLIC, "the public cloud"),
        Choice::new("core.chinacloudapi.cn", "Azure in China"),
        Choice::new("core.usgovcloudapi.net", "Azure US Government"),
        Choice::new(OTHER, "Azure Stack and others"),
    ];
    let question = Question::new("--endpoint-suffix", "Which cloud of Azure", "");
    match choose(prompter, &question, &choices, Some(PUBLIC))?.as_str() {
        PUBLIC => state.cloud_asked = true,
        OTHER => {
            let question = Question::new(
                "--endpoint-suffix",
                "Suffix of its addresses",
                "What stands behind ACCOUNT.blob. in them.",
            );
            state.answers.endpoint_suffix = Some(prompter.text(&question, None, &place_name)?);
        }
        suffix => state.answers.endpoint_suffix = Some(suffix.to_owned()),
    }
    Ok(())
}

pub(super) fn container(state: &mut State, prompter: &mut dyn Prompter) -> Reply<()> {
    if state.provider() != Some(Provider::Azure) {
        return Ok(());
    }
    if let Some(container) = &state.answers.container {
        return place_name(container).map(|_| ()).or_else(fail);
    }
    let question = Question::new("--container", "Container", "It must exist already.")
        .must()
        .need("the container");
    state.answers.container = Some(prompter.text(&question, None, &place_name)?);
    Ok(())
}

pub(super) fn region(state: &mut State, prompter: &mut dyn Prompter) -> Reply<()> {
    let amazon = state.provider() == Some(Provider::S3) && state.answers.endpoint.is_none();
    if !amazon || state.answers.region.is_some() {
        return Ok(());
    }
    let question = Question::new("--region", "Region of the bucket", "");
    state.answers.region = Some(prompter.text(&question, Some("us-east-1"), &place_name)?);
    Ok(())
}

pub(super) fn prefix(state: &mut State, prompter: &mut dyn Prompter) -> Reply<()> {
    if matches!(state.provider(), None | Some(Provider::Local)) || state.answers.prefix.is_some() {
        return Ok(());
    }
    let (question, why) = if state.provider() == Some(Provider::Azure) {
        (
            "Directory in the container",
            "Several clusters can share a container when each has a directory of its own. Empty: the whole container.",
        )
    } else {
        (
            "Directory in the bucket",
            "Several clusters can share a bucket when each has a directory of its own. Empty: the whole bucket.",
        )
    };
    let question = Question::new("--prefix", question, why);
    let prefix = prompter.text(&question, Some(""), &|_| Ok(String::new()))?;
    state.answers.prefix = Some(prefix.trim_matches('/').to_owned());
    Ok(())
}

pub(super) fn tls(state: &mut State, prompter: &mut dyn Prompter) -> Reply<()> {
    const PUBLIC: &str = "a public authority";
    const OWN: &str = "an authority of your own";
    let answers = &state.answers;
    let own_server = answers
        .endpoint
        .as_deref()
        .is_some_and(|e| !e.starts_with("http://"));
    if !own_server || state.tls_asked || answers.insecure_tls || answers.ca_file.is_some() {
        return Ok(());
    }
    let choices = [
        Choice::new(PUBLIC, "such as Let's Encrypt"),
        Choice::new(OWN, "its certificate goes into the Secret"),
        Choice::new("nobody", "do not check it (insecure)"),
    ];
    let question = Question::new("--ca-file", "Who signed the server's certificate", "");
    match choose(prompter, &question, &choices, Some(PUBLIC))?.as_str() {
        PUBLIC => state.tls_asked = true,
        OWN => {
            let read = state.outside.file.clone();
            let question = Question::new("--ca-file", "File with the authority's certificate", "In PEM.");
            let path = prompter.text(&question, None, &|path| {
                let text = read(path)?;
                if text.contains("-----BEGIN CERTIFICATE-----") {
                    Ok(String::new())
                } else {
                    Err(format!("{path} holds no PEM certificate"))
                }
            })?;
            state.answers.ca_file = Some(path);
        }
        _ => state.answers.insecure_tls = true,
    }
    Ok(())
}

pub(super) fn volume(state: &mut State, prompter: &mut dyn Prompter) -> Reply<()> {
    if state.provider() != Some(Provider::Local) {
        return Ok(());
    }
    let given = [&state.answers.pvc, &state.answers.nfs, &state.answers.host_path];
    if given.iter().all(|g| g.is_none()) {
        return ask_volume(state, prompter);
    }
    if let Some(export) = &state.answers.nfs {
        export_of(export).or_else(fail)?;
    }
    for path in [&state.answers.host_path, &state.answers.mount_path]
        .into_iter()
        .flatten()
    {
        absolute(path).or_else(fail)?;
    }
    if let Some(path) = &state.answers.mount_path
        && (path == "/kubestash" || path.starts_with("/kubestash/"))
    {
        return fail(
            "--mount-path: /kubestash is the program itself in its image; mount the volume elsewhere",
        );
    }
    if let Some(claim) = &state.answers.pvc
        && state.found.read(&kinds::CLAIM)
        && !state
            .found
            .targets
            .iter()
            .any(|t| t.kind == &kinds::CLAIM && t.name == *claim)
    {
        return fail(format!(
            "PersistentVolumeClaim {claim} in namespace {} not found",
            state.found.namespace
        ));
    }
    Ok(())
}

fn ask_volume(state: &mut State, prompter: &mut dyn Prompter) -> Reply<()> {
    let claims = state.found.targets.iter().filter(|t| t.kind == &kinds::CLAIM);
    // What an application uses comes last: its backups would be lost with it.
    let (used, free): (Vec<_>, Vec<_>) = claims.partition(|t| t.used_by.is_some());
    let choice = |t: &Target| Choice::new(t.word(), t.detail.clone());
    let mut choices: Vec<Choice> = free.into_iter().map(choice).collect();
    choices.push(Choice::new("nfs", "an NFS export"));
    choices.push(Choice::new(
        "hostPath",
        "a directory of the node; for trying only",
    ));
    choices.extend(used.into_iter().map(choice));
    let question = Question::new(
        "--pvc",
        "Which volume",
        "It should not be the one that is backed up, nor on the same disk.",
    )
    .must()
    .need("the volume: --pvc NAME, --nfs SERVER:/PATH or --host-path PATH");
    match choose(prompter, &question, &choices, None)?.as_str() {
        "nfs" => {
            let question = Question::new("--nfs", "NFS export", "As SERVER:/PATH.");
            let export = prompter.text(&question, None, &|t| export_of(t).map(|_| String::new()))?;
            state.answers.nfs = Some(export);
        }
        "hostPath" => {
            let question = Question::new("--host-path", "Directory of the node", "");
            let path = prompter.text(&question, Some("/var/lib/kubestash/backups"), &absolute)?;
            state.answers.host_path = Some(path);
        }
        claim => state.answers.pvc = claim.strip_prefix("pvc/").map(ToOwned::to_owned),
    }
    Ok(())
}

fn absolute(path: &str) -> Result<String, String> {
    if path.starts_with('/') && path.len() > 1 {
        Ok(String::new())
    } else {
        Err(format!("{path:?} is no absolute path"))
    }
}

fn export_of(text: &str) -> Result<(&str, &str), String> {
    match text.split_once(':') {
        Some((server, path)) if !server.is_empty() && path.starts_with('/') => Ok((server, path)),
        _ => Err(format!("{text:?} is no NFS export: write SERVER:/PATH")),
    }
}

/// `spec.storage`; `None` while an answer is missing.
pub(super) fn backend(state: &State, secret: Option<&str>) -> Option<Value> {
    let answers = &state.answers;
    let provider = state.provider()?;
    let mut block = Map::new();
    let mut put = |key: &str, value: Option<&str>| {
        if let Some(value) = value.filter(|v| !v.is_empty()) {
            block.insert(key.to_owned(), json!(value));
        }
    };
    match provider {
        Provider::S3 => {
            put("endpoint", answers.endpoint.as_deref());
            put("bucket", Some(answers.bucket.as_deref()?));
            put("region", answers.region.as_deref());
            put("prefix", answers.prefix.as_deref());
            put("secretName", secret);
            if answers.insecure_tls {
                block.insert("insecureTLS".to_owned(), json!(true));
            }
        }
        Provider::Gcs => {
            put("bucket", Some(answers.bucket.as_deref()?));
            put("prefix", answers.prefix.as_deref());
            put("secretName", secret);
        }
        Provider::Azure => {
            put("storageAccount", Some(answers.account.as_deref()?));
            put("container", Some(answers.container.as_deref()?));
            put("prefix", answers.prefix.as_deref());
            put("secretName", secret);
        }
        Provider::Local => {
            put("mountPath", Some(answers.mount_path.as_deref().unwrap_or(MOUNT)));
            put("subPath", answers.sub_path.as_deref());
            let (key, source) = match (&answers.pvc, &answers.nfs, &answers.host_path) {
                (Some(claim), ..) => ("persistentVolumeClaim", json!({"claimName": claim})),
                (_, Some(export), _) => {
                    let (server, path) = export_of(export).ok()?;
                    ("nfs", json!({"server": server, "path": path}))
                }
                (.., Some(path)) => ("hostPath", json!({"path": path, "type": "DirectoryOrCreate"})),
                _ => return None,
            };
            block.insert(key.to_owned(), source);
        }
    }
    if let Some(most) = answers.max_connections {
        block.insert("maxConnections".to_owned(), json!(most));
    }
    Some(json!({"provider": provider.as_str(), provider.as_str(): block}))
}
