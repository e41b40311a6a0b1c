//! From a task's `linux_info` to what its container shares with the agent. Pure.
//!
//! Source: spec/mesos-agent.md section 19.

use isolators::{Ipc, PidNamespace};
use proto::v1;
use proto::v1::linux_info::IpcMode;

/// What the operator has said of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sharing {
    /// Bytes of a /dev/shm of a container's own, where the task does not say.
    pub default_shm_size: Option<u64>,
    pub refuses_ipc: bool,
    pub refuses_pids: bool,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSharing {
    #[error(
        "{field} asks for the {namespace} namespace of the agent, which does not share it \
         (--{flag}): leave it out, or have the agent's operator allow it"
    )]
    Refused {
        field: &'static str,
        namespace: &'static str,
        flag: &'static str,
    },
    #[error(
        "\"shm_size\" is given, but \"ipc_mode\" is not PRIVATE: only then a container has a /dev/shm of \
         its own"
    )]
    SizeOfWhatIsShared,
    #[error("\"shm_size\" is 0: give at least 1 (MB), or leave it out")]
    NoSize,
}

impl Sharing {
    pub fn ipc(&self, info: Option<&v1::LinuxInfo>) -> Result<Ipc, BadSharing> {
        let info = info.cloned().unwrap_or_default();
        let mode = info.ipc_mode();
        if mode != IpcMode::Private && info.shm_size.is_some() {
            return Err(BadSharing::SizeOfWhatIsShared);
        }
        match mode {
            IpcMode::Unknown => Ok(Ipc::OwnNamespace),
            // The kernel takes 0 for no limit.
            IpcMode::Private if info.shm_size == Some(0) => Err(BadSharing::NoSize),
            IpcMode::Private => {
                let asked = info.shm_size.map(|megabytes| u64::from(megabytes) << 20);
                let shm_size = asked.or(self.default_shm_size);
                Ok(Ipc::Private { shm_size })
            }
            IpcMode::ShareParent if self.refuses_ipc => Err(BadSharing::Refused {
                field: "\"ipc_mode\": \"SHARE_PARENT\"",
                namespace: "IPC",
                flag: "disallow_sharing_agent_ipc_namespace",
            }),
            IpcMode::ShareParent => Ok(Ipc::Hosts),
        }
    }

    pub fn pids(&self, info: Option<&v1::LinuxInfo>) -> Result<PidNamespace, BadSharing> {
        match info.is_some_and(v1::LinuxInfo::share_pid_namespace) {
            false => Ok(PidNamespace::Own),
            true if self.refuses_pids => Err(BadSharing::Refused {
                field: "\"share_pid_namespace\": true",
                namespace: "pid",
                flag: "disallow_sharing_agent_pid_namespace",
            }),
            true => Ok(PidNamespace::Hosts),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: Sharing = Sharing {
        default_shm_size: Some(4096),
        refuses_ipc: false,
        refuses_pids: false,
    };

    const CLOSED: Sharing = Sharing {
        default_shm_size: None,
        refuses_ipc: true,
        refuses_pids: true,
    };

    fn info(mode: Option<IpcMode>, shm_size: Option<u32>) -> v1::LinuxInfo {
        v1::LinuxInfo {
            ipc_mode: mode.map(|mode| mode as i32),
            shm_size,
            ..Default::default()
        }
    }

    #[test]
    fn a_task_says_what_it_shares_and_the_operator_what_it_may() {
        use IpcMode::{Private, ShareParent, Unknown};
        let private = |shm_size| Ok(Ipc::Private { shm_size });
        let open = |mode, size| OPEN.ipc(Some(&info(mode, size)));
        assert_eq!(OPEN.ipc(None), Ok(Ipc::OwnNamespace));
        assert_eq!(open(None, None), Ok(Ipc::OwnNamespace));
        assert_eq!(open(Some(Unknown), None), Ok(Ipc::OwnNamespace));
        assert_eq!(open(Some(Private), Some(64)), private(Some(64 << 20)));
        assert_eq!(open(Some(Private), None), private(Some(4096)));
        assert_eq!(open(Some(Private), Some(0)), Err(BadSharing::NoSize));
        assert_eq!(open(Some(ShareParent), None), Ok(Ipc::Hosts));
        for mode in [None, Some(Unknown), Some(ShareParent)] {
            let refused = open(mode, Some(64));
            assert_eq!(refused, Err(BadSharing::SizeOfWhatIsShared));
        }
        let closed = |mode| CLOSED.ipc(Some(&info(mode, None)));
        assert_eq!(closed(None), Ok(Ipc::OwnNamespace));
        assert_eq!(closed(Some(Private)), private(None));
        let refused = closed(Some(ShareParent)).unwrap_err().to_string();
        assert!(refused.contains("--disallow_sharing_agent_ipc_namespace"));
    }

    #[test]
    fn the_agents_pid_namespace_is_shared_when_task_and_operator_want_it() {
        let asking = |share| v1::LinuxInfo {
            share_pid_namespace: share,
            ..Default::default()
        };
        for sharing in [OPEN, CLOSED] {
            assert_eq!(sharing.pids(None), Ok(PidNamespace::Own));
            for share in [None, Some(false)] {
                assert_eq!(sharing.pids(Some(&asking(share))), Ok(PidNamespace::Own));
            }
        }
        let shared = asking(Some(true));
        assert_eq!(OPEN.pids(Some(&shared)), Ok(PidNamespace::Hosts));
        let refused = CLOSED.pids(Some(&shared)).unwrap_err().to_string();
        assert!(refused.contains("--disallow_sharing_agent_pid_namespace"));
    }
}
