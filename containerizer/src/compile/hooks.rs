//! Hooks of a spec, by the moment they belong to.

use init::{Awaited, Hook, Step};
use oci_spec::runtime::{Hook as OciHook, Hooks, Spec};

/// Source: OCI runtime spec, config.md, "POSIX-platform Hooks".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Deprecated; otherwise as `CreateRuntime`, and before it.
    Prestart,
    /// Outside, once the container's namespaces and mounts are there.
    CreateRuntime,
    /// In its namespaces, before its root becomes `/`.
    CreateContainer,
    /// In the container, before the command.
    StartContainer,
    /// Outside, once the command runs.
    Poststart,
    /// Outside, once the container is deleted.
    Poststop,
}

impl Kind {
    pub const ALL: [Self; 6] = [
        Self::Prestart,
        Self::CreateRuntime,
        Self::CreateContainer,
        Self::StartContainer,
        Self::Poststart,
        Self::Poststop,
    ];

    /// As in a spec.
    pub fn name(self) -> &'static str {
        match self {
            Self::Prestart => "prestart",
            Self::CreateRuntime => "createRuntime",
            Self::CreateContainer => "createContainer",
            Self::StartContainer => "startContainer",
            Self::Poststart => "poststart",
            Self::Poststop => "poststop",
        }
    }
}

pub fn of(spec: &Spec, kind: Kind) -> Vec<Hook> {
    let list = |hooks: &Hooks| match kind {
        Kind::Prestart => hooks.prestart().clone(),
        Kind::CreateRuntime => hooks.create_runtime().clone(),
        Kind::CreateContainer => hooks.create_container().clone(),
        Kind::StartContainer => hooks.start_container().clone(),
        Kind::Poststart => hooks.poststart().clone(),
        Kind::Poststop => hooks.poststop().clone(),
    };
    let hooks = spec.hooks().as_ref().and_then(list).unwrap_or_default();
    hooks.iter().map(hook).collect()
}

fn hook(hook: &OciHook) -> Hook {
    Hook {
        path: hook.path().to_string_lossy().into_owned(),
        argv: hook.args().clone().unwrap_or_default(),
        env: hook.env().clone().unwrap_or_default(),
        timeout: hook
            .timeout()
            .and_then(|seconds| u64::try_from(seconds).ok()),
    }
}

/// What runs while the container is made: first outside, by who answers, then inside.
pub fn steps(spec: &Spec) -> Vec<Step> {
    let kinds = [Kind::Prestart, Kind::CreateRuntime, Kind::CreateContainer];
    let mut any = kinds.into_iter().map(|kind| of(spec, kind));
    if any.all(|hooks| hooks.is_empty()) {
        return Vec::new();
    }
    let awaited = Awaited::Hooks {};
    vec![
        Step::Await { awaited },
        Step::Hooks {
            kind: Kind::CreateContainer.name().to_owned(),
            hooks: of(spec, Kind::CreateContainer),
        },
    ]
}
