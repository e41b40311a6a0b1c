//! What `longshore inspect` does between the agent's answers and the terminal.

mod phases;
mod select;

pub use phases::table;
pub use select::{live, select};
