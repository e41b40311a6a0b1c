//! Commands that join a container.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;

use containerizer::{Command, Container, LaunchError, Stdio, Target, Terminal};
use isolators::ContainerId;

use super::support::{Host, chain};

/// A container that sleeps, and what joins it.
async fn sleeping(host: &Host) -> (Container, Target) {
    let container = host.launch(&host.request("exec sleep 1000")).await;
    let container = container.unwrap_or_else(|e| panic!("{}", chain(&e)));
    let target = find(host).expect("it runs");
    (container, target)
}

fn find(host: &Host) -> Result<Target, containerizer::TargetError> {
    let id = ContainerId::try_from("c1".to_owned()).expect("a good id");
    let config = &host.config;
    Target::find(&config.runtime_dir, &config.cgroups_hierarchy, &id)
}

async fn end(host: &Host, container: Container) {
    container.kill();
    container.wait().await;
    container.forget();
    host.finish();
}

fn shell(command: &str) -> Command {
    Command {
        args: ["/bin/sh", "-c", command].map(str::to_owned).to_vec(),
        ..Command::default()
    }
}

/// Its exit status and what it wrote.
async fn exec(target: &Target, command: &Command) -> Result<(i32, String), LaunchError> {
    let (mut read, write) = std::io::pipe().expect("a pipe");
    let stdio = Stdio {
        stdin: None,
        stdout: OwnedFd::from(write.try_clone().expect("a pipe")),
        stderr: write.into(),
    };
    let execution = target.exec(command, stdio).await?;
    let status = execution.wait().await;
    let mut output = String::new();
    read.read_to_string(&mut output).expect("reads");
    Ok((status, output))
}

#[tokio::test]
async fn root_an_executed_command_is_where_the_containers_own_command_is() {
    let host = Host::new("exec-place");
    let (container, target) = sleeping(&host).await;
    let look = "cd /proc; for p in 2 self; do readlink $p/ns/ipc $p/ns/mnt $p/ns/pid $p/ns/uts \
                $p/ns/cgroup $p/ns/net; cat $p/cgroup; done; echo $(ls -d [0-9]* | wc -l)";
    let (status, output) = exec(&target, &shell(look)).await.expect("executes");
    assert_eq!(status, 0, "{output}");
    let lines: Vec<&str> = output.lines().collect();
    let (processes, places) = lines.split_last().expect("lines");
    let (of_first, of_command) = places.split_at(places.len() / 2);
    assert_eq!(of_first, of_command);
    // init, sleep, this shell, and what it runs: nothing of the host, nothing of what joined it.
    let processes: usize = processes.parse().expect("a number");
    assert!((3..=6).contains(&processes), "{output}");
    end(&host, container).await;
}

#[tokio::test]
async fn root_an_executed_command_has_no_more_rights_than_the_containers_own() {
    let host = Host::new("exec-rights");
    let (container, target) = sleeping(&host).await;
    let rights = "for p in 2 self; do grep -E '^(Cap|NoNewPrivs|Seccomp:|Uid|Gid|Groups)' /proc/$p/status; \
                  grep -v '^Limit' /proc/$p/limits; done";
    let (status, output) = exec(&target, &shell(rights)).await.expect("executes");
    assert_eq!(status, 0, "{output}");
    let lines: Vec<&str> = output.lines().collect();
    let (of_own, of_executed) = lines.split_at(lines.len() / 2);
    assert_eq!(of_own, of_executed);
    let (_, descriptors) = exec(&target, &shell("echo /proc/self/fd/*"))
        .await
        .expect("executes");
    // The shell's own, while it lists them, is the last.
    assert_eq!(
        descriptors.trim(),
        "/proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 /proc/self/fd/3"
    );
    end(&host, container).await;
}

#[tokio::test]
async fn root_an_executed_command_ends_as_a_shell_would_tell() {
    let host = Host::new("exec-status");
    let (container, target) = sleeping(&host).await;
    for (command, wanted) in [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", 137)] {
        let (status, output) = exec(&target, &shell(command)).await.expect("executes");
        assert_eq!(status, wanted, "{command}: {output}");
    }
    let mut asked = shell("echo $A $HOME_OF; pwd");
    asked.env = ["A=1", "HOME_OF=x y"].map(str::to_owned).to_vec();
    asked.cwd = Some("/usr".to_owned());
    let (_, output) = exec(&target, &asked).await.expect("executes");
    assert_eq!(output, "1 x y\n/usr\n");
    end(&host, container).await;
}

#[tokio::test]
async fn root_a_command_that_the_container_lacks_is_named() {
    let host = Host::new("exec-missing");
    let (container, target) = sleeping(&host).await;
    let missing = Command {
        args: vec!["no-such-program".to_owned()],
        ..Command::default()
    };
    let error = exec(&target, &missing).await.expect_err("it is not there");
    let error = chain(&error);
    assert!(error.contains("cannot run \"no-such-program\""), "{error}");
    assert!(error.contains("command not found"), "{error}");
    end(&host, container).await;
}

#[tokio::test]
async fn root_a_container_that_has_ended_cannot_be_joined() {
    let host = Host::new("exec-ended");
    let (container, target) = sleeping(&host).await;
    container.kill();
    container.wait().await;
    let error = exec(&target, &shell("true")).await.expect_err("it is gone");
    assert!(!chain(&error).is_empty());
    let error = find(&host).expect_err("it is gone");
    assert!(
        error.to_string().contains("container c1 does not run"),
        "{error}"
    );
    end(&host, container).await;
}

#[tokio::test]
async fn root_an_executed_command_is_controlled_by_its_terminal() {
    let host = Host::new("exec-terminal");
    let (container, target) = sleeping(&host).await;
    let terminal = Terminal::open().expect("a terminal");
    let slave = || terminal.slave.try_clone().expect("a descriptor");
    let stdio = Stdio {
        stdin: Some(slave()),
        stdout: slave(),
        stderr: slave(),
    };
    let command = Command {
        terminal: true,
        ..shell("test -t 0 && echo on a terminal; exec sleep 1000")
    };
    let execution = target.exec(&command, stdio).await.expect("executes");
    drop(terminal.slave);
    let mut master = File::from(terminal.master);
    let (mut said, mut byte) = (Vec::new(), [0]);
    while !said.ends_with(b"\n") {
        assert_eq!(master.read(&mut byte).expect("reads"), 1);
        said.extend(byte);
    }
    assert_eq!(said, b"on a terminal\r\n");
    // Ctrl-C reaches it only if the terminal controls its session.
    std::io::Write::write_all(&mut master, b"\x03").expect("writes");
    assert_eq!(execution.wait().await, 128 + 2);
    end(&host, container).await;
}

#[tokio::test]
async fn root_an_executed_command_is_filtered_as_the_containers_own_is() {
    let host = Host::new("exec-filtered");
    let (container, target) = sleeping(&host).await;
    let look = shell("grep ^Seccomp: /proc/self/status");
    let (status, output) = exec(&target, &look).await.expect("executes");
    assert_eq!((status, output.as_str()), (0, "Seccomp:\t2\n"));
    end(&host, container).await;
}

#[tokio::test]
async fn root_a_command_that_is_killed_goes_with_all_that_came_of_it_and_leaves_the_container_alone()
 {
    let host = Host::new("exec-killed");
    let own = host
        .launch(&host.request("sleep 1001 & exec sleep 1002"))
        .await;
    let container = own.unwrap_or_else(|e| panic!("{}", chain(&e)));
    let (mut read, write) = std::io::pipe().expect("a pipe");
    let stdio = Stdio {
        stdin: None,
        stdout: OwnedFd::from(write.try_clone().expect("a pipe")),
        stderr: write.into(),
    };
    // A child, an orphan, and one that begins a session: each holds the pipe.
    let begin = "sleep 1003 & (sleep 1004 & exit); setsid sleep 1005 & echo begun; wait";
    let execution = container.exec(shell(begin), stdio).await.expect("executes");
    let mut said = [0; 6];
    read.read_exact(&mut said).expect("reads");
    assert_eq!(&said, b"begun\n");
    execution.kill();
    assert_eq!(execution.wait().await, 128 + 9);
    // Until nobody holds it.
    read.read_to_end(&mut Vec::new()).expect("reads");
    // Nobody is there any more.
    execution.kill();
    let sleeps = || {
        let processes = find(&host).expect("it runs").cgroup().processes();
        let name = |pid| std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let names = processes.into_iter().map(name);
        let names = names.map(|name| String::from_utf8_lossy(&name).replace('\0', " "));
        let mut sleeps: Vec<_> = names.filter(|name| name.starts_with("sleep")).collect();
        sleeps.sort();
        sleeps
    };
    // The container's own may still be on their way.
    while sleeps().len() < 2 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(sleeps(), ["sleep 1001 ", "sleep 1002 "]);
    end(&host, container).await;
}

#[tokio::test]
async fn root_what_is_made_within_a_containers_network_stays_there() {
    let host = Host::new("exec-network");
    let mut request = host.request("exec sleep 1000");
    request.network = isolators::network::Network::Own { files: vec![] };
    let container = host.launch(&request).await;
    let container = container.unwrap_or_else(|e| panic!("{}", chain(&e)));
    let outside = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = outside.local_addr().expect("an address");
    // The same address there is not the same: nobody listens, and it can be taken.
    let connect = move || std::net::TcpStream::connect(address);
    let refused = container.within_network(connect).await;
    let refused = refused.expect_err("nobody listens").kind();
    assert_eq!(refused, std::io::ErrorKind::ConnectionRefused);
    let bind = move || std::net::TcpListener::bind(address);
    let inside = container.within_network(bind).await.expect("binds");
    container.within_network(connect).await.expect("connects");
    drop(inside);
    container.kill();
    container.wait().await;
    let late = container.within_network(connect).await.expect_err("ended");
    assert_eq!(late.raw_os_error(), Some(nix::libc::ESRCH));
    end(&host, container).await;
}
