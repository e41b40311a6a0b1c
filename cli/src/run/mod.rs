//! What `longshore run` does between starting a cluster and ending it.

pub mod file;
pub mod follow;
pub mod lines;
pub mod outcome;
pub mod session;
pub mod show;
pub mod watch;
