//! What tasks of an agent with these flags may do, for those who try out whether that holds.

use isolators::CapabilitySets;
use isolators::seccomp::Profile;

use crate::flags::Flags;
use crate::start::StartError;
use crate::{config, profiles};

/// Of tasks that ask for nothing else.
#[derive(Debug, Clone)]
pub struct Rights {
    pub seccomp: Profile,
    pub capabilities: CapabilitySets,
}

impl Rights {
    /// Reads the files that the flags name.
    pub fn of(flags: &Flags) -> Result<Self, StartError> {
        Ok(Self {
            seccomp: profiles::of_tasks(flags)?,
            capabilities: config::capabilities(flags)?,
        })
    }
}
