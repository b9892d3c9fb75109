//! The controllers: fetch, decide, apply, status.
