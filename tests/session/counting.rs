//! A client that counts what passes through it and can be cut off, as a killed process is.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use http::{Method, Request, Response};
use kube::{Client, client::Body};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What passed, and how many writes may still pass.
#[derive(Default)]
pub(super) struct Meter {
    writes: AtomicUsize,
    seen: Mutex<Vec<String>>,
    limit: Option<usize>,
}

impl Meter {
    /// Lets `limit` writes pass; the next one and everything after it never returns.
    pub(super) fn cut_after(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit: Some(limit),
            ..Self::default()
        })
    }

    /// Writes that passed.
    pub(super) fn writes(&self) -> usize {
        self.writes.load(Ordering::SeqCst)
    }

    /// True once a write was held back.
    pub(super) fn cut(&self) -> bool {
        self.limit.is_some_and(|limit| self.writes() > limit)
    }

    /// Requests since the last call, as `METHOD path?query`, without open watches.
    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

#[derive(Clone)]
struct Metered {
    inner: Client,
    meter: Arc<Meter>,
}

/// `inner` through `meter`.
pub(super) fn client(inner: Client, meter: Arc<Meter>) -> Client {
    Client::new(Metered { inner, meter }, "default")
}

impl tower::Service<Request<Body>> for Metered {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (inner, meter) = (self.inner.clone(), self.meter.clone());
        Box::pin(async move {
            let uri = request.uri().to_string();
            // Events are courtesies that may come at any time; they are no steps of the work.
            let event = uri.contains("/events");
            if !uri.contains("watch=true") && !event {
                meter
                    .seen
                    .lock()
                    .unwrap()
                    .push(format!("{} {uri}", request.method()));
            }
            if request.method() != Method::GET && !event {
                meter.writes.fetch_add(1, Ordering::SeqCst);
            }
            if meter.cut() {
                std::future::pending::<()>().await;
            }
            inner.send(request).await.map_err(Into::into)
        })
    }
}
