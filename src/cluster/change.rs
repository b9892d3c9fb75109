//! Changes of objects that exist: merge patches and deletions.

use http::Request;
use serde_json::{Value, json};

use super::{Cluster, Error, FIELD_MANAGER, Kind, body};

impl Cluster {
    /// Changes just the fields that the patch names (JSON merge patch); the object must exist.
    ///
    /// # Errors
    /// [`Error::NotFound`] when it does not exist; see [`Error`].
    pub async fn merge(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        name: &str,
        patch: &Value,
    ) -> Result<Value, Error> {
        self.merge_at(&kind.path(namespace, Some(name)), patch)
            .await
            .map_err(|e| e.about(kind, namespace, Some(name)))
    }

    /// Sends a merge patch to an object's path.
    pub(super) async fn merge_at(&self, path: &str, patch: &Value) -> Result<Value, Error> {
        let request = Request::patch(format!("{path}?fieldManager={FIELD_MANAGER}"))
            .header(http::header::ACCEPT, "application/json")
            .header(http::header::CONTENT_TYPE, "application/merge-patch+json")
            .body(body(patch)?)
            .map_err(|e| Error::Other(e.to_string()))?;
        self.send(request).await
    }

    /// Deletes exactly the object that was read, with what it owns, in the background; with a UID, one of the same name
    /// made since is left alone. An object that is gone is no error.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete_object(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        name: &str,
        uid: Option<&str>,
    ) -> Result<(), Error> {
        let mut options =
            json!({"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"});
        if let Some(uid) = uid {
            options["preconditions"] = json!({"uid": uid});
        }
        let request = Request::delete(kind.path(namespace, Some(name)))
            .header(http::header::ACCEPT, "application/json")
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(body(&options)?)
            .map_err(|e| Error::Other(e.to_string()))?;
        let answer: Result<Value, Error> = self.send(request).await;
        match answer.map_err(|e| e.about(kind, namespace, Some(name))) {
            Ok(_) | Err(Error::NotFound { .. }) => Ok(()),
            // The precondition names another UID, so the object that was meant is gone.
            Err(Error::Other(message)) if uid.is_some() && message.contains("UID in precondition") => Ok(()),
            Err(error) => Err(error),
        }
    }
}
