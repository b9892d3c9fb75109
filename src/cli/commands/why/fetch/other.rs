//! Objects of kinds without reasoning of their own: what they refer to, and what refers to them.

use serde::de::IgnoredAny;
use serde_json::Value;

use super::Reader;
use crate::api::shared::Condition;
use crate::cli::commands::why::references::references;
use crate::cli::error::CliError;
use crate::cli::report::text;
use crate::cluster::{Error, Kind, ListOptions, kinds};
use crate::decide::explain::chain::About;
use crate::decide::explain::facts::Other;

/// How many objects are named that use another.
const USERS: usize = 50;

impl Reader<'_> {
    /// An object of a kind without reasoning of its own.
    pub(super) async fn other(
        &mut self,
        kind: &'static Kind,
        namespace: &str,
        name: &str,
        object: &Value,
    ) -> Result<(), CliError> {
        let mut other = Other {
            phase: text(object, "/status/phase").to_owned(),
            conditions: object
                .pointer("/status/conditions")
                .and_then(|c| serde_json::from_value::<Vec<Condition>>(c.clone()).ok())
                .unwrap_or_default(),
            ..Other::default()
        };
        for (referred, place, name) in references(object, namespace) {
            let found: Option<IgnoredAny> = match self.cluster.find(referred, Some(&place), &name).await {
                Ok(found) => found,
                Err(error) => {
                    self.forgive(referred, error)?;
                    continue;
                }
            };
            other
                .refers
                .push((About::new(referred.kind, &place, &name), found.is_some()));
        }
        other.used_by = self.users(kind, namespace, name).await?;
        self.facts.other = Some(other);
        Ok(())
    }

    /// What refers to an object: BackupConfigurations, and Addons for Functions.
    async fn users(&mut self, kind: &Kind, namespace: &str, name: &str) -> Result<Vec<About>, CliError> {
        let among: &'static Kind = if kind == &kinds::FUNCTION {
            &kinds::ADDON
        } else {
            &kinds::BACKUP_CONFIGURATION
        };
        let mut found: Result<Vec<Value>, Error> = self.cluster.list(among, &ListOptions::default()).await;
        if let (Err(Error::Forbidden { .. }), true) = (&found, !namespace.is_empty()) {
            found = self.cluster.list(among, &ListOptions::of(namespace)).await;
        }
        let found = match found {
            Ok(found) => found,
            Err(error) => return self.forgive(among, error).map(|()| Vec::new()),
        };
        Ok(found
            .iter()
            .filter(|object| {
                references(object, text(object, "/metadata/namespace"))
                    .iter()
                    .any(|(k, n, m)| *k == kind && n == namespace && m == name)
            })
            .take(USERS)
            .map(|o| {
                About::new(
                    among.kind,
                    text(o, "/metadata/namespace"),
                    text(o, "/metadata/name"),
                )
            })
            .collect())
    }
}
