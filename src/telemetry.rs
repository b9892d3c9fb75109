//! Logging for the cluster roles: structured lines on stderr, secrets never among them.
