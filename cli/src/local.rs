//! A whole cluster in this process, on loopback: master, scheduler and agent.

use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{ArgMatches, Args, Command, FromArgMatches};

use crate::borrow;

/// What the agent knows of its own and the cluster decides.
const DECIDED: &[&str] = &[
    "master",
    "ip",
    "port",
    "advertise_ip",
    "advertise_port",
    "insecure",
    "work_dir",
    "runtime_dir",
];

/// Where things are; everything else is a flag of the agent.
#[derive(Debug, Clone, clap::Args)]
struct Places {
    /// Sandboxes and all state of the cluster
    #[arg(long = "work_dir", default_value = "/var/lib/longshore")]
    work_dir: PathBuf,

    /// State of containers that ends with this boot
    #[arg(long = "runtime_dir", default_value = "/run/longshore")]
    runtime_dir: PathBuf,

    /// Port of the scheduler, which takes apps; 0 takes any free one
    #[arg(long = "http_port", default_value_t = 8080)]
    http_port: u16,

    /// Port of the master; 0 takes any free one
    #[arg(long = "master_port", default_value_t = 5050)]
    master_port: u16,

    /// Port of the agent; 0 takes any free one
    #[arg(long = "agent_port", default_value_t = 5051)]
    agent_port: u16,
}

#[derive(Debug, Clone)]
pub struct Flags {
    places: Places,
    agent: Vec<OsString>,
}

impl Args for Flags {
    fn augment_args(command: Command) -> Command {
        borrow::add::<agent::Flags>(Places::augment_args(command), "Agent", DECIDED)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Flags::augment_args(command)
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Flags, clap::Error> {
        Ok(Flags {
            places: Places::from_arg_matches(matches)?,
            agent: borrow::words::<agent::Flags>(matches, DECIDED),
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
        self.places.work_dir.push(name);
        self.places.runtime_dir.push(name);
        self
    }

    pub fn work_dir(&self) -> &Path {
        &self.places.work_dir
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
    pub async fn start(flags: &Flags) -> anyhow::Result<Cluster> {
        let Places {
            work_dir,
            runtime_dir,
            http_port,
            master_port,
            agent_port,
        } = &flags.places;
        check_ports(&[
            ("http_port", *http_port),
            ("master_port", *master_port),
            ("agent_port", *agent_port),
        ])
        .await?;
        let master = master::start(borrow::read(&[
            word("ip", "127.0.0.1"),
            word("port", master_port.to_string()),
            word("work_dir", work_dir.join("master")),
        ])?);
        let master = master.await.context("cannot start the master")?;
        let at = master.address();
        let scheduler = scheduler::start(borrow::read(&[
            word("http_address", "127.0.0.1"),
            word("http_port", http_port.to_string()),
            word("master", at.to_string()),
            word("work_dir", work_dir.join("scheduler")),
        ])?);
        let scheduler = scheduler.await.context("cannot start the scheduler")?;
        let mut words = flags.agent.clone();
        if !names(&words, "registration_backoff_factor") {
            // There is no crowd of agents here whose first attempts would have to be spread.
            words.push(word("registration_backoff_factor", "1ms"));
        }
        words.extend([
            word("ip", "127.0.0.1"),
            word("port", agent_port.to_string()),
            word("master", at.to_string()),
            word("work_dir", work_dir),
            word("runtime_dir", runtime_dir),
        ]);
        let mut flags: agent::Flags = borrow::read(&words)?;
        flags.fetch_helper = fetch_helper();
        let agent = agent::start(flags)
            .await
            .context("cannot start the agent")?;
        match tokio::time::timeout(REGISTRATION, agent.registered()).await {
            Ok(Some(_)) => Ok(Cluster {
                master,
                scheduler,
                agent,
            }),
            Ok(None) => bail!("the master does not take the agent: see the log above"),
            Err(_) => bail!(
                "the agent is not registered after {} s: run with RUST_LOG=info to see why",
                REGISTRATION.as_secs()
            ),
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

/// How the agent starts its fetch child: this program again, even if its file was replaced.
pub fn fetch_helper() -> Vec<String> {
    ["/proc/self/exe", "fetcher"].map(str::to_owned).to_vec()
}

fn word(flag: &str, value: impl Into<OsString>) -> OsString {
    let mut word = OsString::from(format!("--{flag}="));
    word.push(value.into());
    word
}

/// Whether a flag is among these words.
fn names(words: &[OsString], flag: &str) -> bool {
    let start = format!("--{flag}=");
    words
        .iter()
        .any(|word| word.as_encoded_bytes().starts_with(start.as_bytes()))
}

/// Every port must be free before anything is started, so that a second cluster by mistake does
/// nothing at all.
async fn check_ports(ports: &[(&str, u16)]) -> anyhow::Result<()> {
    let others = "choose other ports with --http_port, --master_port and --agent_port (0 takes any \
                  free one), and another --work_dir and --runtime_dir";
    for (flag, port) in ports.iter().filter(|(_, port)| *port != 0) {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, *port));
        match TcpListener::bind(address) {
            Ok(_free) => {}
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                match crate::api::identify(address).await {
                    Some(what) => bail!("{what} is already running at http://{address}: {others}"),
                    None => bail!("port {port} (--{flag}) is in use by another program: {others}"),
                }
            }
            Err(error) => {
                return Err(error).with_context(|| format!("cannot use --{flag}={port}"));
            }
        }
    }
    Ok(())
}
