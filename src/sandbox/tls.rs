//! The server's certificates, made by itself and kept in the state directory, and the TLS listener.

use std::fs;
use std::future::Future;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::auth::bootstrap;
use super::server::Api;

/// How long a client may take for the TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long connections may take to end once the server is told to.
const FAREWELL: Duration = Duration::from_secs(2);

/// The certificate authority of one sandbox.
pub(crate) struct Authority {
    certificate: String,
    key: String,
}

fn other(error: impl std::fmt::Display) -> io::Error {
    io::Error::other(error.to_string())
}

/// Writes a file only its owner may read.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

impl Authority {
    /// Reads the authority of a state directory, or makes one.
    pub(crate) fn open(dir: Option<&Path>) -> io::Result<Self> {
        let files = dir.map(|d| (d.join("ca.crt"), d.join("ca.key")));
        if let Some((certificate, key)) = &files
            && certificate.exists()
            && key.exists()
        {
            return Ok(Self {
                certificate: fs::read_to_string(certificate)?,
                key: fs::read_to_string(key)?,
            });
        }
        let key = KeyPair::generate().map_err(other)?;
        let certificate = Self::params().self_signed(&key).map_err(other)?;
        let made = Self {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        };
        if let Some((certificate, key)) = &files {
            write_private(key, made.key.as_bytes())?;
            write_private(certificate, made.certificate.as_bytes())?;
        }
        Ok(made)
    }

    fn params() -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "kubernetes");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        params
    }

    /// The authority's certificate.
    pub(crate) fn ca_pem(&self) -> &str {
        &self.certificate
    }

    /// TLS for a server that is called by these names and addresses.
    fn server_config(&self, names: Vec<String>) -> io::Result<ServerConfig> {
        let key = KeyPair::generate().map_err(other)?;
        let mut params = CertificateParams::new(names).map_err(other)?;
        params
            .distinguished_name
            .push(DnType::CommonName, "kube-apiserver");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let issuer_key = KeyPair::from_pem(&self.key).map_err(other)?;
        let issuer = Issuer::new(Self::params(), issuer_key);
        let certificate = params.signed_by(&key, &issuer).map_err(other)?;
        let private = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).map_err(other)?;
        let chain = vec![CertificateDer::from(certificate.der().to_vec())];
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(other)?
            .with_no_client_auth()
            .with_single_cert(chain, private)
            .map_err(other)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// Serves a router over TLS until told to stop.
pub(crate) async fn serve(
    api: &Api,
    router: Router,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let mut names: Vec<String> = [
        "localhost",
        "127.0.0.1",
        "::1",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    ]
    .map(str::to_owned)
    .to_vec();
    let own = listener.local_addr()?.ip().to_string();
    if !names.contains(&own) {
        names.push(own);
    }
    bootstrap::publish(api, listener.local_addr()?);
    let acceptor = TlsAcceptor::from(Arc::new(api.authority.server_config(names)?));
    let (stop, stopping) = tokio::sync::watch::channel(false);
    let mut connections = tokio::task::JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else {
                    // Out of file descriptors, say: others may end meanwhile.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                };
                let _ = stream.set_nodelay(true);
                connections.spawn(connection(acceptor.clone(), stream, router.clone(), stopping.clone()));
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
    let _ = stop.send(true);
    let _ = tokio::time::timeout(FAREWELL, async {
        while connections.join_next().await.is_some() {}
    })
    .await;
    Ok(())
}

async fn connection(
    acceptor: TlsAcceptor,
    stream: tokio::net::TcpStream,
    router: Router,
    mut stopping: tokio::sync::watch::Receiver<bool>,
) {
    let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await else {
        return;
    };
    let service = TowerToHyperService::new(router);
    let serving = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::select! {
        result = serving => {
            if let Err(error) = result {
                tracing::trace!(%error, "a connection ended");
            }
        }
        _ = stopping.wait_for(|stop| *stop) => {}
    }
}
