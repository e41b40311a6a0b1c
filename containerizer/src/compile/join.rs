//! A program for a command that joins a container: its namespaces, then as its own command, but for
//! what is asked differently.

use init::{Program, Rlimit, Step, Then, fd};
use oci_spec::runtime::{Linux, LinuxNamespaceType, Process, Spec};

use super::filesystem::console;
use super::{Attached, CompileError, Filters, namespaces, process, refuse_questions, unmet};

/// What to run, where it differs from the container's own command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Command {
    /// The program, looked up on the container's PATH, and its arguments.
    pub args: Vec<String>,
    /// `NAME=value`: in addition to the container's, and instead of those with the same name.
    pub env: Vec<String>,
    /// Absolute, in the container.
    pub cwd: Option<String>,
    /// Standard input is a terminal that is to control the command.
    pub terminal: bool,
}

/// `cgroup_files` as in [`Facts`](super::Facts). The pidfd of the container's first process follows
/// those files.
pub fn join(
    spec: &Spec,
    command: &Command,
    cgroup_files: u32,
    filters: &Filters,
) -> Result<Program, CompileError> {
    let linux = spec.linux().as_ref();
    let linux = linux.ok_or(CompileError::Missing("linux"))?;
    let of_container = spec.process().as_ref();
    let of_container = of_container.ok_or(CompileError::Missing("process"))?;
    let mut exec = process::exec(of_container, linux, filters)?;
    refuse_questions(linux)?;
    exec.path = command
        .args
        .first()
        .cloned()
        .ok_or(CompileError::Missing("the command to execute"))?;
    exec.argv.clone_from(&command.args);
    for entry in &command.env {
        let name = |entry: &str| entry.split('=').next().map(str::to_owned);
        // Of two with one name programs see the first.
        exec.env.retain(|known| name(known) != name(entry));
        exec.env.push(entry.clone());
    }
    if let Some(cwd) = &command.cwd {
        exec.cwd.clone_from(cwd);
    }
    exec.terminal = command.terminal;
    check(command)?;
    Ok(Program {
        steps: steps(linux, &exec.rlimits, cgroup_files)?,
        exec,
        then: Then::Attend {},
        descriptors: 0,
    })
}

/// The same for a process as an OCI runtime is told of it. What is attached follows the pidfd.
pub fn enter(
    spec: &Spec,
    process: &Process,
    cgroup_files: u32,
    attached: Attached,
) -> Result<Program, CompileError> {
    let linux = spec.linux().as_ref();
    let linux = linux.ok_or(CompileError::Missing("linux"))?;
    unmet::refuse_labels(process)?;
    let numbers = attached.numbers(cgroup_files + 1);
    let mut exec = process::exec(process, linux, &Filters::default())?;
    exec.terminal = process.terminal() == Some(true);
    exec.preserved = numbers.preserved;
    exec.engine = true;
    let mut steps = steps(linux, &exec.rlimits, cgroup_files)?;
    steps.extend(
        numbers
            .console
            .map(|wanted| console(process, wanted, false)),
    );
    Ok(Program {
        steps,
        exec,
        then: Then::Hand {},
        descriptors: 0,
    })
}

fn steps(linux: &Linux, limits: &[Rlimit], cgroup_files: u32) -> Result<Vec<Step>, CompileError> {
    if !namespaces::has_new(linux, LinuxNamespaceType::Mount) {
        // It would be at the root of the others there.
        return Err(CompileError::Unsupported(
            "another command in a container whose mount namespace is not its own",
        ));
    }
    let mut steps = Vec::new();
    if cgroup_files > 0 {
        steps.push(Step::EnterCgroups {
            count: cgroup_files,
        });
    }
    if namespaces::has(linux, LinuxNamespaceType::User) {
        steps.push(Step::ForgetGroups {});
        steps.push(Step::RaiseLimits {
            limits: limits.to_vec(),
        });
    }
    steps.push(Step::Join {
        pidfd: fd::FIRST_CGROUP as u32 + cgroup_files,
        flags: namespaces::own(linux),
    });
    Ok(steps)
}

fn check(command: &Command) -> Result<(), CompileError> {
    let texts = command.args.iter().chain(&command.env).chain(&command.cwd);
    if texts.clone().any(|text| text.contains('\0')) {
        return Err(CompileError::Nul);
    }
    match command.env.iter().find(|entry| !is_variable(entry)) {
        Some(entry) => Err(CompileError::NoVariable(entry.clone())),
        None => Ok(()),
    }
}

fn is_variable(entry: &str) -> bool {
    entry.find('=').is_some_and(|at| at > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> Spec {
        serde_json::from_str(
            r#"{"ociVersion": "1.2.0",
                "process": {"user": {"uid": 7, "gid": 8}, "cwd": "/sandbox", "args": ["sleep"],
                            "env": ["A=1", "B=2"], "noNewPrivileges": true},
                "linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW"},
                          "namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "cgroup"}]}}"#,
        )
        .expect("a spec")
    }

    fn command(args: &[&str], env: &[&str]) -> Command {
        Command {
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            env: env.iter().map(|entry| (*entry).to_owned()).collect(),
            ..Command::default()
        }
    }

    #[test]
    fn a_command_runs_as_the_containers_own_but_for_what_is_asked() {
        let filters = Filters::default();
        let command = command(&["ls", "-l"], &["A=3"]);
        let program = join(&spec(), &command, 2, &filters).expect("compiles");
        let flags = libc::CLONE_NEWPID | libc::CLONE_NEWNS | libc::CLONE_NEWCGROUP;
        assert_eq!(
            program.steps,
            [
                Step::EnterCgroups { count: 2 },
                Step::Join {
                    pidfd: 8,
                    flags: flags as u32
                }
            ]
        );
        let exec = program.exec;
        assert_eq!((exec.path.as_str(), exec.argv.len()), ("ls", 2));
        assert_eq!(exec.env, ["B=2", "A=3"]);
        assert_eq!((exec.uid, exec.gid, exec.cwd.as_str()), (7, 8, "/sandbox"));
        assert!(exec.no_new_privileges && exec.seccomp.is_some());
    }

    #[test]
    fn a_process_is_not_let_in_with_less_than_it_asks_for() {
        let entered = |label: &str| {
            let process = serde_json::json!({
                "user": {"uid": 0, "gid": 0}, "cwd": "/", "args": ["x"], "apparmorProfile": label,
            });
            let process = serde_json::from_value(process).expect("a process");
            let program = enter(&spec(), &process, 0, Attached::default());
            program.map_or_else(|error| error.to_string(), |_| "let in".to_owned())
        };
        assert_eq!(entered(""), "let in");
        let refused = "process.apparmorProfile: the spec asks for an AppArmor profile, which this build \
                       cannot do";
        assert_eq!(entered("docker-default"), refused);
    }

    #[test]
    fn what_no_program_can_be_given_is_refused() {
        for (args, env) in [
            (&[][..], &[][..]),
            (&["a\0"], &[]),
            (&["a"], &["=b"]),
            (&["a"], &["b"]),
        ] {
            assert!(
                join(&spec(), &command(args, env), 0, &Filters::default()).is_err(),
                "{args:?} {env:?}"
            );
        }
    }
}
