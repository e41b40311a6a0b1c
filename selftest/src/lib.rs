//! The security battery: attacks that have broken container runtimes, tried on this node.
//!
//! Each attack launches hostile containers through the containerizer, configured as the node's agent is,
//! and then looks at what came of it: at canaries on the host, and at what the hostile program could
//! report. How a container is made is nothing that a verdict rests on. `longshore selftest` runs the
//! battery on a live node, and the tests of this crate run it on every kernel that the project is
//! tested on, with the walls up, where every attack must fail, and with the walls down, where those
//! must succeed that a spec can let through: an attack that cannot succeed proves nothing.
//!
//! Invariants: an attack harms nothing but its own canaries, also where it succeeds; nothing of it is
//! left on the host.
#![forbid(unsafe_code)]

mod attack;
mod attacks;
mod bundle;
mod canary;
mod field;
mod machine_code;
mod running;
mod swap;
mod toolbox;
mod trouble;

pub use attack::{Attack, Report, Verdict, Walls};
pub use attacks::ATTACKS;
pub use field::{Field, Settings};
pub use toolbox::Toolbox;
pub use trouble::Trouble;
