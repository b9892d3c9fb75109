//! Lists in pages, so that the first rows show at once and nobody holds a whole history in one answer.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::kinds::escape;
use super::{Cluster, Error, Kind};

/// How many objects one page has: kubectl's own number.
const PAGE: usize = 500;

/// Which objects are wanted.
#[derive(Debug, Clone, Default)]
pub struct ListOptions {
    /// One namespace; all of them when absent.
    pub namespace: Option<String>,
    /// Label selector.
    pub labels: Option<String>,
    /// Field selector.
    pub fields: Option<String>,
}

impl ListOptions {
    /// The objects of one namespace.
    pub fn of(namespace: &str) -> Self {
        ListOptions {
            namespace: Some(namespace.to_owned()),
            ..ListOptions::default()
        }
    }

    /// Only those that carry these labels.
    #[must_use]
    pub fn labelled(mut self, selector: impl Into<String>) -> Self {
        self.labels = Some(selector.into());
        self
    }
}

/// One page.
#[derive(Debug, Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
pub struct Page<T> {
    /// The objects.
    #[serde(default = "Vec::new")]
    pub items: Vec<T>,
    /// Where the next page starts.
    #[serde(default)]
    metadata: Meta,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    #[serde(default, rename = "continue")]
    next: String,
    remaining_item_count: Option<u64>,
}

impl<T> Page<T> {
    /// The token of the next page; `None` on the last.
    pub fn next(&self) -> Option<&str> {
        Some(self.metadata.next.as_str()).filter(|n| !n.is_empty())
    }

    /// How many objects follow, where the server says so.
    pub fn remaining(&self) -> Option<u64> {
        self.metadata.remaining_item_count
    }
}

impl Cluster {
    /// Reads one page; `next` is the previous page's token.
    ///
    /// # Errors
    /// [`Error::Gone`] when the token is too old; see [`Error`].
    pub async fn page<T: DeserializeOwned>(
        &self,
        kind: &Kind,
        options: &ListOptions,
        next: Option<&str>,
    ) -> Result<Page<T>, Error> {
        let namespace = options.namespace.as_deref();
        let mut path = format!("{}?limit={PAGE}", kind.path(namespace, None));
        for (key, value) in [
            ("labelSelector", options.labels.as_deref()),
            ("fieldSelector", options.fields.as_deref()),
            ("continue", next),
        ] {
            if let Some(value) = value {
                path.push_str(&format!("&{key}={}", escape(value)));
            }
        }
        self.request("GET", &path, Vec::new())
            .await
            .map_err(|e| e.about(kind, namespace, None))
    }

    /// Reads all pages. A list that fails half way is an error, never a shorter list.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list<T: DeserializeOwned>(
        &self,
        kind: &Kind,
        options: &ListOptions,
    ) -> Result<Vec<T>, Error> {
        let mut all = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let page: Page<T> = self.page(kind, options, next.as_deref()).await?;
            next = page.next().map(ToOwned::to_owned);
            all.extend(page.items);
            if next.is_none() {
                return Ok(all);
            }
        }
    }
}
