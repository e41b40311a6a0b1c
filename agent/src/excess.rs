//! How a task went beyond what it may have, for which it is killed.

use crate::ports::Listening;
use crate::quota::Overrun;

/// On the disk, as a part of `task::killing::Killing`: numbers are not to be given to others.
#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub enum Excess {
    /// Its sandbox takes too much.
    #[prost(message, tag = "5")]
    Disk(Overrun),
    /// It listens on ports of the host that are not its own.
    #[prost(message, tag = "7")]
    Ports(Listening),
}

/// Of a kill that an earlier version of this program has written down without it.
impl Default for Excess {
    fn default() -> Self {
        Self::Disk(Overrun::default())
    }
}
