//! What runs on a node in each life of its agent: tasks of every kind that there is an end for, so that a
//! life comes to every point.

use std::path::Path;

use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use nix::sys::utsname::uname;
use proto::link::{KillTask, RunTask, ShutdownExecutor, to_agent};
use proto::resources::Resources;
use proto::v1::{self, TaskState};

/// How a task runs, and how it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Ends by itself, and says with which status.
    Brief,
    /// The same, and nobody acknowledges what is said of it before the last life.
    Unheard,
    /// Fetches a file and ends well.
    Fetching,
    /// Is in a user namespace of its own, and ends well.
    Mapped,
    /// Has a network of its own with a port of the host, and runs until it is killed in the last life.
    Bridged,
    /// Is in a network that a plugin connects it with, and runs until it is killed in the last life.
    Joined,
    /// Writes more than its log may hold, and runs until it is killed in the last life.
    Steady,
    /// Is killed once it runs.
    Killed,
    /// The same, and it does not want to end.
    Stubborn,
    /// Is killed before it runs.
    Early,
    /// There is no such command.
    Missing,
    /// Of a framework that does not want its tasks to outlive an agent.
    Unkept,
    /// Takes more of the disk than it may, and is killed for it.
    Greedy,
    /// Ends well, in an executor that has nothing else and is told to end then.
    Hosted,
    /// Runs in another executor until it is killed in the last life.
    HostedSteady,
    /// Comes to the same executor when that runs, and is killed once it runs itself.
    HostedKilled,
}

pub const ALL: &[Kind] = &[
    Kind::Brief,
    Kind::Unheard,
    Kind::Fetching,
    Kind::Mapped,
    Kind::Bridged,
    Kind::Joined,
    Kind::Steady,
    Kind::Killed,
    Kind::Stubborn,
    Kind::Early,
    Kind::Missing,
    Kind::Unkept,
    Kind::Greedy,
    Kind::Hosted,
    Kind::HostedSteady,
    Kind::HostedKilled,
];

/// Whether a task of that kind can run at all, with its sandbox in `place`.
///
/// Source: mount_setattr(2): a tmpfs shows its owners differently, as a user namespace wants it, since Linux 6.3.
pub fn can_be(kind: Kind, place: &Path) -> bool {
    if kind != Kind::Mapped {
        return true;
    }
    let is_tmpfs = statfs(place).is_ok_and(|it| it.filesystem_type() == TMPFS_MAGIC);
    let release = uname().map(|it| it.release().to_string_lossy().into_owned());
    let release = release.unwrap_or_default();
    let mut numbers = release.split(['.', '-']).map_while(|it| it.parse().ok());
    let version: (u32, u32) = (
        numbers.next().unwrap_or_default(),
        numbers.next().unwrap_or_default(),
    );
    !is_tmpfs || version >= (6, 3)
}

/// Of the host, for the task of a life.
fn port(life: usize) -> u32 {
    31000 + life as u32
}

fn bridged(port: u32) -> v1::ContainerInfo {
    let mapping = |protocol: &str| v1::network_info::PortMapping {
        host_port: port,
        container_port: 80,
        protocol: Some(protocol.to_owned()),
    };
    joining("mesos-bridge", vec![mapping("tcp"), mapping("udp")])
}

fn joining(network: &str, port_mappings: Vec<v1::network_info::PortMapping>) -> v1::ContainerInfo {
    v1::ContainerInfo {
        r#type: v1::container_info::Type::Mesos as i32,
        network_infos: vec![v1::NetworkInfo {
            name: Some(network.to_owned()),
            port_mappings,
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// Lines that a steady task writes: two rotations.
const LINES: usize = 30_000;

impl Kind {
    pub fn framework(self) -> v1::FrameworkInfo {
        let (id, checkpoint) = match self {
            Self::Unkept => ("U", false),
            _ => ("F", true),
        };
        v1::FrameworkInfo {
            user: "root".into(),
            name: "crash".into(),
            id: Some(v1::FrameworkId { value: id.into() }),
            checkpoint: Some(checkpoint),
            ..Default::default()
        }
    }

    /// Each run leaves a line in `marks` before it does anything else.
    fn command(self, marks: &Path, task: &str) -> String {
        let mark = format!("echo $$ >> {}/{task}", marks.display());
        match self {
            Self::Brief | Self::Unheard => format!("{mark}; exit 3"),
            Self::Fetching => format!("{mark}; cat fetched"),
            Self::Mapped => mark,
            Self::Steady => format!("{mark}; seq {LINES}; exec sleep 100000"),
            Self::Bridged
            | Self::Joined
            | Self::Killed
            | Self::Early
            | Self::Unkept
            | Self::HostedSteady
            | Self::HostedKilled => format!("{mark}; exec sleep 100000"),
            Self::Hosted => mark,
            Self::Greedy => {
                format!("{mark}; head -c 3000000 /dev/zero > much; exec sleep 100000")
            }
            Self::Stubborn => format!("{mark}; trap '' TERM; while true; do sleep 1; done"),
            Self::Missing => "/no/such/command".to_owned(),
        }
    }

    /// How it ends when it comes to its own end.
    pub fn end(self) -> TaskState {
        match self {
            Self::Brief | Self::Unheard | Self::Missing | Self::Greedy => TaskState::TaskFailed,
            Self::Fetching | Self::Mapped | Self::Hosted => TaskState::TaskFinished,
            Self::Bridged
            | Self::Joined
            | Self::Steady
            | Self::Killed
            | Self::Stubborn
            | Self::Early
            | Self::Unkept
            | Self::HostedSteady
            | Self::HostedKilled => TaskState::TaskKilled,
        }
    }

    /// What the last word about it says.
    pub fn message(self) -> &'static str {
        match self {
            Self::Brief | Self::Unheard => "status 3",
            Self::Missing => "/no/such/command",
            Self::Greedy => "exceeds quota",
            _ => "",
        }
    }

    /// The life goes on when it runs, not when it has ended.
    pub fn stays(self) -> bool {
        matches!(
            self,
            Self::Bridged | Self::Joined | Self::Steady | Self::Unkept | Self::HostedSteady
        )
    }

    /// When it is asked to end, if that is within the life that began it.
    pub fn killed_when(self) -> Option<TaskState> {
        match self {
            Self::Killed | Self::Stubborn | Self::HostedKilled => Some(TaskState::TaskRunning),
            Self::Early => Some(TaskState::TaskStaging),
            _ => None,
        }
    }

    /// Of the same life, whose running it waits for.
    pub fn begins_after(self) -> Option<Kind> {
        (self == Self::HostedKilled).then_some(Self::HostedSteady)
    }

    /// Which executor has it: a command task has one for itself, that is named as it is.
    pub fn executor(self, life: usize) -> String {
        match self {
            Self::Hosted => format!("{life}-solo"),
            Self::HostedSteady | Self::HostedKilled => format!("{life}-crew"),
            _ => self.task(life),
        }
    }

    pub fn task(self, life: usize) -> String {
        format!("{life}-{self:?}")
    }

    pub fn is_hosted(self) -> bool {
        matches!(self, Self::Hosted | Self::HostedSteady | Self::HostedKilled)
    }

    pub fn shut_down(self, life: usize) -> to_agent::Message {
        to_agent::Message::ShutdownExecutor(ShutdownExecutor {
            framework_id: self.framework().id.unwrap_or_default(),
            executor_id: v1::ExecutorId {
                value: self.executor(life),
            },
        })
    }

    pub fn run(self, life: usize, agent: &str, place: &Path) -> to_agent::Message {
        let task = &self.task(life);
        let uris = match self {
            Self::Fetching => vec![v1::command_info::Uri {
                value: place.join("fetched").display().to_string(),
                ..Default::default()
            }],
            _ => vec![],
        };
        let command = self.command(&place.join("marks"), task);
        let label = match self {
            Self::Mapped => Some(("LONGSHORE_USER_NAMESPACE", "true".to_owned())),
            _ if self.is_hosted() => Some(("command", command.clone())),
            _ => None,
        };
        let command = v1::CommandInfo {
            shell: Some(self != Self::Missing),
            value: Some(command),
            uris,
            ..Default::default()
        };
        let labels = label.map(|(key, value)| v1::Labels {
            labels: vec![v1::Label {
                key: key.into(),
                value: Some(value),
            }],
        });
        let resources = |text: &str| Resources::parse(text, "*").unwrap_or_default().to_protos();
        let executor = self.is_hosted().then(|| v1::ExecutorInfo {
            executor_id: v1::ExecutorId {
                value: self.executor(life),
            },
            framework_id: self.framework().id,
            command: Some(v1::CommandInfo {
                value: Some(place.join("executor").display().to_string()),
                ..Default::default()
            }),
            resources: resources("cpus:0.1;mem:32"),
            // One of them has no time to end by itself.
            shutdown_grace_period: (self == Self::Hosted)
                .then_some(v1::DurationInfo { nanoseconds: 0 }),
            ..Default::default()
        });
        to_agent::Message::RunTask(RunTask {
            framework: self.framework(),
            task: v1::TaskInfo {
                name: task.into(),
                task_id: v1::TaskId { value: task.into() },
                agent_id: v1::AgentId {
                    value: agent.into(),
                },
                resources: resources(&match self {
                    Self::Greedy => "cpus:0.1;mem:32;disk:1".to_owned(),
                    Self::Bridged => {
                        let port = port(life);
                        format!("cpus:0.1;mem:32;ports:[{port}-{port}]")
                    }
                    _ => "cpus:0.1;mem:32".to_owned(),
                }),
                container: match self {
                    Self::Bridged => Some(bridged(port(life))),
                    Self::Joined => Some(joining("blue", vec![])),
                    _ => None,
                },
                command: Some(command).filter(|_| !self.is_hosted()),
                executor,
                labels,
                ..Default::default()
            },
        })
    }

    pub fn kill(self, task: &str) -> to_agent::Message {
        to_agent::Message::KillTask(KillTask {
            framework_id: self.framework().id.unwrap_or_default(),
            task_id: v1::TaskId { value: task.into() },
            kill_policy: Some(v1::KillPolicy {
                grace_period: Some(v1::DurationInfo {
                    nanoseconds: 300_000_000,
                }),
            }),
        })
    }

    /// What a steady task writes, all of it.
    pub fn output(self) -> Option<String> {
        (self == Self::Steady).then(|| (1..=LINES).map(|n| format!("{n}\n")).collect())
    }
}
