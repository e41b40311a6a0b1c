//! Task groups: tasks that a framework launches together, and that share one network. Their executor, of the
//! type DEFAULT, is the agent itself.
//!
//! ```text
//!  supervisor ── machine                 decides for one executor, purely: whom to kill, when it is over
//!     │    └───► task::actor             one per task, as of any other task; its container is a member's
//!     └────────► keeper ──► container    the executor's, in which nothing runs but a command that waits: it has
//!                                        the network, the ports and the resources of all
//! ```
//!
//! Members' containers join the network of the executor's. That goes last: while it is there another group can
//! come, and its end gives back all that they had in common.
//!
//! Source: spec/mesos-agent.md sections 10.2 and 11.

pub mod adoption;
pub mod check;
pub mod holder;
pub mod keeper;
pub mod machine;
pub mod member;
pub mod record;
