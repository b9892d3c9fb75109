//! A hook inside a configuration becomes a HookTemplate and a use of it.

use serde_json::Value;

use super::known::Known;
use super::manifest;
use super::section::Section;
use super::target::Target;
use crate::api::core::{
    self, BackupHooks, ExecutorType, HookExecutor, HookTemplateSpec, PodExecutor, RestoreHooks,
};
use crate::api::shared::{Handler, HookExecutionPolicy, HookInfo, ObjectReference, UsagePolicy};
use crate::decide::naming;

/// Whose hooks they are.
pub(super) struct Owner<'a> {
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
    pub(super) target: Option<&'a Target>,
    /// Lets a session in another namespace use the templates.
    pub(super) shared: Option<UsagePolicy>,
}

/// Reads `hooks` of a backup; the templates are added to `made`.
pub(super) fn of_backup(
    spec: &mut Section<'_>,
    owner: &Owner<'_>,
    to: &str,
    known: &Known<'_>,
    made: &mut Vec<Value>,
) -> Option<BackupHooks> {
    let keys = [("preBackup", "prebackup"), ("postBackup", "postbackup")];
    let [pre_backup, post_backup] = both(spec, owner, to, known, made, keys)?;
    Some(BackupHooks {
        pre_backup,
        post_backup,
    })
}

/// Reads `hooks` of a restore.
pub(super) fn of_restore(
    spec: &mut Section<'_>,
    owner: &Owner<'_>,
    to: &str,
    known: &Known<'_>,
    made: &mut Vec<Value>,
) -> Option<RestoreHooks> {
    let keys = [("preRestore", "prerestore"), ("postRestore", "postrestore")];
    let [pre_restore, post_restore] = both(spec, owner, to, known, made, keys)?;
    Some(RestoreHooks {
        pre_restore,
        post_restore,
    })
}

/// The hooks under two keys, each with the word that its template's name has; nothing when there are none.
fn both(
    spec: &mut Section<'_>,
    owner: &Owner<'_>,
    to: &str,
    known: &Known<'_>,
    made: &mut Vec<Value>,
    keys: [(&str, &str); 2],
) -> Option<[Vec<HookInfo>; 2]> {
    let mut hooks = spec.section("hooks")?;
    let read = keys.map(|(key, word)| -> Vec<HookInfo> {
        let to = format!("{to}.{key}");
        one(hooks.section(key), owner, word, &to, known, made)
            .into_iter()
            .collect()
    });
    read.iter().any(|hooks| !hooks.is_empty()).then_some(read)
}

fn one(
    section: Option<Section<'_>>,
    owner: &Owner<'_>,
    word: &str,
    to: &str,
    known: &Known<'_>,
    made: &mut Vec<Value>,
) -> Option<HookInfo> {
    let mut section = section.filter(|section| !section.is_empty())?;
    let scope = section.scope();
    let execution_policy = policy(&mut section, to);
    let pointer = section.at("");
    let pointer = pointer.trim_end_matches('/');
    let name = naming::suffix(owner.name, &format!("{word}-hook"));
    let title = format!("HookTemplate {}/{name}", owner.namespace);
    let action: Handler = section.rest(&format!("{title} spec.action"))?;
    let Some(host) = host(&action) else {
        scope.not_carried(
            pointer,
            "the hook has no action",
            "give it one of exec, httpGet, httpPost, tcpSocket",
        );
        return None;
    };
    let executor = executor(host, owner, known);
    if executor.pod.as_ref().is_some_and(|pod| pod.selector.is_empty()) {
        scope.to_fill_in(
            pointer,
            &format!("{title} spec.executor.pod.selector"),
            "KubeStash finds the pod of a hook by its labels, which stand in no file that was given",
            "labels of the application's pods, such as app=web; given the application's manifest, convert finds them itself",
        );
    } else if executor.type_ == Some(ExecutorType::Pod) {
        scope.changed(
            pointer,
            &format!("{title} spec.executor"),
            "one ready pod with these labels runs it; `strategy: ExecuteOnAll` runs it in all of them",
        );
    }
    let template = HookTemplateSpec {
        action: Some(action),
        executor: Some(executor),
        usage_policy: owner.shared.clone(),
        ..HookTemplateSpec::default()
    };
    made.push(manifest(
        core::GROUP,
        "HookTemplate",
        (owner.namespace, &name),
        None,
        template,
    ));
    Some(HookInfo {
        name: format!("{word}-hook"),
        hook_template: Some(ObjectReference::new(name, owner.namespace)),
        execution_policy,
        ..HookInfo::default()
    })
}

fn policy(section: &mut Section<'_>, to: &str) -> HookExecutionPolicy {
    let pointer = section.at("executionPolicy");
    let to = format!("{to}[0].executionPolicy");
    let Some(word) = section.text("executionPolicy", "") else {
        return HookExecutionPolicy::default();
    };
    if word == "OnFinalRetryFailure" {
        section.scope().changed(
            &pointer,
            &to,
            "KubeStash has no OnFinalRetryFailure; with OnFailure the hook runs after every failed try, not only the last",
        );
        return HookExecutionPolicy::OnFailure;
    }
    if let Ok(policy) = word.parse() {
        section.scope().carried(&pointer, &to);
        policy
    } else {
        section.scope().not_carried(
            &pointer,
            &format!("{word} is no execution policy"),
            "use Always, OnSuccess or OnFailure",
        );
        HookExecutionPolicy::default()
    }
}

/// The host that the action goes to, empty for the pod itself; `None` when there is no action.
fn host(action: &Handler) -> Option<&str> {
    if action.exec.is_some() {
        return Some("");
    }
    let host = match (&action.http_get, &action.http_post, &action.tcp_socket) {
        (Some(get), _, _) => &get.host,
        (_, Some(post), _) => &post.host,
        (_, _, Some(tcp)) => &tcp.host,
        _ => return None,
    };
    Some(host.as_deref().unwrap_or(""))
}

/// The operator calls a host; what goes to the application itself needs one of its pods.
fn executor(host: &str, owner: &Owner<'_>, known: &Known<'_>) -> HookExecutor {
    if !host.is_empty() {
        return HookExecutor {
            type_: Some(ExecutorType::Operator),
            ..HookExecutor::default()
        };
    }
    let selector = owner.target.and_then(|target| known.selector(&target.key));
    HookExecutor {
        type_: Some(ExecutorType::Pod),
        pod: Some(PodExecutor {
            selector: selector.unwrap_or_default(),
            ..PodExecutor::default()
        }),
        function: None,
    }
}
