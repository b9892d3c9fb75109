//! Bodies of requests: JSON, YAML, and the protobuf kubectl's generators send.

use std::collections::HashSet;
use std::fmt;

use axum::body::Body;
use http::{HeaderMap, Request, header};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::sandbox::proto;
use crate::sandbox::status::{ApiError, ApiResult};

/// Objects larger than this are refused, as etcd would refuse them (a little earlier).
const LIMIT: usize = 8 << 20;

/// A decoded body.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    pub(crate) value: Value,
    /// Paths of fields that the text has twice.
    pub(crate) duplicates: Vec<String>,
}

/// The media type of a request without parameters.
pub(crate) fn media_type(headers: &HeaderMap) -> &str {
    let text = headers
        .get(header::CONTENT_TYPE)
        .and_then(|h| h.to_str().ok())
        .unwrap_or("application/json");
    text.split(';').next().unwrap_or_default().trim()
}

/// Reads the whole body.
pub(crate) async fn bytes(request: Request<Body>) -> ApiResult<bytes::Bytes> {
    axum::body::to_bytes(request.into_body(), LIMIT)
        .await
        .map_err(|_| {
            ApiError::custom(
                413,
                "RequestEntityTooLarge",
                format!("Request entity too large: limit is {LIMIT}"),
            )
        })
}

/// Reads an object from the body; an empty body is `null`.
pub(crate) async fn object(request: Request<Body>) -> ApiResult<Decoded> {
    let media = media_type(request.headers()).to_owned();
    let bytes = bytes(request).await?;
    if bytes.is_empty() {
        return Ok(Decoded::default());
    }
    match media.as_str() {
        "application/json" | "text/plain" | "" => json(&bytes),
        "application/yaml" | "text/yaml" => yaml(&bytes),
        "application/vnd.kubernetes.protobuf" => {
            let value = proto::decode(&bytes).map_err(|e| {
                ApiError::unsupported_media_type(format!(
                    "the body of the request was in protobuf and could not be read ({e}); send application/json"
                ))
            })?;
            Ok(Decoded {
                value,
                duplicates: Vec::new(),
            })
        }
        other => Err(ApiError::unsupported_media_type(format!(
            "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf (got {other})"
        ))),
    }
}

/// Reads JSON and notes fields that occur twice.
pub(crate) fn json(bytes: &[u8]) -> ApiResult<Decoded> {
    let mut duplicates = Vec::new();
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Node {
        path: String::new(),
        duplicates: &mut duplicates,
    }
    .deserialize(&mut reader)
    .and_then(|v| reader.end().map(|()| v))
    .map_err(|e| ApiError::bad_request(format!("couldn't get version/kind; json parse error: {e}")))?;
    Ok(Decoded { value, duplicates })
}

/// Reads YAML (JSON is YAML, and most clients send JSON whatever they call it).
pub(crate) fn yaml(bytes: &[u8]) -> ApiResult<Decoded> {
    if let Ok(decoded) = json(bytes) {
        return Ok(decoded);
    }
    let text =
        std::str::from_utf8(bytes).map_err(|e| ApiError::bad_request(format!("error decoding YAML: {e}")))?;
    let value = serde_saphyr::from_str(text)
        .map_err(|e| ApiError::bad_request(format!("error decoding YAML: {e}")))?;
    Ok(Decoded {
        value,
        duplicates: Vec::new(),
    })
}

/// Reads one value at a path.
struct Node<'a> {
    path: String,
    duplicates: &'a mut Vec<String>,
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut out = Vec::new();
        loop {
            let path = format!("{}[{}]", self.path, out.len());
            match items.next_element_seed(Node {
                path,
                duplicates: &mut *self.duplicates,
            })? {
                Some(value) => out.push(value),
                None => return Ok(Value::Array(out)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut out = Map::new();
        let mut seen = HashSet::new();
        while let Some(name) = fields.next_key::<String>()? {
            let path = if self.path.is_empty() {
                name.clone()
            } else {
                format!("{}.{name}", self.path)
            };
            if !seen.insert(name.clone()) {
                self.duplicates.push(path.clone());
            }
            let value = fields.next_value_seed(Node {
                path,
                duplicates: &mut *self.duplicates,
            })?;
            out.insert(name, value);
        }
        Ok(Value::Object(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicate_fields_are_noticed_where_they_are() {
        let decoded = json(br#"{"a": 1, "b": [{"c": 1, "c": 2}], "a": 3}"#).unwrap();
        assert_eq!(decoded.duplicates, ["b[0].c", "a"]);
        assert_eq!(decoded.value, serde_json::json!({"a": 3, "b": [{"c": 2}]}));
        assert!(json(b"{\"a\": 1} x").is_err());
        assert_eq!(yaml(b"a: yes\nb:\n- 1\n").unwrap().value["b"][0], 1);
    }
}
