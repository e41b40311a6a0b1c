//! Commands that have a terminal from the beginning.

use std::fs;

use isolators::{Request, Terminal, WindowSize};

use crate::support::{Host, exited, until_output};

fn on_terminal(host: &Host, command: &str) -> Request {
    let size = Some(WindowSize {
        rows: 50,
        columns: 132,
    });
    Request {
        terminal: Some(Terminal { size }),
        ..host.request(command)
    }
}

fn shown(host: &Host) -> String {
    fs::read_to_string(host.sandbox().join("stdout")).expect("an output")
}

#[tokio::test]
async fn root_a_command_has_a_terminal_of_its_own_that_is_as_large_as_asked_for() {
    let host = Host::new("terminal");
    // /dev/tty is there for who is controlled by a terminal; errors are shown on it, too.
    let script = "stty size; readlink /proc/self/fd/0; ls -1 /dev/pts; \
                  echo controlled >/dev/tty; echo bad >&2; exit 3";
    let termination = host.run(&on_terminal(&host, script)).await;
    assert_eq!(termination.status, exited(3));
    assert_eq!(termination.leftovers, [""; 0]);
    let expected = "50 132\r\n/dev/pts/0\r\n0\r\nptmx\r\ncontrolled\r\nbad\r\n";
    assert_eq!(shown(&host), expected);
    let errors = fs::read_to_string(host.sandbox().join("stderr")).expect("a file");
    assert_eq!(errors, "");
    host.finish();
}

#[tokio::test]
async fn root_all_that_is_shown_on_a_terminal_is_kept_to_its_last_line() {
    let host = Host::new("flood");
    let script = "i=0; while [ $i -lt 20000 ]; do echo line-$i; i=$((i+1)); done";
    let termination = host.run(&on_terminal(&host, script)).await;
    assert_eq!(termination.status, exited(0));
    let said = shown(&host);
    let wanted = (0..20_000).map(|n| format!("line-{n}\r\n"));
    assert!(said == wanted.collect::<String>(), "{} bytes", said.len());
    host.finish();
}

#[tokio::test]
async fn root_a_command_that_lets_its_terminal_go_is_no_burden_and_can_be_asked_to_end() {
    let host = Host::new("closed");
    let script = "echo up; exec </dev/null >/dev/null 2>&1; trap 'exit 5' TERM; \
                  while :; do sleep 0.01; done";
    let container = host.launch(&on_terminal(&host, script)).await;
    let container = container.expect("launches");
    until_output(&host, "up").await;
    let ticks = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", container.pid())).expect("runs");
        let after = stat.rsplit(") ").next().expect("fields").to_owned();
        let fields: Vec<_> = after.split(' ').collect();
        fields[11].parse::<u64>().expect("ticks") + fields[12].parse::<u64>().expect("ticks")
    };
    let before = ticks();
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    // Of a hundred in a second.
    assert!(ticks() - before < 30, "it does not wait");
    container.terminate();
    let termination = container.wait().await;
    container.forget();
    // The pid namespace is asked as a whole: what the shell waits for ends, too.
    assert_eq!(termination.status, exited(5));
    host.finish();
}
