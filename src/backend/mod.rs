//! The one place that knows storage providers: restic environment, object store, credentials, TLS.
