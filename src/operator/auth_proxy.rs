//! `kubestash auth-proxy`: serves the operator's metrics to others, over TLS and only to callers whom the cluster
//! allows to read `/metrics`. The operator itself offers them on loopback alone.
//!
//! A caller shows a bearer token. The API server says whose it is (TokenReview) and whether that user may `get` the
//! non-resource path `/metrics` (SubjectAccessReview; the ClusterRole `kubestash-metrics-reader` grants it). Answers are
//! remembered for a minute. Tokens are never logged, and kept only as their hash.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};
use rustls::ServerConfig;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::listen;

const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
const HEADERS_WITHIN: Duration = Duration::from_secs(30);
const REVIEW_WITHIN: Duration = Duration::from_secs(5);
const SCRAPE_WITHIN: Duration = Duration::from_secs(10);
/// How long an answer about a token holds.
const REMEMBERED: Duration = Duration::from_secs(60);
/// How many tokens are remembered; more callers than that only cost more reviews.
const REMEMBERED_TOKENS: usize = 256;

/// Where to listen and what to forward to.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Port to serve on (HTTPS, all interfaces)
    #[arg(long, env = "KUBESTASH_LISTEN_AUTH_PROXY", default_value_t = 8443)]
    pub port: u16,
    /// Port of the operator's metrics on loopback
    #[arg(long, env = "KUBESTASH_LISTEN_METRICS", default_value_t = 8080)]
    pub metrics_port: u16,
    /// Namespace of the Service in front, for the certificate's name
    #[arg(long, env = "POD_NAMESPACE", default_value = "kubestash")]
    pub namespace: String,
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// When no cluster is configured or the port is taken.
pub async fn run(options: Options) -> anyhow::Result<()> {
    crate::telemetry::start();
    let config = kube::Config::infer()
        .await
        .context("no Kubernetes configuration was found")?;
    let proxy = Arc::new(Proxy {
        client: Client::try_from(config).context("the Kubernetes configuration cannot be used")?,
        http: reqwest::Client::builder()
            .timeout(SCRAPE_WITHIN)
            .no_proxy()
            .build()
            .context("no HTTP client")?,
        upstream: format!("http://{}/metrics", listen::within_the_pod(options.metrics_port)),
        remembered: Mutex::default(),
    });
    let listener = listen::everywhere(options.port, "--port").await?;
    let acceptor = TlsAcceptor::from(Arc::new(tls(&options.namespace)?));
    let router = Router::new().route("/metrics", get(metrics)).with_state(proxy);
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be awaited")?;
    tracing::info!(port = options.port, "serving metrics to authorised callers");
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = tokio::signal::ctrl_c() => return Ok(()),
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => {
                    tokio::spawn(connection(socket, acceptor.clone(), router.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            },
        }
    }
}

/// A certificate of its own, made at each start: who scrapes trusts the token's answer, not the name.
fn tls(namespace: &str) -> anyhow::Result<ServerConfig> {
    let service = format!("kubestash-metrics.{namespace}.svc");
    let names = vec![
        service.clone(),
        format!("{service}.cluster.local"),
        "localhost".to_owned(),
    ];
    let made = rcgen::generate_simple_self_signed(names).context("no certificate can be made")?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .context("the certificate cannot be used")
}

async fn connection(socket: TcpStream, acceptor: TlsAcceptor, router: Router) {
    let Ok(Ok(stream)) = timeout(HANDSHAKE_WITHIN, acceptor.accept(socket)).await else {
        return;
    };
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_WITHIN)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended");
    }
}

struct Proxy {
    client: Client,
    http: reqwest::Client,
    upstream: String,
    remembered: Mutex<HashMap<[u8; 32], (Instant, Access)>>,
}

/// What the cluster says about a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Allowed,
    Forbidden,
    Unknown,
}

async fn metrics(State(proxy): State<Arc<Proxy>>, headers: HeaderMap) -> Response {
    let Some(token) = bearer(&headers) else {
        return (StatusCode::UNAUTHORIZED, "a bearer token is wanted\n").into_response();
    };
    match timeout(REVIEW_WITHIN, proxy.access(token)).await {
        Ok(Ok(Access::Allowed)) => proxy.scrape().await,
        Ok(Ok(Access::Forbidden)) => (
            StatusCode::FORBIDDEN,
            "the ClusterRole kubestash-metrics-reader is needed\n",
        )
            .into_response(),
        Ok(Ok(Access::Unknown)) => (StatusCode::UNAUTHORIZED, "the token is not known\n").into_response(),
        Ok(Err(error)) => {
            tracing::warn!(%error, "the API server did not review a token");
            StatusCode::BAD_GATEWAY.into_response()
        }
        Err(_) => StatusCode::GATEWAY_TIMEOUT.into_response(),
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

impl Proxy {
    async fn access(&self, token: &str) -> Result<Access, kube::Error> {
        let key: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        if let Some(known) = self.recall(&key) {
            return Ok(known);
        }
        let access = self.review(token).await?;
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.retain(|_, (since, _)| since.elapsed() < REMEMBERED);
        if remembered.len() < REMEMBERED_TOKENS {
            remembered.insert(key, (Instant::now(), access));
        }
        Ok(access)
    }

    fn recall(&self, key: &[u8; 32]) -> Option<Access> {
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        remembered
            .get(key)
            .filter(|(since, _)| since.elapsed() < REMEMBERED)
            .map(|(_, access)| *access)
    }

    async fn review(&self, token: &str) -> Result<Access, kube::Error> {
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: token.to_owned(),
                ..TokenReviewSpec::default()
            },
            ..TokenReview::default()
        };
        let reviews: Api<TokenReview> = Api::all(self.client.clone());
        let status = reviews
            .create(&PostParams::default(), &review)
            .await?
            .status
            .unwrap_or_default();
        let user = match status.user {
            Some(user) if status.authenticated == Some(true) => user,
            _ => return Ok(Access::Unknown),
        };
        let reviews: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let status = reviews
            .create(&PostParams::default(), &may_read(user))
            .await?
            .status;
        Ok(if status.is_some_and(|s| s.allowed) {
            Access::Allowed
        } else {
            Access::Forbidden
        })
    }

    async fn scrape(&self) -> Response {
        let answer = match self.http.get(&self.upstream).send().await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::warn!(%error, "the operator's metrics cannot be reached");
                return StatusCode::BAD_GATEWAY.into_response();
            }
        };
        let status = StatusCode::from_u16(answer.status().as_u16()).unwrap_or(StatusCode::BAD_GATEWAY);
        let kind = answer
            .headers()
            .get("content-type")
            .and_then(|v| v.to_str().ok())
            .map(str::to_owned);
        match answer.bytes().await {
            Ok(body) => {
                let kind = kind.unwrap_or_else(|| "text/plain".to_owned());
                (status, [(header::CONTENT_TYPE, kind)], body).into_response()
            }
            Err(_) => StatusCode::BAD_GATEWAY.into_response(),
        }
    }
}

/// May this user read `/metrics`?
fn may_read(user: UserInfo) -> SubjectAccessReview {
    SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: user.username,
            uid: user.uid,
            groups: user.groups,
            extra: user.extra,
            non_resource_attributes: Some(NonResourceAttributes {
                path: Some("/metrics".to_owned()),
                verb: Some("get".to_owned()),
            }),
            resource_attributes: None,
        },
        ..SubjectAccessReview::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bearer_tokens_count() {
        let with = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(with("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(with("bearer abc").as_deref(), Some("abc"));
        assert_eq!(with("Basic abc"), None);
        assert_eq!(with("Bearer "), None);
        assert_eq!(bearer(&HeaderMap::new()), None);
    }

    #[test]
    fn the_question_names_the_user_and_the_path() {
        let user = UserInfo {
            username: Some("prometheus".to_owned()),
            ..UserInfo::default()
        };
        let review = may_read(user);
        assert_eq!(review.spec.user.as_deref(), Some("prometheus"));
        assert_eq!(
            review.spec.non_resource_attributes.unwrap().path.as_deref(),
            Some("/metrics")
        );
    }

    #[test]
    fn a_certificate_can_be_made() {
        crate::install_crypto_provider();
        assert!(tls("kubestash").is_ok());
    }
}
