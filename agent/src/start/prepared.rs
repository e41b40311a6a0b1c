//! What of a start changes nothing: flags are read, and the host is looked at.

use std::sync::Arc;

use isolators::seccomp::Profile;

use super::StartError;
use crate::config::Config;
use crate::executor::authentication::Authentication;
use crate::flags::Flags;
use crate::host::HostFacts;
use crate::task::policy::Policy;
use crate::{disks, profiles};

/// What the flags come to on this host. Nothing of another agent is touched for it.
#[derive(Debug, Clone)]
pub struct Prepared {
    pub(super) flags: Flags,
    pub(super) config: Config,
    pub(super) profile: Profile,
    pub(super) policy: Policy,
    pub(super) authentication: Arc<Authentication>,
}

impl Prepared {
    pub fn new(flags: Flags) -> Result<Prepared, StartError> {
        let user = nix::unistd::geteuid();
        if !user.is_root() {
            return Err(StartError::NotRoot(user));
        }
        let flags = with_whole_paths(flags)?;
        let facts = HostFacts::gather(&flags.work_dir)?;
        let config = Config::new(&flags, &facts)?;
        disks::prepare(&config.resources.to_protos(), &flags.work_dir)?;
        let profile = profiles::of_tasks(&flags)?;
        let policy = Policy::of(&flags)?;
        let authentication = Arc::new(Authentication::of(&flags)?);
        for lack in &config.lacking_isolators {
            tracing::warn!(
                isolator = lack.isolator,
                "an isolator that was asked for is not in this build: without it, {}",
                lack.consequence
            );
        }
        Ok(Prepared {
            flags,
            config,
            profile,
            policy,
            authentication,
        })
    }
}

/// Tasks hear of these directories, and their own working directory is another than ours.
fn with_whole_paths(mut flags: Flags) -> Result<Flags, StartError> {
    let directories = [
        ("work_dir", Some(&mut flags.work_dir)),
        ("runtime_dir", Some(&mut flags.runtime_dir)),
        ("frameworks_home", flags.frameworks_home.as_mut()),
        ("fetcher_cache_dir", flags.fetcher.cache_dir.as_mut()),
        ("docker_store_dir", flags.images.docker_store_dir.as_mut()),
        ("fetcher_ca_file", flags.fetcher.ca_file.as_mut()),
        ("fetcher_netrc_file", flags.fetcher.netrc_file.as_mut()),
        (
            "fetcher_s3_credentials_file",
            flags.fetcher.s3_credentials_file.as_mut(),
        ),
        ("seccomp_config_dir", flags.seccomp_config_dir.as_mut()),
    ];
    for (flag, directory) in directories {
        if let Some(path) = directory {
            *path = std::path::absolute(&*path).map_err(|source| StartError::Directory {
                flag,
                path: path.clone(),
                source,
            })?;
        }
    }
    Ok(flags)
}
