//! Calling a webhook: finding it (a URL, or a Service through its Endpoints), trusting it (`caBundle`), asking it.

use std::sync::Arc;

use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{Request, header};
use http_body_util::{BodyExt, Limited};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use tokio::net::TcpStream;

use crate::sandbox::object;
use crate::sandbox::server::Api;
use crate::sandbox::store::GroupResource;

/// No answer of a webhook is larger.
const LIMIT: usize = 8 << 20;

/// Where a webhook is.
struct Place {
    /// What its certificate must be for.
    server_name: String,
    /// Where to connect to.
    address: (String, u16),
    path: String,
    /// The URL shown in errors.
    url: String,
}

/// Posts a review; answers the review that comes back. Errors are sentences.
pub(super) async fn post(api: &Api, hook: &Value, review: &Value) -> Result<Value, String> {
    let config = &hook["clientConfig"];
    let place = match config["url"].as_str() {
        Some(url) => at_url(url)?,
        None => at_service(api, &config["service"])?,
    };
    send(&place, config["caBundle"].as_str(), review)
        .await
        .map_err(|e| format!("Post \"{}\": {e}", place.url))
}

fn at_url(url: &str) -> Result<Place, String> {
    let uri: http::Uri = url.parse().map_err(|e| format!("{url} is no URL: {e}"))?;
    let host = uri
        .host()
        .ok_or_else(|| format!("{url} names no host"))?
        .to_owned();
    let plain = host.trim_matches(['[', ']']).to_owned();
    Ok(Place {
        server_name: plain.clone(),
        address: (plain, uri.port_u16().unwrap_or(443)),
        path: uri.path_and_query().map_or("/", |p| p.as_str()).to_owned(),
        url: url.to_owned(),
    })
}

fn at_service(api: &Api, service: &Value) -> Result<Place, String> {
    let (name, namespace) = (
        object::text(service, &["name"]),
        object::text(service, &["namespace"]),
    );
    let port = service["port"].as_i64().unwrap_or(443);
    let path = object::text(service, &["path"]);
    let server_name = format!("{name}.{namespace}.svc");
    let url = format!("https://{server_name}:{port}/{}", path.trim_start_matches('/'));
    let live = api
        .store
        .get(&GroupResource::new("", "services"), namespace, name)
        .ok_or_else(|| format!("Post \"{url}\": service \"{name}\" not found"))?;
    let ports = object::list(&live, &["spec", "ports"]);
    let service_port = ports
        .iter()
        .find(|p| p["port"].as_i64() == Some(port))
        .ok_or_else(|| format!("Post \"{url}\": no service port {port} found for service \"{name}\""))?;
    let port_name = object::text(service_port, &["name"]);
    let address = endpoint(api, namespace, name, port_name)
        .ok_or_else(|| format!("Post \"{url}\": no endpoints available for service \"{name}\""))?;
    Ok(Place {
        server_name,
        address,
        path: format!("/{}", path.trim_start_matches('/')),
        url,
    })
}

/// A ready address of a Service's port.
fn endpoint(api: &Api, namespace: &str, name: &str, port_name: &str) -> Option<(String, u16)> {
    let endpoints = api
        .store
        .get(&GroupResource::new("", "endpoints"), namespace, name)?;
    for subset in object::list(&endpoints, &["subsets"]) {
        let Some(address) = object::list(subset, &["addresses"]).first() else {
            continue;
        };
        let ports = object::list(subset, &["ports"]);
        let port = ports
            .iter()
            .find(|p| object::text(p, &["name"]) == port_name)
            .or_else(|| ports.first());
        if let Some(port) = port
            .and_then(|p| p["port"].as_u64())
            .and_then(|p| u16::try_from(p).ok())
        {
            return Some((object::text(address, &["ip"]).to_owned(), port));
        }
    }
    None
}

async fn send(place: &Place, ca_bundle: Option<&str>, review: &Value) -> Result<Value, String> {
    let text = |e: &dyn std::fmt::Display| e.to_string();
    let tcp = TcpStream::connect((place.address.0.as_str(), place.address.1))
        .await
        .map_err(|e| format!("dial tcp {}:{}: connect: {e}", place.address.0, place.address.1))?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(trust(ca_bundle)?));
    let name = ServerName::try_from(place.server_name.clone()).map_err(|e| text(&e))?;
    let tls = connector
        .connect(name, tcp)
        .await
        .map_err(|e| format!("tls: {e}"))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tls))
        .await
        .map_err(|e| text(&e))?;
    let driver = tokio::spawn(connection);
    let body = serde_json::to_vec(review).map_err(|e| text(&e))?;
    let request = Request::post(place.path.as_str())
        .header(header::HOST, place.server_name.as_str())
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "application/json")
        .body(Body::from(body))
        .map_err(|e| text(&e))?;
    let response = sender.send_request(request).await.map_err(|e| text(&e))?;
    let status = response.status();
    let bytes = Limited::new(response.into_body(), LIMIT)
        .collect()
        .await
        .map_err(|e| e.to_string())?
        .to_bytes();
    driver.abort();
    if !status.is_success() {
        let body = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
        return Err(format!("the server answered {status}: {body}"));
    }
    serde_json::from_slice(&bytes).map_err(|e| format!("the answer is no AdmissionReview: {e}"))
}

/// Trust in the bundle's certificates and nothing else.
fn trust(ca_bundle: Option<&str>) -> Result<ClientConfig, String> {
    let pem = BASE64
        .decode(ca_bundle.unwrap_or_default())
        .map_err(|e| format!("caBundle: {e}"))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|e| format!("caBundle: {e}"))?;
        roots.add(certificate).map_err(|e| format!("caBundle: {e}"))?;
    }
    if roots.is_empty() {
        return Err("tls: failed to verify certificate: x509: certificate signed by unknown authority (the webhook has no caBundle)".to_owned());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
