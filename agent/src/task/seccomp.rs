//! Which system calls a task wants to make. Source: spec/mesos-agent.md section 19.

use std::path::Path;

use isolators::Seccomp;
use isolators::seccomp::{LoadError, Profile};
use proto::v1;

#[derive(Debug, thiserror::Error)]
pub enum SeccompError {
    #[error(
        "linux_info.seccomp has the profile_name {0:?} and is unconfined: it must be one or the other"
    )]
    Both(String),
    #[error(
        "linux_info.seccomp has the profile_name {0:?}, but this agent has no profiles: start it with \
         --seccomp_config_dir"
    )]
    NoProfiles(String),
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// Reads the profile that the task names, as it is now, from the agent's directory of them.
pub fn seccomp(task: &v1::TaskInfo, profiles: Option<&Path>) -> Result<Seccomp, SeccompError> {
    let linux = task.container.as_ref().and_then(|c| c.linux_info.as_ref());
    let Some(wish) = linux.and_then(|linux| linux.seccomp.as_ref()) else {
        return Ok(Seccomp::Default);
    };
    match (&wish.profile_name, wish.unconfined()) {
        (None, false) => Ok(Seccomp::Default),
        (None, true) => Ok(Seccomp::Unconfined),
        (Some(name), true) => Err(SeccompError::Both(name.clone())),
        (Some(name), false) => {
            let directory = profiles.ok_or_else(|| SeccompError::NoProfiles(name.clone()))?;
            Ok(Seccomp::Profile(Profile::load(directory, name)?))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wished(
        profile_name: Option<&str>,
        unconfined: Option<bool>,
        profiles: Option<&Path>,
    ) -> Result<Seccomp, SeccompError> {
        let seccomp = v1::SeccompInfo {
            profile_name: profile_name.map(str::to_owned),
            unconfined,
        };
        let linux = v1::LinuxInfo {
            seccomp: Some(seccomp),
            ..Default::default()
        };
        let task = v1::TaskInfo {
            container: Some(v1::ContainerInfo {
                linux_info: Some(linux),
                ..Default::default()
            }),
            ..Default::default()
        };
        super::seccomp(&task, profiles)
    }

    #[test]
    fn a_task_that_says_nothing_gets_the_agents_profile() {
        let silent = seccomp(&v1::TaskInfo::default(), None);
        assert_eq!(silent.unwrap(), Seccomp::Default);
        assert_eq!(wished(None, None, None).unwrap(), Seccomp::Default);
        assert_eq!(wished(None, Some(false), None).unwrap(), Seccomp::Default);
    }

    #[test]
    fn a_task_is_unconfined_only_when_it_says_so() {
        assert_eq!(wished(None, Some(true), None).unwrap(), Seccomp::Unconfined);
        let both = wished(Some("x"), Some(true), None).unwrap_err();
        assert!(both.to_string().contains("must be one or the other"));
    }

    #[test]
    fn a_task_gets_the_profile_it_names() {
        let directory = tempfile::tempdir().unwrap();
        let text = r#"{"defaultAction": "SCMP_ACT_LOG"}"#;
        std::fs::write(directory.path().join("log"), text).unwrap();
        let named = wished(Some("log"), None, Some(directory.path())).unwrap();
        let profile: Profile = text.parse().unwrap();
        assert_eq!(named, Seccomp::Profile(profile));
        let missing = wished(Some("lag"), None, Some(directory.path())).unwrap_err();
        assert!(
            missing
                .to_string()
                .starts_with("cannot read seccomp profile")
        );
        let nowhere = wished(Some("log"), None, None).unwrap_err();
        assert!(nowhere.to_string().contains("--seccomp_config_dir"));
    }
}
