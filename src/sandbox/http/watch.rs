//! Watches: what is there, then what changes, as a stream that ends only with the client, its time, or the server.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderValue, Response, header};
use serde_json::{Value, json};
use tokio::sync::watch as channel;
use tokio::time::Instant;

use super::respond::{self, Form};
use super::{Exchange, read};
use crate::sandbox::kinds::Resource;
use crate::sandbox::object;
use crate::sandbox::selectors::Selection;
use crate::sandbox::server::Api;
use crate::sandbox::status::{ApiError, ApiResult};
use crate::sandbox::store::{Change, GroupResource};
use crate::sandbox::table;

/// How often a quiet watch that wants bookmarks gets one.
const BOOKMARK_EVERY: Duration = Duration::from_secs(30);
/// How long a watch lasts that does not say.
const DEFAULT_LIFE: Duration = Duration::from_secs(1800);

struct Watch {
    api: Arc<Api>,
    resource: Arc<Resource>,
    storage: GroupResource,
    namespace: Option<String>,
    selection: Selection,
    form: Form,
    bookmarks: bool,
    /// The last version the client has seen or been spared.
    version: u64,
    news: channel::Receiver<u64>,
    ready: VecDeque<Bytes>,
    end: Instant,
    over: bool,
    /// Table columns were sent already.
    columns_sent: bool,
}

/// Starts a watch.
pub(super) fn watch(exchange: &Exchange, resource: &Arc<Resource>) -> ApiResult<Response<Body>> {
    let query = &exchange.info.query;
    let mut selection = read::selection(exchange, resource)?;
    if !exchange.info.name.is_empty() {
        let fields = format!("metadata.name={}", exchange.info.name);
        selection = Selection::parse(query.get("labelSelector"), Some(&fields), resource)?;
    }
    let storage = resource.storage();
    let bookmarks = query.flag("allowWatchBookmarks");
    let initial = query.get("sendInitialEvents");
    check_initial(query, bookmarks)?;
    let life = query
        .number("timeoutSeconds")?
        .filter(|s| *s > 0)
        .map_or(DEFAULT_LIFE, Duration::from_secs);
    let mut watch = Watch {
        api: exchange.api.clone(),
        resource: resource.clone(),
        namespace: Some(exchange.info.namespace.clone()).filter(|n| !n.is_empty() && resource.namespaced),
        selection,
        form: respond::form(&exchange.headers, query.get("includeObject"))?,
        bookmarks,
        version: 0,
        news: exchange.api.store.news(&storage),
        storage,
        ready: VecDeque::new(),
        end: Instant::now() + life,
        over: false,
        columns_sent: false,
    };
    let start = query.get("resourceVersion").unwrap_or_default();
    let from_now = matches!(start, "" | "0");
    if initial == Some("true") || (initial.is_none() && from_now) {
        watch.send_all();
        if initial == Some("true") {
            watch.bookmark(true);
        }
    } else if from_now {
        watch.version = exchange.api.store.version();
    } else {
        watch.version = start.parse().map_err(|_| {
            ApiError::bad_request(format!(
                "Invalid value: \"{start}\": resourceVersion is not a number"
            ))
        })?;
    }
    watch.catch_up();
    let mut response = Response::new(Body::from_stream(stream(watch)));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

fn check_initial(query: &crate::sandbox::request::Query, bookmarks: bool) -> ApiResult<()> {
    if query.get("sendInitialEvents").is_none() {
        return Ok(());
    }
    let matches = query.get("resourceVersionMatch");
    if matches != Some("NotOlderThan") || !bookmarks {
        return Err(ApiError::unprocessable(
            "ListOptions.meta.k8s.io \"\" is invalid: sendInitialEvents: Forbidden: sendInitialEvents requires resourceVersionMatch=NotOlderThan and allowWatchBookmarks=true",
        ));
    }
    Ok(())
}

fn stream(watch: Watch) -> impl futures::Stream<Item = Result<Bytes, Infallible>> {
    futures::stream::unfold(watch, |mut watch| async move {
        loop {
            if let Some(chunk) = watch.ready.pop_front() {
                return Some((Ok(chunk), watch));
            }
            if watch.over {
                return None;
            }
            watch.wait().await;
        }
    })
}

impl Watch {
    /// Waits for changes, the next bookmark, or the end.
    async fn wait(&mut self) {
        let now = Instant::now();
        if now >= self.end {
            self.over = true;
            return;
        }
        let pause = if self.bookmarks {
            (now + BOOKMARK_EVERY).min(self.end)
        } else {
            self.end
        };
        match tokio::time::timeout_at(pause, self.news.changed()).await {
            Ok(Ok(())) => self.catch_up(),
            // The store is gone, and with it the server.
            Ok(Err(_)) => self.over = true,
            Err(_) if self.bookmarks => {
                self.version = self.version.max(self.seen());
                self.bookmark(false);
            }
            Err(_) => {}
        }
    }

    /// The version up to which nothing can be missing.
    fn seen(&mut self) -> u64 {
        let latest = self.api.store.version();
        self.catch_up();
        latest
    }

    /// Everything that is there, as `ADDED`.
    fn send_all(&mut self) {
        let listing = self.api.store.list(&self.storage, self.namespace.as_deref());
        for (_, stored) in listing.objects {
            let object = stored.value();
            if self.selection.matches(&object) {
                self.event("ADDED", object);
            }
        }
        self.version = listing.version;
    }

    /// Queues all changes the client has not seen.
    fn catch_up(&mut self) {
        self.news.mark_unchanged();
        match self.api.store.changes(&self.storage, self.version) {
            Err(_) => {
                let error = ApiError::expired(format!("too old resource version: {}", self.version));
                self.push(&json!({"type": "ERROR", "object": error.to_status()}));
                self.over = true;
            }
            Ok(changes) => {
                for change in changes {
                    self.version = change.version;
                    self.change(&change);
                }
            }
        }
    }

    fn change(&mut self, change: &Change) {
        if self.namespace.as_ref().is_some_and(|n| *n != change.namespace) {
            return;
        }
        if self.selection.fields.name().is_some_and(|n| n != change.name) {
            return;
        }
        let object = change.object.value();
        let before = change
            .previous
            .as_ref()
            .map(|p| self.selection.matches(&p.value()));
        let now = !change.deleted && self.selection.matches(&object);
        match (before, now) {
            (Some(true), true) => self.event("MODIFIED", object),
            (Some(true), false) => {
                // An object that left the selection is shown as it was when it still belonged.
                let last = if change.deleted {
                    object
                } else {
                    self.farewell(change, &object)
                };
                self.event("DELETED", last);
            }
            (_, true) => self.event("ADDED", object),
            (_, false) => {}
        }
    }

    fn farewell(&self, change: &Change, object: &Value) -> Arc<Value> {
        let mut last = change
            .previous
            .as_ref()
            .map(|p| (*p.value()).clone())
            .unwrap_or_default();
        object::metadata(&mut last).insert("resourceVersion".into(), json!(object::resource_version(object)));
        Arc::new(last)
    }

    fn event(&mut self, kind: &str, object: Arc<Value>) {
        let shown = respond::present(&self.resource, object);
        let event = match self.form {
            Form::Object => json!({"type": kind, "object": &*shown}),
            Form::Metadata => json!({"type": kind, "object": respond::metadata_only(&shown)}),
            Form::Table(rows) => {
                let metadata = json!({"resourceVersion": object::resource_version(&shown)});
                let table = table::render(&self.resource, &[shown], &metadata, !self.columns_sent, rows);
                self.columns_sent = true;
                json!({"type": kind, "object": table})
            }
        };
        self.push(&event);
    }

    fn bookmark(&mut self, initial_end: bool) {
        let mut metadata = json!({"resourceVersion": self.version.to_string(), "creationTimestamp": null});
        if initial_end {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let object = match self.form {
            Form::Object => json!({
                "kind": self.resource.kind, "apiVersion": self.resource.api_version(), "metadata": metadata,
            }),
            Form::Metadata => json!({
                "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
            }),
            Form::Table(rows) => {
                let mut table = table::render(&self.resource, &[], &metadata, false, rows);
                table["rows"] = json!([{"cells": [], "object": {
                    "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}}]);
                table
            }
        };
        self.push(&json!({"type": "BOOKMARK", "object": object}));
    }

    fn push(&mut self, event: &Value) {
        let mut line = serde_json::to_vec(event).unwrap_or_default();
        line.push(b'\n');
        self.ready.push_back(line.into());
    }
}
