//! The CLI's only door to Kubernetes.
