//! What `longshore run` does between starting a cluster and ending it.

mod app;
mod bad_json;
mod draft;
mod follow;
mod lines;
mod look;
mod outcome;
mod screen;
mod session;
mod show;
mod watch;

pub use app::Mode;
pub use draft::{Draft, read};
pub use follow::{Followed, Output};
pub use outcome::{exit_code, told_end};
pub use session::{INTERRUPTED, Session};
pub use show::Show;
