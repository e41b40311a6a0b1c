//! A whole cluster in this process, on loopback: master, scheduler and agent.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use clap::{ArgMatches, Args, Command, FromArgMatches};

use crate::borrow::Terms;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Who listens where, and under which name, is decided here; and where things are, by the agent.
const MASTER: Terms = Terms {
    decided: &[
        "ip",
        "port",
        "advertise_ip",
        "advertise_port",
        "insecure",
        "hostname",
        "work_dir",
    ],
    defaults: &[],
};
const SCHEDULER: Terms = Terms {
    decided: &[
        "master",
        "ip",
        "http_port",
        "insecure",
        "hostname",
        "work_dir",
    ],
    defaults: &[],
};
const AGENT: Terms = Terms {
    decided: &[
        "master",
        "ip",
        "port",
        "advertise_ip",
        "advertise_port",
        "insecure",
    ],
    defaults: &[
        // Replaced once the master listens.
        ("master", "127.0.0.1:1"),
        // There is no crowd of agents here whose first attempts would have to be spread.
        ("registration_backoff_factor", "1ms"),
    ],
};

#[derive(Debug, Clone, clap::Args)]
struct Ports {
    /// Port of the scheduler, which takes apps; 0 takes any free one
    #[arg(long = "http_port", env = "MARATHON_HTTP_PORT", default_value_t = 8080)]
    http_port: u16,

    /// Port of the master; 0 takes any free one
    #[arg(long = "master_port", default_value_t = 5050)]
    master_port: u16,

    /// Port of the agent; 0 takes any free one
    #[arg(long = "agent_port", default_value_t = 5051)]
    agent_port: u16,
}

/// Ports of all parts, and every other flag of the agent.
#[derive(Debug, Clone)]
pub struct Flags {
    ports: Ports,
    master: master::Flags,
    scheduler: scheduler::Flags,
    agent: agent::Flags,
}

impl Args for Flags {
    fn augment_args(command: Command) -> Command {
        AGENT.offer::<agent::Flags>(Ports::augment_args(command), "Agent")
    }

    fn augment_args_for_update(command: Command) -> Command {
        Flags::augment_args(command)
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Flags, clap::Error> {
        let ports = Ports::from_arg_matches(matches)?;
        Ok(Flags {
            master: master::Flags {
                ip: LOOPBACK,
                port: ports.master_port,
                ..MASTER.unasked()?
            },
            scheduler: scheduler::Flags {
                ip: LOOPBACK,
                http_port: ports.http_port,
                ..SCHEDULER.unasked()?
            },
            agent: agent::Flags {
                ip: LOOPBACK,
                port: ports.agent_port,
                ..AGENT.read(matches)?
            },
            ports,
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Flags::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Flags {
    /// The same, with directories of its own below the given ones.
    pub fn apart(mut self, name: &str) -> Flags {
        self.agent.work_dir.push(name);
        self.agent.runtime_dir.push(name);
        self
    }

    /// Sandboxes and all state of the cluster.
    pub fn work_dir(&self) -> &Path {
        &self.agent.work_dir
    }
}

/// Dropping it leaves everything running as long as the process.
pub struct Cluster {
    master: master::Handle,
    scheduler: scheduler::Handle,
    agent: agent::Handle,
}

/// Long enough for a machine that is busy with builds.
const REGISTRATION: Duration = Duration::from_secs(30);

impl Cluster {
    /// Returns once the agent is registered.
    pub async fn start(flags: Flags) -> anyhow::Result<Cluster> {
        let Flags {
            ports,
            mut master,
            mut scheduler,
            mut agent,
        } = flags;
        ports.check().await?;
        master.work_dir = agent.work_dir.join("master");
        scheduler.work_dir = agent.work_dir.join("scheduler");
        let master = master::start(master)
            .await
            .context("cannot start the master")?;
        scheduler.master = master.address().into();
        let scheduler = scheduler::start(scheduler)
            .await
            .context("cannot start the scheduler")?;
        agent.master = master.address().into();
        let agent = agent::start(agent)
            .await
            .context("cannot start the agent")?;
        let taken = async {
            tokio::select! {
                _id = agent.registered() => Ok(()),
                dismissal = agent.dismissed() => Err(dismissal),
            }
        };
        match tokio::time::timeout(REGISTRATION, taken).await {
            Ok(Ok(())) => Ok(Cluster {
                master,
                scheduler,
                agent,
            }),
            Ok(Err(Some(agent::Dismissal::Refused(why) | agent::Dismissal::Shutdown(why)))) => {
                bail!("the master does not take the agent: {why}")
            }
            Ok(Err(None)) => bail!("the agent ended by itself: see the log above"),
            Err(_late) => bail!(
                "the agent is not registered after {} s: run with RUST_LOG=info to see why",
                REGISTRATION.as_secs()
            ),
        }
    }

    /// Waits for a part that ends by itself, as one does whose store fails, and says why. Its tasks
    /// go on, for the next start.
    pub async fn failed(&mut self) -> anyhow::Error {
        tokio::select! {
            failed = self.master.failed() => match failed {
                Ok(()) => anyhow!("the master ended by itself: see the log above"),
                Err(error) => anyhow::Error::new(error).context("the master failed"),
            },
            reason = self.scheduler.failed() => {
                anyhow::Error::new(reason).context("the scheduler failed")
            }
        }
    }

    pub fn scheduler(&self) -> SocketAddr {
        self.scheduler.address()
    }

    pub fn master(&self) -> SocketAddr {
        self.master.address()
    }

    pub fn agent(&self) -> SocketAddr {
        self.agent.address()
    }

    /// Ends this process' part; tasks keep running for the next cluster in the same directories.
    pub async fn stop(self) {
        // The agent first: it passes on what it knows.
        self.agent.stop().await;
        self.scheduler.stop().await;
        self.master.stop().await;
    }

    /// Ends everything, tasks included.
    pub async fn destroy(self) {
        self.agent.destroy().await;
        self.scheduler.stop().await;
        self.master.stop().await;
    }
}

impl Ports {
    /// Every port must be free before anything is started, so that a second cluster by mistake
    /// does nothing at all.
    async fn check(&self) -> anyhow::Result<()> {
        for (flag, port) in [
            ("http_port", self.http_port),
            ("master_port", self.master_port),
            ("agent_port", self.agent_port),
        ] {
            if port != 0 {
                check(flag, port).await?;
            }
        }
        Ok(())
    }
}

const OTHER_PORTS: &str = "choose other ports with --http_port, --master_port and --agent_port \
                           (0 takes any free one), and another --work_dir and --runtime_dir";

async fn check(flag: &str, port: u16) -> anyhow::Result<()> {
    let address = SocketAddr::from((LOOPBACK, port));
    match TcpListener::bind(address) {
        Ok(_free) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            match crate::api::identify(address).await {
                Some(what) => bail!("{what} is already running at http://{address}: {OTHER_PORTS}"),
                None => bail!("port {port} (--{flag}) is in use by another program: {OTHER_PORTS}"),
            }
        }
        Err(error) => Err(error).with_context(|| format!("cannot use --{flag}={port}")),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        flags: Flags,
    }

    fn parse(line: &str) -> Result<Flags, clap::Error> {
        let words = std::iter::once("up").chain(line.split_whitespace());
        Line::try_parse_from(words).map(|line| line.flags)
    }

    #[test]
    fn ports_reach_their_part_and_everything_else_the_agent() {
        let flags = parse("--http_port=1 --master_port=2 --agent_port=3 --attributes=rack:1");
        let flags = flags.unwrap();
        let ports = (
            flags.scheduler.http_port,
            flags.master.port,
            flags.agent.port,
        );
        assert_eq!(ports, (1, 2, 3));
        assert_eq!(flags.agent.attributes.as_deref(), Some("rack:1"));
        assert_eq!(
            flags.agent.registration_backoff_factor,
            Duration::from_millis(1)
        );
    }

    #[test]
    fn all_parts_stay_on_loopback() {
        let flags = parse("").unwrap();
        for ip in [flags.master.ip, flags.scheduler.ip, flags.agent.ip] {
            assert!(ip.is_loopback());
        }
        for line in [
            "--ip=0.0.0.0",
            "--port=1",
            "--insecure",
            "--master=10.0.0.1:5050",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_cluster_apart_has_directories_below() {
        let flags = parse("--work_dir=/w --runtime_dir=/r")
            .unwrap()
            .apart("run");
        assert_eq!(flags.work_dir(), Path::new("/w/run"));
        assert_eq!(flags.agent.runtime_dir, Path::new("/r/run"));
    }
}
