//! The kinds that the CLI reads and writes, with the words that users have for them.

/// One kind and where the API server has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// API version.
    pub version: &'static str,
    /// Kind in CamelCase.
    pub kind: &'static str,
    /// Plural as it stands in paths.
    pub plural: &'static str,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// Further words that kubectl takes for it.
    pub short: &'static [&'static str],
}

const CORE: &str = "core.kubestash.com";
const STORAGE: &str = "storage.kubestash.com";

const fn ours(
    group: &'static str,
    kind: &'static str,
    plural: &'static str,
    short: &'static [&'static str],
) -> Kind {
    Kind {
        group,
        version: "v1alpha1",
        kind,
        plural,
        namespaced: true,
        short,
    }
}

const fn builtin(
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
    namespaced: bool,
) -> Kind {
    Kind {
        group,
        version,
        kind,
        plural,
        namespaced,
        short: &[],
    }
}

/// BackupConfiguration.
pub const BACKUP_CONFIGURATION: Kind = ours(CORE, "BackupConfiguration", "backupconfigurations", &["bc"]);
/// BackupSession.
pub const BACKUP_SESSION: Kind = ours(CORE, "BackupSession", "backupsessions", &[]);
/// RestoreSession.
pub const RESTORE_SESSION: Kind = ours(CORE, "RestoreSession", "restoresessions", &["restore"]);
/// HookTemplate.
pub const HOOK_TEMPLATE: Kind = ours(CORE, "HookTemplate", "hooktemplates", &[]);
/// BackupBatch.
pub const BACKUP_BATCH: Kind = ours(CORE, "BackupBatch", "backupbatches", &[]);
/// BackupBlueprint.
pub const BACKUP_BLUEPRINT: Kind = ours(CORE, "BackupBlueprint", "backupblueprints", &[]);
/// BackupVerifier; its plural is its singular.
pub const BACKUP_VERIFIER: Kind = ours(CORE, "BackupVerifier", "backupverifier", &[]);
/// BackupVerificationSession; its plural is its singular.
pub const BACKUP_VERIFICATION_SESSION: Kind = ours(
    CORE,
    "BackupVerificationSession",
    "backupverificationsession",
    &[],
);
/// BackupStorage.
pub const BACKUP_STORAGE: Kind = ours(STORAGE, "BackupStorage", "backupstorages", &[]);
/// Repository.
pub const REPOSITORY: Kind = ours(STORAGE, "Repository", "repositories", &["repo"]);
/// RetentionPolicy.
pub const RETENTION_POLICY: Kind = ours(STORAGE, "RetentionPolicy", "retentionpolicies", &[]);
/// Snapshot.
pub const SNAPSHOT: Kind = ours(STORAGE, "Snapshot", "snapshots", &[]);
/// Addon.
pub const ADDON: Kind = Kind {
    group: "addons.kubestash.com",
    version: "v1alpha1",
    kind: "Addon",
    plural: "addons",
    namespaced: false,
    short: &[],
};
/// Function.
pub const FUNCTION: Kind = Kind {
    group: "addons.kubestash.com",
    version: "v1alpha1",
    kind: "Function",
    plural: "functions",
    namespaced: false,
    short: &["fn"],
};
/// Namespace.
pub const NAMESPACE: Kind = builtin("", "v1", "Namespace", "namespaces", false);
/// ServiceAccount.
pub const SERVICE_ACCOUNT: Kind = builtin("", "v1", "ServiceAccount", "serviceaccounts", true);
/// Service.
pub const SERVICE: Kind = builtin("", "v1", "Service", "services", true);
/// Pod.
pub const POD: Kind = builtin("", "v1", "Pod", "pods", true);
/// Secret.
pub const SECRET: Kind = builtin("", "v1", "Secret", "secrets", true);
/// PersistentVolumeClaim.
pub const CLAIM: Kind = builtin("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", true);
/// Deployment.
pub const DEPLOYMENT: Kind = builtin("apps", "v1", "Deployment", "deployments", true);
/// StatefulSet.
pub const STATEFUL_SET: Kind = builtin("apps", "v1", "StatefulSet", "statefulsets", true);
/// DaemonSet.
pub const DAEMON_SET: Kind = builtin("apps", "v1", "DaemonSet", "daemonsets", true);
/// Event.
pub const EVENT: Kind = builtin("", "v1", "Event", "events", true);
/// Job.
pub const JOB: Kind = builtin("batch", "v1", "Job", "jobs", true);
/// CronJob.
pub const CRON_JOB: Kind = builtin("batch", "v1", "CronJob", "cronjobs", true);
/// Lease.
pub const LEASE: Kind = builtin("coordination.k8s.io", "v1", "Lease", "leases", true);
/// ClusterRole.
pub const CLUSTER_ROLE: Kind = builtin(
    "rbac.authorization.k8s.io",
    "v1",
    "ClusterRole",
    "clusterroles",
    false,
);
/// ClusterRoleBinding.
pub const CLUSTER_ROLE_BINDING: Kind = builtin(
    "rbac.authorization.k8s.io",
    "v1",
    "ClusterRoleBinding",
    "clusterrolebindings",
    false,
);
/// Role.
pub const ROLE: Kind = builtin("rbac.authorization.k8s.io", "v1", "Role", "roles", true);
/// RoleBinding.
pub const ROLE_BINDING: Kind = builtin(
    "rbac.authorization.k8s.io",
    "v1",
    "RoleBinding",
    "rolebindings",
    true,
);
/// CustomResourceDefinition.
pub const CRD: Kind = builtin(
    "apiextensions.k8s.io",
    "v1",
    "CustomResourceDefinition",
    "customresourcedefinitions",
    false,
);
/// MutatingWebhookConfiguration.
pub const MUTATING_WEBHOOKS: Kind = builtin(
    "admissionregistration.k8s.io",
    "v1",
    "MutatingWebhookConfiguration",
    "mutatingwebhookconfigurations",
    false,
);
/// ValidatingWebhookConfiguration.
pub const VALIDATING_WEBHOOKS: Kind = builtin(
    "admissionregistration.k8s.io",
    "v1",
    "ValidatingWebhookConfiguration",
    "validatingwebhookconfigurations",
    false,
);

/// Every kind above.
pub const ALL: &[Kind] = &[
    BACKUP_CONFIGURATION,
    BACKUP_SESSION,
    RESTORE_SESSION,
    HOOK_TEMPLATE,
    BACKUP_BATCH,
    BACKUP_BLUEPRINT,
    BACKUP_VERIFIER,
    BACKUP_VERIFICATION_SESSION,
    BACKUP_STORAGE,
    REPOSITORY,
    RETENTION_POLICY,
    SNAPSHOT,
    ADDON,
    FUNCTION,
    NAMESPACE,
    SERVICE_ACCOUNT,
    SERVICE,
    POD,
    SECRET,
    CLAIM,
    DEPLOYMENT,
    STATEFUL_SET,
    DAEMON_SET,
    EVENT,
    JOB,
    CRON_JOB,
    LEASE,
    CLUSTER_ROLE,
    CLUSTER_ROLE_BINDING,
    ROLE,
    ROLE_BINDING,
    CRD,
    MUTATING_WEBHOOKS,
    VALIDATING_WEBHOOKS,
];

impl Kind {
    /// `apiVersion` as objects carry it.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// The path of an object, or of the list. Without a namespace a list covers all of them.
    pub fn path(&self, namespace: Option<&str>, name: Option<&str>) -> String {
        let mut path = if self.group.is_empty() {
            format!("/api/{}", self.version)
        } else {
            format!("/apis/{}/{}", self.group, self.version)
        };
        if let (true, Some(namespace)) = (self.namespaced, namespace) {
            path.push_str("/namespaces/");
            path.push_str(&escape(namespace));
        }
        path.push('/');
        path.push_str(self.plural);
        if let Some(name) = name {
            path.push('/');
            path.push_str(&escape(name));
        }
        path
    }

    /// Whether a user's word means this kind: kind, plural or short name, in any case, with or without the group.
    pub fn is_called(&self, word: &str) -> bool {
        let word = word.to_lowercase();
        let base = match word.split_once('.') {
            Some((base, group))
                if group == self.group || group == format!("{}.{}", self.version, self.group) =>
            {
                base
            }
            Some(_) => return false,
            None => word.as_str(),
        };
        let builtin_short: &[&str] = match self.kind {
            "PersistentVolumeClaim" => &["pvc"],
            "Deployment" => &["deploy"],
            "StatefulSet" => &["sts"],
            "DaemonSet" => &["ds"],
            "Namespace" => &["ns"],
            "Pod" => &["po"],
            // As `create` calls them.
            "BackupStorage" => &["storage", "storages"],
            "RetentionPolicy" => &["retention"],
            _ => &[],
        };
        base == self.kind.to_lowercase()
            || base == self.plural
            || self.short.contains(&base)
            || builtin_short.contains(&base)
    }
}

/// The kind of an object by its `apiVersion` and `kind`.
pub fn of(api_version: &str, kind: &str) -> Option<&'static Kind> {
    ALL.iter()
        .find(|k| k.kind == kind && k.api_version() == api_version)
}

/// The kind that a user's word means among those given.
pub fn called<'k>(word: &str, among: &[&'k Kind]) -> Option<&'k Kind> {
    among.iter().find(|k| k.is_called(word)).copied()
}

/// Percent-encodes what may not stand in one segment of a path or in a query's value.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                escaped.push(char::from(byte));
            }
            other => escaped.push_str(&format!("%{other:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_words_mean_kinds() {
        for word in [
            "bc",
            "BackupConfiguration",
            "backupconfigurations",
            "backupconfiguration.core.kubestash.com",
        ] {
            assert!(BACKUP_CONFIGURATION.is_called(word), "{word}");
        }
        assert!(SNAPSHOT.is_called("snapshots.storage.kubestash.com"));
        assert!(CLAIM.is_called("pvc") && STATEFUL_SET.is_called("sts/".trim_end_matches('/')));
        assert!(!BACKUP_CONFIGURATION.is_called("backupconfiguration.other.io"));
        assert_eq!(called("repo", &[&SNAPSHOT, &REPOSITORY]), Some(&REPOSITORY));
    }

    #[test]
    fn paths_are_the_api_servers() {
        assert_eq!(
            POD.path(Some("demo"), Some("a/b")),
            "/api/v1/namespaces/demo/pods/a%2Fb"
        );
        assert_eq!(
            SNAPSHOT.path(None, None),
            "/apis/storage.kubestash.com/v1alpha1/snapshots"
        );
        assert_eq!(
            ADDON.path(Some("demo"), Some("x")),
            "/apis/addons.kubestash.com/v1alpha1/addons/x"
        );
        assert_eq!(of("apps/v1", "Deployment"), Some(&DEPLOYMENT));
    }
}
