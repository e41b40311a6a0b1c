//! Whole programs, as an operator meets them: starts the real `longshore`, talks to it over HTTP,
//! and looks at the host.
//!
//! Invariant: no crate of the project is linked in, so nothing here can reach into internals.
#![forbid(unsafe_code)]
