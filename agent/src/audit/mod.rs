//! Compares the kernel with what this node's agent has written down, and explains each difference.
//!
//! [`containerizer::audit`] does so for what containers are made of. Here is the rest: sandboxes, checkpoints,
//! ports, and who answers for which container.
//!
//! | asked by | answers for containers | repairs |
//! |---|---|---|
//! | the agent, when it starts | its tasks | what is the kernel's and nobody's |
//! | the agent, in each round of garbage collection | its tasks | nothing: it tells and counts |
//! | `longshore audit` beside an agent | that agent, for all that is recorded | with `--repair`, what has no record |
//! | `longshore audit` without one | unfinished checkpoints | with `--repair`, all; no agent starts meanwhile |

mod compare;
mod difference;
mod disk;
mod node;
mod repair;
mod round;

pub use difference::{Finding, Outcome};
pub(crate) use node::Node;
pub use node::{Audit, AuditError, audit};
pub(crate) use round::{Auditor, Tally};
