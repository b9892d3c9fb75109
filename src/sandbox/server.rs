//! The API server as the rest of the program holds it: made from a state directory, served over TLS, and reachable
//! without any socket through [`Server::client`].

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use http::{Request, Response};
use kube::client::Body as ClientBody;
use serde_json::Value;
use tokio::net::TcpListener;
use tower::ServiceExt;

use super::auth::{User, bootstrap, rbac, tokens};
use super::kinds::{Registry, definition};
use super::kubelet::Kubelet;
use super::store::{GroupResource, Store, WriteError};
use super::{http as routes, tls};

/// How a server is set up.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Where objects, tokens and certificates are kept; `None` keeps everything in memory.
    pub state_dir: Option<PathBuf>,
}

/// On whose behalf an in-process client acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// The cluster's administrator, who may do everything.
    Admin,
    /// A ServiceAccount, with its rights and nothing more. It need not exist yet.
    ServiceAccount {
        /// Namespace of the account.
        namespace: String,
        /// Name of the account.
        name: String,
    },
}

/// The state behind a server.
pub(crate) struct Api {
    pub(crate) store: Store,
    pub(crate) registry: Registry,
    pub(crate) secrets: tokens::Secrets,
    pub(crate) authority: tls::Authority,
    kubelet: RwLock<Option<Arc<dyn Kubelet>>>,
}

impl Api {
    /// The node, once there is one.
    pub(crate) fn kubelet(&self) -> Option<Arc<dyn Kubelet>> {
        self.kubelet
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Stores a new object and draws the server's own conclusions from it.
    pub(crate) fn commit_create(
        &self,
        kind: &GroupResource,
        mut object: Value,
    ) -> Result<Arc<Value>, WriteError> {
        if definition::is_definition(kind) {
            definition::complete(self, &mut object);
        }
        let object = self.store.create(kind, object)?;
        self.conclude(kind, &object, false);
        Ok(object)
    }

    /// Replaces an object at a version and draws the server's own conclusions from it.
    pub(crate) fn commit_update(
        &self,
        kind: &GroupResource,
        mut object: Value,
        expected: &str,
    ) -> Result<Arc<Value>, WriteError> {
        if definition::is_definition(kind) {
            definition::complete(self, &mut object);
        }
        let object = self.store.update(kind, object, expected)?;
        self.conclude(kind, &object, false);
        Ok(object)
    }

    /// Removes an object at a version and draws the server's own conclusions from it.
    pub(crate) fn commit_delete(
        &self,
        kind: &GroupResource,
        namespace: &str,
        name: &str,
        expected: &str,
    ) -> Result<Arc<Value>, WriteError> {
        let object = self.store.delete(kind, namespace, name, expected)?;
        self.conclude(kind, &object, true);
        Ok(object)
    }

    fn conclude(&self, kind: &GroupResource, object: &Value, deleted: bool) {
        if definition::is_definition(kind) {
            if deleted {
                self.registry.unregister(object);
            } else {
                self.registry.register(object);
            }
        } else if kind.resource == "clusterroles" {
            rbac::aggregate(self);
        }
    }
}

/// A small Kubernetes API server. Clones share the same state.
#[derive(Clone)]
pub struct Server {
    api: Arc<Api>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Server")
    }
}

impl Server {
    /// Opens the state of the directory (or starts empty) and makes what every cluster has.
    ///
    /// # Errors
    /// When the directory cannot be read or written, or its log is damaged other than at its end.
    pub fn new(options: &Options) -> io::Result<Self> {
        let dir = options.state_dir.as_deref();
        let api = Api {
            store: Store::open(dir)?,
            registry: Registry::new(),
            secrets: tokens::Secrets::open(dir)?,
            authority: tls::Authority::open(dir)?,
            kubelet: RwLock::new(None),
        };
        for crd in api.store.list(&definition::storage(), None).objects {
            api.registry.register(&crd.1.value());
        }
        bootstrap::ensure(&api);
        let server = Self { api: Arc::new(api) };
        definition::resume_cleanup(&server.api);
        Ok(server)
    }

    /// The server as a router: every request it answers, whoever carries it. Requests need a bearer token.
    pub fn router(&self) -> Router {
        routes::router(self.api.clone())
    }

    /// A client that needs no socket. Streams that upgrade the connection (exec, port-forward) work too. Its default
    /// namespace is the ServiceAccount's, or `default`.
    pub fn client(&self, identity: Identity) -> kube::Client {
        let (user, namespace) = match identity {
            Identity::Admin => (User::admin(), "default".to_owned()),
            Identity::ServiceAccount { namespace, name } => {
                (User::service_account(&namespace, &name, ""), namespace)
            }
        };
        kube::Client::new(
            InProcess {
                router: self.router(),
                user,
            },
            namespace,
        )
    }

    /// Serves HTTPS on a listener until `shutdown` resolves. Open watches end with it.
    ///
    /// # Errors
    /// When the certificate cannot be made for the listener's address.
    pub async fn serve_tls(
        &self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send,
    ) -> io::Result<()> {
        tls::serve(&self.api, self.router(), listener, shutdown).await
    }

    /// The administrator's bearer token.
    pub fn admin_token(&self) -> &str {
        self.api.secrets.admin()
    }

    /// The certificate (PEM) clients have to trust.
    pub fn ca_pem(&self) -> &str {
        self.api.authority.ca_pem()
    }

    /// Tells the server who answers for logs, exec and port-forward.
    pub fn set_kubelet(&self, kubelet: Arc<dyn Kubelet>) {
        *self.api.kubelet.write().unwrap_or_else(PoisonError::into_inner) = Some(kubelet);
    }
}

/// The transport of in-process clients.
#[derive(Clone)]
struct InProcess {
    router: Router,
    user: User,
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

impl tower::Service<Request<ClientBody>> for InProcess {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ClientBody>) -> Answer {
        let (router, user) = (self.router.clone(), self.user.clone());
        let mut request = request.map(Body::new);
        if request.headers().contains_key(http::header::UPGRADE) {
            return Box::pin(through_pipe(router, user, request));
        }
        request.extensions_mut().insert(user);
        Box::pin(async move { Ok(router.oneshot(request).await?) })
    }
}

/// Carries one request over a pipe in memory, because only a connection can be upgraded to a stream.
async fn through_pipe(
    router: Router,
    user: User,
    mut request: Request<Body>,
) -> Result<Response<Body>, BoxError> {
    use hyper_util::rt::TokioIo;
    let (near, far) = tokio::io::duplex(64 << 10);
    tokio::spawn(async move {
        let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
            let (router, user) = (router.clone(), user.clone());
            async move {
                let mut request = request.map(Body::new);
                request.extensions_mut().insert(user);
                router.oneshot(request).await
            }
        });
        let connection =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(far), service);
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "an in-process stream ended");
        }
    });
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(near)).await?;
    tokio::spawn(async move {
        let _ = connection.with_upgrades().await;
    });
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |p| p.as_str())
        .parse()?;
    *request.uri_mut() = path;
    request
        .headers_mut()
        .insert(http::header::HOST, http::HeaderValue::from_static("sandbox"));
    Ok(sender.send_request(request).await?.map(Body::new))
}
