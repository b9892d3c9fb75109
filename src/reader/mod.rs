//! Looking into repositories on behalf of the CLI, inside the cluster.
