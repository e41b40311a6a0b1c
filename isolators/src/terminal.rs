//! A terminal of a container's own, in a devpts that nobody else has: the other end stays with its first
//! process.

use oci_spec::runtime::MountBuilder;

use crate::isolator::{Draft, Host, Isolator, PlanError};
use crate::request::Request;

pub(crate) struct Terminals;

/// Who may write to terminals of others, by convention: the group tty.
pub(crate) const OPTIONS: [&str; 6] = [
    "nosuid",
    "noexec",
    "newinstance",
    "ptmxmode=0666",
    "mode=0620",
    "gid=5",
];

impl Isolator for Terminals {
    fn name(&self) -> &'static str {
        "io/switchboard"
    }

    fn plan(&self, request: &Request, _host: &Host, spec: &mut Draft) -> Result<(), PlanError> {
        // A root of its own comes with its own terminals.
        if request.terminal.is_some() && request.root.is_none() {
            let devpts = MountBuilder::default()
                .destination("/dev/pts")
                .typ("devpts")
                .source("devpts")
                .options(OPTIONS.map(str::to_owned).to_vec());
            spec.mounts.push(devpts.build()?);
        }
        spec.terminal = request.terminal;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::cgroups::Version;
    use crate::isolator::plan;
    use crate::isolator::tests::{host, request};
    use crate::request::{Request, Terminal, WindowSize};

    /// Whether it has a terminal and terminals of its own, and rows and columns.
    fn planned(terminal: Option<Terminal>) -> (bool, bool, Option<(u64, u64)>) {
        let request = Request {
            terminal,
            ..request()
        };
        let spec = plan(&request, &host(Version::V2)).expect("plans");
        let process = spec.process().clone().expect("a process");
        let mounts = spec.mounts().clone().unwrap_or_default();
        let own = mounts
            .iter()
            .any(|mount| mount.destination().ends_with("pts"));
        let size = process.console_size();
        let size = size.map(|size| (size.height(), size.width()));
        (process.terminal() == Some(true), own, size)
    }

    #[test]
    fn a_terminal_is_made_for_who_asks_as_large_as_it_asks() {
        let size = WindowSize {
            rows: 50,
            columns: 132,
        };
        let sized = Terminal { size: Some(size) };
        assert_eq!(planned(None), (false, false, None));
        assert_eq!(planned(Some(Terminal::default())), (true, true, None));
        assert_eq!(planned(Some(sized)), (true, true, Some((50, 132))));
    }
}
