//! Flags and kubeconfig to a client, with kubectl's precedence: flags, then the kubeconfig's context, then (where there
//! is no kubeconfig at all) the pod's own ServiceAccount.

use std::path::PathBuf;
use std::time::Duration;

use kube::config::{
    AuthInfo, Context, KubeConfigOptions, Kubeconfig, KubeconfigError, NamedAuthInfo, NamedCluster,
    NamedContext,
};
use kube::{Client, Config};
use serde_json::json;

use super::error::first_line;
use super::{Cluster, Error, Flags};

/// How long one request may take when `--request-timeout` is not given.
const REQUEST_WITHIN: Duration = Duration::from_secs(60);
/// What `--request-timeout=0` (no limit) comes to: longer than anybody waits.
const NO_LIMIT: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long to connect may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// The name of what flags alone describe.
const BY_FLAGS: &str = "given by flags";

pub(super) async fn connect(flags: &Flags) -> Result<Cluster, Error> {
    let timeout = match flags.request_timeout {
        None => REQUEST_WITHIN,
        Some(Duration::ZERO) => NO_LIMIT,
        Some(limit) => limit,
    };
    let mut config = config(flags).await?;
    config.connect_timeout = Some(CONNECT_WITHIN.min(timeout));
    if flags.disable_compression || is_local(&config.cluster_url) {
        // On the same machine compressing costs more than it saves.
        config.disable_compression = true;
    }
    let namespace = flags
        .namespace
        .clone()
        .unwrap_or_else(|| config.default_namespace.clone());
    let server = config.cluster_url.to_string().trim_end_matches('/').to_owned();
    let client = Client::try_from(config).map_err(|e| Error::from_kube(e, &server))?;
    Ok(Cluster {
        client,
        namespace,
        server,
        timeout,
    })
}

fn is_local(url: &http::Uri) -> bool {
    matches!(url.host(), Some("localhost" | "127.0.0.1" | "[::1]"))
}

async fn config(flags: &Flags) -> Result<Config, Error> {
    let Some(kubeconfig) = load(flags)? else {
        if flags.server.is_none() && std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() {
            return in_cluster(flags);
        }
        let Some(server) = &flags.server else {
            return Err(Error::NoConfiguration);
        };
        return build(synthetic(server)?, flags).await;
    };
    build(kubeconfig, flags).await
}

/// The kubeconfig that counts: `--kubeconfig`, else every existing file of `KUBECONFIG` merged, else `~/.kube/config`.
fn load(flags: &Flags) -> Result<Option<Kubeconfig>, Error> {
    if let Some(path) = &flags.kubeconfig {
        return Kubeconfig::read_from(path).map(Some).map_err(|e| unusable(&e));
    }
    let listed: Vec<PathBuf> = match std::env::var_os("KUBECONFIG") {
        Some(list) if !list.is_empty() => std::env::split_paths(&list)
            .filter(|p| !p.as_os_str().is_empty())
            .collect(),
        _ => std::env::home_dir()
            .map(|home| home.join(".kube").join("config"))
            .into_iter()
            .collect(),
    };
    let mut merged: Option<Kubeconfig> = None;
    for path in listed.into_iter().filter(|p| p.exists()) {
        let next = Kubeconfig::read_from(&path).map_err(|e| unusable(&e))?;
        merged = Some(match merged {
            None => next,
            Some(sum) => sum.merge(next).map_err(|e| unusable(&e))?,
        });
    }
    Ok(merged.filter(|k| !k.clusters.is_empty() || !k.contexts.is_empty()))
}

fn in_cluster(flags: &Flags) -> Result<Config, Error> {
    let mut config = Config::incluster().map_err(|e| Error::BadConfiguration {
        message: "the pod's ServiceAccount cannot be used".to_owned(),
        cause: e.to_string(),
        known: Vec::new(),
    })?;
    config.auth_info.impersonate.clone_from(&flags.impersonate);
    if !flags.impersonate_groups.is_empty() {
        config.auth_info.impersonate_groups = Some(flags.impersonate_groups.clone());
    }
    Ok(config)
}

/// A kubeconfig of one server without a user, for `--server` on a machine without one.
fn synthetic(server: &str) -> Result<Kubeconfig, Error> {
    serde_json::from_value(json!({
        "clusters": [{"name": BY_FLAGS, "cluster": {"server": server}}],
        "users": [{"name": BY_FLAGS, "user": {}}],
        "contexts": [{"name": BY_FLAGS, "context": {"cluster": BY_FLAGS, "user": BY_FLAGS}}],
        "current-context": BY_FLAGS,
    }))
    .map_err(|e| Error::Other(e.to_string()))
}

/// Writes the flags into the entries that will be used, then lets kube make a configuration of it.
async fn build(mut kubeconfig: Kubeconfig, flags: &Flags) -> Result<Config, Error> {
    let name = flags
        .context
        .clone()
        .or_else(|| kubeconfig.current_context.clone());
    let contexts: Vec<String> = kubeconfig.contexts.iter().map(|c| c.name.clone()).collect();
    let context = match &name {
        Some(name) => {
            let found = kubeconfig
                .contexts
                .iter()
                .find(|c| &c.name == name)
                .and_then(|c| c.context.clone());
            found.ok_or_else(|| Error::BadConfiguration {
                message: format!("context {name:?} does not exist in the kubeconfig"),
                cause: String::new(),
                known: contexts,
            })?
        }
        None if flags.cluster.is_some() || flags.server.is_some() => Context::default(),
        None => {
            return Err(Error::BadConfiguration {
                message: "the kubeconfig names no current context".to_owned(),
                cause: String::new(),
                known: contexts,
            });
        }
    };
    let cluster = flags.cluster.clone().unwrap_or(context.cluster.clone());
    let user = flags
        .user
        .clone()
        .or_else(|| context.user.clone())
        .unwrap_or_else(|| BY_FLAGS.to_owned());
    known(
        "cluster",
        &cluster,
        flags.cluster.is_some(),
        kubeconfig.clusters.iter().map(|c| &c.name),
    )?;
    known(
        "user",
        &user,
        flags.user.is_some(),
        kubeconfig.auth_infos.iter().map(|u| &u.name),
    )?;
    override_cluster(&mut kubeconfig, &cluster, flags);
    override_user(&mut kubeconfig, &user, flags)?;
    let mut used = context;
    used.cluster.clone_from(&cluster);
    used.user = Some(user);
    kubeconfig.contexts = vec![NamedContext {
        name: BY_FLAGS.to_owned(),
        context: Some(used),
        ..NamedContext::default()
    }];
    let options = KubeConfigOptions {
        context: Some(BY_FLAGS.to_owned()),
        cluster: None,
        user: None,
    };
    Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .map_err(|e| unusable(&e))
}

/// A cluster or user that a flag names must exist.
fn known<'n>(
    what: &str,
    name: &str,
    asked: bool,
    names: impl Iterator<Item = &'n String>,
) -> Result<(), Error> {
    let names: Vec<String> = names.cloned().collect();
    if asked && !names.iter().any(|n| n == name) {
        return Err(Error::BadConfiguration {
            message: format!("{what} {name:?} does not exist in the kubeconfig"),
            cause: String::new(),
            known: names,
        });
    }
    Ok(())
}

fn override_cluster(kubeconfig: &mut Kubeconfig, name: &str, flags: &Flags) {
    if !kubeconfig.clusters.iter().any(|c| c.name == name) {
        kubeconfig.clusters.push(NamedCluster {
            name: name.to_owned(),
            cluster: None,
            ..NamedCluster::default()
        });
    }
    for entry in kubeconfig.clusters.iter_mut().filter(|c| c.name == name) {
        let cluster = entry.cluster.get_or_insert_default();
        if flags.server.is_some() {
            cluster.server.clone_from(&flags.server);
        }
        if let Some(file) = &flags.certificate_authority {
            cluster.certificate_authority = Some(file.to_string_lossy().into_owned());
            cluster.certificate_authority_data = None;
        }
        if flags.insecure_skip_tls_verify {
            cluster.insecure_skip_tls_verify = Some(true);
        }
        if flags.tls_server_name.is_some() {
            cluster.tls_server_name.clone_from(&flags.tls_server_name);
        }
    }
}

fn override_user(kubeconfig: &mut Kubeconfig, name: &str, flags: &Flags) -> Result<(), Error> {
    if !kubeconfig.auth_infos.iter().any(|u| u.name == name) {
        kubeconfig.auth_infos.push(NamedAuthInfo {
            name: name.to_owned(),
            auth_info: None,
            ..NamedAuthInfo::default()
        });
    }
    // The token's type can only be made by reading it.
    let token = match &flags.token {
        None => None,
        Some(token) => {
            let read: AuthInfo =
                serde_json::from_value(json!({"token": token})).map_err(|e| Error::Other(e.to_string()))?;
            read.token
        }
    };
    for entry in kubeconfig.auth_infos.iter_mut().filter(|u| u.name == name) {
        let user = entry.auth_info.get_or_insert_default();
        if token.is_some() {
            user.token.clone_from(&token);
            user.token_file = None;
            user.exec = None;
            user.auth_provider = None;
        }
        if let Some(file) = &flags.client_certificate {
            user.client_certificate = Some(file.to_string_lossy().into_owned());
            user.client_certificate_data = None;
        }
        if let Some(file) = &flags.client_key {
            user.client_key = Some(file.to_string_lossy().into_owned());
            user.client_key_data = None;
        }
        if flags.impersonate.is_some() {
            user.impersonate.clone_from(&flags.impersonate);
            user.impersonate_uid.clone_from(&flags.impersonate_uid);
            user.impersonate_groups = Some(flags.impersonate_groups.clone()).filter(|g| !g.is_empty());
        }
    }
    Ok(())
}

fn unusable(error: &KubeconfigError) -> Error {
    Error::BadConfiguration {
        message: "the kubeconfig cannot be used".to_owned(),
        cause: first_line(&error.to_string()),
        known: Vec::new(),
    }
}
