//! `command`: what runs, as whom, where and with which environment.

use oci_spec::runtime::UserBuilder;

use crate::isolator::{Draft, Host, Isolator, PlanError};
use crate::request::{self, Request};

pub(crate) struct Command;

/// The annotation that says what asks a container's command to end, as a number; SIGTERM where there is none.
/// Source: the OCI image specification, conversion.md, which has the same name with the signal as text.
pub const STOP_SIGNAL: &str = "org.opencontainers.image.stopSignal";

impl Isolator for Command {
    fn name(&self) -> &'static str {
        "command"
    }

    fn plan(&self, request: &Request, host: &Host, spec: &mut Draft) -> Result<(), PlanError> {
        spec.args = args(request, host)?;
        spec.env = environment(&request.env)?;
        let cwd = request
            .root
            .as_ref()
            .map_or(&request.sandbox, |root| &root.working_dir);
        spec.cwd.clone_from(cwd);
        let signal = request.stop_signal;
        spec.annotations
            .extend(signal.map(|signal| (STOP_SIGNAL.to_owned(), signal.to_string())));
        let sysctls = request.sysctls.iter();
        spec.sysctls = sysctls
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        spec.user = UserBuilder::default()
            .uid(request.user.uid)
            .gid(request.user.gid)
            .additional_gids(request.user.groups.clone())
            .build()?;
        Ok(())
    }
}

fn args(request: &Request, host: &Host) -> Result<Vec<String>, PlanError> {
    let args = match &request.command {
        request::Command::Shell(line) => {
            let own = ["/bin/sh", "-c"].map(str::to_owned);
            let shell = match request.root {
                Some(_) => &own,
                None => host.shell.as_slice(),
            };
            [shell, std::slice::from_ref(line)].concat()
        }
        // OCI has one list for program and arguments; argv[0] is then the program's path.
        request::Command::Exec { path, argv } => {
            let rest = argv.iter().skip(1).cloned();
            std::iter::once(path.clone()).chain(rest).collect()
        }
    };
    if args.first().is_none_or(String::is_empty) {
        return Err(PlanError::NoCommand);
    }
    if args.iter().any(|arg| arg.contains('\0')) {
        return Err(PlanError::Nul {
            what: "the command",
        });
    }
    Ok(args)
}

/// `NAME=value`, each name once: the last value in the place of the first.
fn environment(pairs: &[(String, String)]) -> Result<Vec<String>, PlanError> {
    let mut merged: Vec<(&str, &str)> = Vec::with_capacity(pairs.len());
    for (name, value) in pairs {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(PlanError::BadVariable(name.clone()));
        }
        match merged.iter_mut().find(|(known, _)| known == name) {
            Some(entry) => entry.1 = value,
            None => merged.push((name, value)),
        }
    }
    Ok(merged
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroups::Version;
    use crate::isolator::plan;
    use crate::isolator::tests::{host, request};

    #[test]
    fn a_later_variable_wins() {
        let spec = plan(&request(), &host(Version::V1)).expect("plans");
        let process = spec.process().clone().expect("a process");
        assert_eq!(
            process.env().clone(),
            Some(vec!["A=3".to_owned(), "B=2".to_owned()])
        );
    }

    #[test]
    fn a_shell_command_goes_through_the_hosts_shell() {
        let spec = plan(&request(), &host(Version::V1)).expect("plans");
        let args = spec
            .process()
            .clone()
            .and_then(|p| p.args().clone())
            .expect("args");
        assert_eq!(args, ["/bin/bash", "-c", "echo {1..3}"]);
    }

    #[test]
    fn an_empty_command_is_an_error() {
        let command = request::Command::Exec {
            path: String::new(),
            argv: vec![],
        };
        let error = plan(
            &Request {
                command,
                ..request()
            },
            &host(Version::V1),
        )
        .expect_err("refused");
        assert_eq!(
            error.to_string(),
            "the command is empty: give \"cmd\" or \"args\""
        );
    }
}
