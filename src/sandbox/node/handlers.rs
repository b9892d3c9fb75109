//! What probes and hooks do besides executing commands: HTTP requests and TCP connections, and lifecycle hooks.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, HTTPGetAction, LifecycleHandler, Pod};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::address;
use super::cell::PodCell;
use super::exec;

/// Runs a lifecycle hook within a bound.
pub(crate) async fn hook(
    cell: &Arc<PodCell>,
    container: &Container,
    handler: &LifecycleHandler,
    bound: Duration,
) -> Result<(), String> {
    if let Some(action) = &handler.exec {
        return exec::check(
            cell,
            &container.name,
            action.command.clone().unwrap_or_default(),
            bound,
        )
        .await;
    }
    if let Some(action) = &handler.http_get {
        return http(&cell.pod(), container, action, bound).await;
    }
    if let Some(sleep) = &handler.sleep {
        let wanted = Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or(0));
        tokio::time::sleep(wanted.min(bound)).await;
    }
    Ok(())
}

/// The number of a port that may be given by its name.
pub(crate) fn port(container: &Container, port: &IntOrString) -> Result<u16, String> {
    let number = match port {
        IntOrString::Int(n) => Some(*n),
        IntOrString::String(name) => {
            let named = container
                .ports
                .iter()
                .flatten()
                .find(|p| p.name.as_deref() == Some(name));
            named.map(|p| p.container_port).or_else(|| name.parse().ok())
        }
    };
    number
        .and_then(|n| u16::try_from(n).ok())
        .ok_or_else(|| format!("couldn't find port: {port:?}"))
}

/// Whether something accepts connections.
pub(crate) async fn tcp(host: &str, port: u16, bound: Duration) -> Result<(), String> {
    match timeout(bound, TcpStream::connect((host, port))).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(e)) => Err(format!("dial tcp {host}:{port}: {e}")),
        Err(_) => Err(format!("dial tcp {host}:{port}: i/o timeout")),
    }
}

/// Whether a GET is answered with a status from 200 to 399.
pub(crate) async fn http(
    pod: &Pod,
    container: &Container,
    action: &HTTPGetAction,
    bound: Duration,
) -> Result<(), String> {
    let port = port(container, &action.port)?;
    match timeout(bound, get(&host(pod, action.host.as_deref()), action, port)).await {
        Ok(Ok(status @ 200..=399)) => {
            tracing::trace!(status, "probe answered");
            Ok(())
        }
        Ok(Ok(status)) => Err(format!("HTTP probe failed with statuscode: {status}")),
        Ok(Err(e)) => Err(format!("Get \"{}\": {e}", action.path.as_deref().unwrap_or("/"))),
        Err(_) => Err("HTTP probe timed out".to_owned()),
    }
}

/// The host an action names, or the pod.
pub(crate) fn host(pod: &Pod, named: Option<&str>) -> String {
    named
        .filter(|h| !h.is_empty())
        .map_or_else(|| address::of(pod), str::to_owned)
}

async fn get(host: &str, action: &HTTPGetAction, port: u16) -> std::io::Result<u16> {
    let path = action.path.as_deref().filter(|p| !p.is_empty()).unwrap_or("/");
    let slash = if path.starts_with('/') { "" } else { "/" };
    let headers = action.http_headers.iter().flatten();
    let own_host = headers.clone().any(|h| h.name.eq_ignore_ascii_case("host"));
    let host_line = if own_host {
        String::new()
    } else {
        format!("Host: {host}:{port}\r\n")
    };
    let extra: String = headers.map(|h| format!("{}: {}\r\n", h.name, h.value)).collect();
    let request = format!(
        "GET {slash}{path} HTTP/1.1\r\n{host_line}User-Agent: kube-probe/1\r\nAccept: */*\r\nConnection: close\r\n{extra}\r\n"
    );
    let stream = TcpStream::connect((host, port)).await?;
    if action.scheme.as_deref() == Some("HTTPS") {
        let name = ServerName::try_from(host.to_owned()).map_err(std::io::Error::other)?;
        let stream = TlsConnector::from(any_certificate()?)
            .connect(name, stream)
            .await?;
        return ask(stream, &request).await;
    }
    ask(stream, &request).await
}

async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> std::io::Result<u16> {
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    let mut buffer = [0u8; 512];
    while !answer.contains(&b'\n') && answer.len() < 4096 {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            break;
        }
        answer.extend_from_slice(buffer.get(..count).unwrap_or_default());
    }
    let text = String::from_utf8_lossy(&answer);
    let status = text.split_whitespace().nth(1).and_then(|s| s.parse().ok());
    status
        .filter(|_| text.starts_with("HTTP/"))
        .ok_or_else(|| std::io::Error::other("the answer is not HTTP"))
}

/// The kubelet does not verify certificates in probes: pods serve self-made ones.
fn any_certificate() -> std::io::Result<Arc<rustls::ClientConfig>> {
    let provider = Arc::new(ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(std::io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
