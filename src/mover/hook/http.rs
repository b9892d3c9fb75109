//! HTTP requests of hooks, with the habits of Kubernetes' own probes: statuses 200 to 399 succeed, certificates are not
//! verified (the servers are pods), proxies are not used, and a redirect to another host is an answer, not a way.

use k8s_openapi::api::core::v1::{HTTPGetAction, HTTPHeader, Pod};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Url};

use super::super::job::Failure;
use super::pods::{host, port};
use super::{ending, misconfigured};
use crate::api::config::job_result::JobCause;
use crate::api::shared::{FormEntry, HttpPostAction};

/// How many redirects within one host are followed.
const REDIRECTS: usize = 10;

/// Sends a GET request.
pub(super) async fn get(
    action: &HTTPGetAction,
    pod: Option<&Pod>,
    container: Option<&str>,
) -> Result<(), Failure> {
    let host = host(action.host.as_deref(), pod)?;
    let port = port(&action.port, pod, container)?;
    let url = url(action.scheme.as_deref(), &host, port, action.path.as_deref())?;
    let headers = headers(action.http_headers.as_deref().unwrap_or_default())?;
    send(Method::GET, url, headers, None).await
}

/// Sends a POST request: a form, or the body as it is.
pub(super) async fn post(
    action: &HttpPostAction,
    pod: Option<&Pod>,
    container: Option<&str>,
) -> Result<(), Failure> {
    let host = host(action.host.as_deref(), pod)?;
    let port = port(&action.port, pod, container)?;
    let url = url(action.scheme.as_deref(), &host, port, action.path.as_deref())?;
    let mut headers = headers(&action.http_headers)?;
    let (body, kind) = if action.form.is_empty() {
        let body = action.body.clone().unwrap_or_default();
        let json = serde_json::from_str::<serde_json::Value>(&body).is_ok();
        (
            body,
            if json {
                "application/json"
            } else {
                "text/plain; charset=utf-8"
            },
        )
    } else {
        (encoded(&action.form), "application/x-www-form-urlencoded")
    };
    headers
        .entry(CONTENT_TYPE)
        .or_insert(HeaderValue::from_static(kind));
    send(Method::POST, url, headers, Some(body)).await
}

async fn send(method: Method, url: Url, headers: HeaderMap, body: Option<String>) -> Result<(), Failure> {
    let home = url.host_str().map(str::to_owned);
    let policy = Policy::custom(move |attempt| {
        if attempt.url().host_str().map(str::to_owned) != home || attempt.previous().len() > REDIRECTS {
            attempt.stop()
        } else {
            attempt.follow()
        }
    });
    let client = Client::builder()
        .danger_accept_invalid_certs(true)
        .no_proxy()
        .redirect(policy)
        .build()
        .map_err(|error| Failure::new(JobCause::Other, format!("no HTTP client: {error}")))?;
    let mut request = client.request(method.clone(), url.clone()).headers(headers);
    if let Some(body) = body {
        request = request.body(body);
    }
    let answer = request.send().await.map_err(|error| {
        let mut why = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(inner) = source {
            why = inner.to_string();
            source = inner.source();
        }
        Failure::new(JobCause::Unreachable, format!("{method} {url} failed: {why}"))
    })?;
    let status = answer.status();
    let text = answer.text().await.unwrap_or_default();
    tracing::info!(%url, status = status.as_u16(), "{}", ending(&text));
    if (200..400).contains(&status.as_u16()) {
        return Ok(());
    }
    Err(Failure {
        tail: ending(&text),
        ..Failure::new(
            JobCause::Other,
            format!("{method} {url} was answered with {status}; 200 to 399 are successes"),
        )
    })
}

fn url(scheme: Option<&str>, host: &str, port: u16, path: Option<&str>) -> Result<Url, Failure> {
    let scheme = scheme
        .filter(|it| !it.is_empty())
        .unwrap_or("http")
        .to_ascii_lowercase();
    // An IPv6 address needs brackets.
    let host = if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    let path = path.unwrap_or_default().trim_start_matches('/');
    let text = format!("{scheme}://{host}:{port}/{path}");
    match Url::parse(&text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(url),
        _ => Err(misconfigured(&format!(
            "{text} is no URL; correct the HookTemplate's scheme, host and path"
        ))),
    }
}

fn headers(given: &[HTTPHeader]) -> Result<HeaderMap, Failure> {
    let mut all = HeaderMap::new();
    for header in given {
        let name = HeaderName::from_bytes(header.name.as_bytes());
        let value = HeaderValue::from_str(&header.value);
        let (Ok(name), Ok(value)) = (name, value) else {
            return Err(misconfigured(&format!(
                "the header {:?} of the HookTemplate is not valid",
                header.name
            )));
        };
        all.append(name, value);
    }
    Ok(all)
}

/// `application/x-www-form-urlencoded`.
fn encoded(form: &[FormEntry]) -> String {
    let pairs = form.iter().flat_map(|entry| {
        entry
            .values
            .iter()
            .map(|value| format!("{}={}", escaped(&entry.key), escaped(value)))
    });
    pairs.collect::<Vec<_>>().join("&")
}

fn escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'*' => {
                char::from(byte).to_string()
            }
            b' ' => "+".to_owned(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::{Router, extract::Request, http::StatusCode, response::Redirect, routing::any};
    use serde_json::json;

    use super::*;

    /// A server that writes down what it is asked.
    async fn server() -> (u16, Arc<Mutex<Vec<String>>>) {
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = asked.clone();
        let take = move |request: Request| {
            let seen = seen.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
                let kind = parts
                    .headers
                    .get("content-type")
                    .map_or("", |v| v.to_str().unwrap())
                    .to_owned();
                let own = parts
                    .headers
                    .get("x-own")
                    .map_or("", |v| v.to_str().unwrap())
                    .to_owned();
                seen.lock().unwrap().push(format!(
                    "{} {} {kind} {own} {}",
                    parts.method,
                    parts.uri,
                    String::from_utf8_lossy(&body)
                ));
                match parts.uri.path() {
                    "/bad" => (StatusCode::INTERNAL_SERVER_ERROR, "out of order"),
                    _ => (StatusCode::OK, "fine"),
                }
            }
        };
        let app = Router::new()
            .route("/home", any(|| async { Redirect::temporary("/ok") }))
            .route(
                "/away",
                any(|| async { Redirect::temporary("http://nowhere.invalid/") }),
            )
            .fallback(take);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        (port, asked)
    }

    async fn got(port: u16, path: &str) -> Result<(), Failure> {
        let action = serde_json::from_value(json!({"host": "127.0.0.1", "port": port, "path": path,
            "httpHeaders": [{"name": "X-Own", "value": "mine"}]}))
        .unwrap();
        get(&action, None, None).await
    }

    #[tokio::test]
    async fn statuses_and_redirects_are_judged_as_probes_do() {
        crate::install_crypto_provider();
        let (port, asked) = server().await;
        got(port, "/a?b=c").await.unwrap();
        assert_eq!(asked.lock().unwrap()[0], "GET /a?b=c  mine ");
        got(port, "/home").await.unwrap();
        assert!(
            asked.lock().unwrap()[1].starts_with("GET /ok"),
            "a redirect within the host is followed"
        );
        got(port, "/away").await.unwrap();
        let bad = got(port, "bad").await.unwrap_err();
        assert!(
            bad.message.contains("500") && bad.tail.contains("out of order"),
            "{bad:?}"
        );
        assert!(got(1, "/").await.unwrap_err().message.contains("127.0.0.1:1"));
    }

    #[tokio::test]
    async fn bodies_and_forms_arrive_with_their_type() {
        crate::install_crypto_provider();
        let (port, asked) = server().await;
        for more in [
            json!({"body": "{\"a\": 1}"}),
            json!({"body": "hello"}),
            json!({"form": [{"key": "a b", "values": ["1&2", "ä"]}]}),
        ] {
            let mut action = json!({"host": "127.0.0.1", "port": port, "path": "/in"});
            json_patch::merge(&mut action, &more);
            post(&serde_json::from_value(action).unwrap(), None, None)
                .await
                .unwrap();
        }
        assert_eq!(
            *asked.lock().unwrap(),
            [
                "POST /in application/json  {\"a\": 1}",
                "POST /in text/plain; charset=utf-8  hello",
                "POST /in application/x-www-form-urlencoded  a+b=1%262&a+b=%C3%A4",
            ]
        );
    }

    #[test]
    fn only_http_is_spoken() {
        assert_eq!(
            url(Some("HTTPS"), "fd00::1", 8, Some("x")).unwrap().as_str(),
            "https://[fd00::1]:8/x"
        );
        assert!(url(Some("file"), "h", 1, None).is_err());
        assert!(url(None, "a b", 1, None).is_err());
    }
}
