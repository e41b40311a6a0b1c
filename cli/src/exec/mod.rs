//! What `longshore exec` does on this side of the container: streams, terminal, signals.

mod by_engine;
mod raw;
mod streams;

pub use by_engine::{OfEngine, by_engine, engines};
pub use raw::Raw;
pub use streams::{on_terminal, plain};
