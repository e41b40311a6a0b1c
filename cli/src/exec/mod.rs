//! What `longshore exec` does on this side of the container: streams, terminal, signals.

mod raw;
mod streams;

pub use raw::Raw;
pub use streams::{on_terminal, plain};
