//! The HTTPS server: one certificate at a time, replaced while it runs.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use anyhow::Context as _;
use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Path, State},
    http::StatusCode,
    routing::post,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use rustls::{
    ServerConfig,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinSet, time::timeout};
use tokio_rustls::TlsAcceptor;

use super::{certificate::Bundle, facts, review};
use crate::operator::Context;

/// The API server allows webhooks ten seconds unless told otherwise.
const ANSWER_WITHIN: Duration = Duration::from_secs(9);
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
const HEADERS_WITHIN: Duration = Duration::from_secs(30);
const DRAIN_WITHIN: Duration = Duration::from_secs(10);
/// Objects have at most 1.5 MiB in etcd; an update carries two.
const BODY_LIMIT: usize = 8 << 20;

/// The certificate that is served. Before the first one every handshake fails, and callers try again.
#[derive(Default)]
pub(super) struct Served {
    current: RwLock<Option<Arc<CertifiedKey>>>,
}

impl std::fmt::Debug for Served {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Served")
    }
}

impl Served {
    /// Serves this certificate from now on.
    ///
    /// # Errors
    /// When it or its key cannot be read, or they do not belong together.
    pub(super) fn set(&self, bundle: &Bundle) -> anyhow::Result<()> {
        let chain: Vec<CertificateDer<'static>> =
            CertificateDer::pem_slice_iter(bundle.certificate.as_bytes())
                .collect::<Result<_, _>>()
                .context("the webhooks' certificate cannot be read")?;
        let key = PrivateKeyDer::from_pem_slice(bundle.key.as_bytes())
            .context("the webhooks' key cannot be read")?;
        let key = rustls::crypto::ring::sign::any_supported_type(&key)
            .context("the webhooks' key cannot be used")?;
        let certified = CertifiedKey::new(chain, key);
        certified
            .keys_match()
            .context("the webhooks' certificate has another key")?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(certified));
        Ok(())
    }
}

impl ResolvesServerCert for Served {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Accepts connections until the context stops, then lets those that run finish.
pub(super) async fn run(listener: TcpListener, served: Arc<Served>, ctx: Arc<Context>) {
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_cert_resolver(served);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let router = router(ctx.clone());
    let mut connections = JoinSet::new();
    let stopped = ctx.stopped();
    tokio::pin!(stopped);
    loop {
        tokio::select! {
            () = &mut stopped => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => {
                    connections.spawn(connection(socket, acceptor.clone(), router.clone(), ctx.clone()));
                }
                Err(error) => {
                    // Out of file descriptors, most likely: give running requests time to end.
                    tracing::warn!(%error, "a connection to the webhooks was not accepted");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            },
        }
    }
    let rest = async { while connections.join_next().await.is_some() {} };
    let _ = timeout(DRAIN_WITHIN, rest).await;
}

async fn connection(socket: tokio::net::TcpStream, acceptor: TlsAcceptor, router: Router, ctx: Arc<Context>) {
    let stream = match timeout(HANDSHAKE_WITHIN, acceptor.accept(socket)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(%error, "TLS handshake with the webhooks failed");
            return;
        }
        Err(_) => return,
    };
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_WITHIN)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(served);
    tokio::select! {
        ended = &mut served => {
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection to the webhooks ended");
            }
            return;
        }
        () = ctx.stopped() => served.as_mut().graceful_shutdown(),
    }
    let _ = served.await;
}

fn router(ctx: Arc<Context>) -> Router {
    Router::new()
        .route("/{path}", post(answer))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(ctx)
}

async fn answer(
    State(ctx): State<Arc<Context>>,
    Path(path): Path<String>,
    Json(body): Json<Value>,
) -> Result<Json<Value>, StatusCode> {
    let route = review::route(&path).ok_or(StatusCode::NOT_FOUND)?;
    let request = review::Request::read(&body).ok_or(StatusCode::BAD_REQUEST)?;
    if request.passes() {
        return Ok(Json(request.allow()));
    }
    let gathered = timeout(
        ANSWER_WITHIN,
        facts::gather(&ctx.client, request.kind(), request.object()),
    );
    let response = match gathered.await {
        Ok(Ok(facts)) => request.answer(route, &facts),
        Ok(Err(error)) => {
            tracing::warn!(%error, kind = request.kind(), "facts for an admission cannot be read");
            request.failed("what it is to be compared with cannot be read from the cluster; try again")
        }
        Err(_) => request.failed("what it is to be compared with could not be read in time; try again"),
    };
    Ok(Json(response))
}
