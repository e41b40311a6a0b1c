//! What runs on a node in each life of its agent: tasks of every kind that there is an end for, so that a
//! life comes to every point.

use std::path::Path;

use proto::link::{KillTask, RunTask, to_agent};
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
}

pub const ALL: &[Kind] = &[
    Kind::Brief,
    Kind::Unheard,
    Kind::Fetching,
    Kind::Mapped,
    Kind::Steady,
    Kind::Killed,
    Kind::Stubborn,
    Kind::Early,
    Kind::Missing,
    Kind::Unkept,
];

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
            Self::Killed | Self::Early | Self::Unkept => format!("{mark}; exec sleep 100000"),
            Self::Stubborn => format!("{mark}; trap '' TERM; while true; do sleep 1; done"),
            Self::Missing => "/no/such/command".to_owned(),
        }
    }

    /// How it ends when it comes to its own end.
    pub fn end(self) -> TaskState {
        match self {
            Self::Brief | Self::Unheard | Self::Missing => TaskState::TaskFailed,
            Self::Fetching | Self::Mapped => TaskState::TaskFinished,
            Self::Steady | Self::Killed | Self::Stubborn | Self::Early | Self::Unkept => {
                TaskState::TaskKilled
            }
        }
    }

    /// What the last word about it says.
    pub fn message(self) -> &'static str {
        match self {
            Self::Brief | Self::Unheard => "status 3",
            Self::Missing => "/no/such/command",
            _ => "",
        }
    }

    /// The life goes on when it runs, not when it has ended.
    pub fn stays(self) -> bool {
        matches!(self, Self::Steady | Self::Unkept)
    }

    /// When it is asked to end, if that is within the life that began it.
    pub fn killed_when(self) -> Option<TaskState> {
        match self {
            Self::Killed | Self::Stubborn => Some(TaskState::TaskRunning),
            Self::Early => Some(TaskState::TaskStaging),
            _ => None,
        }
    }

    pub fn run(self, task: &str, agent: &str, place: &Path) -> to_agent::Message {
        let uris = match self {
            Self::Fetching => vec![v1::command_info::Uri {
                value: place.join("fetched").display().to_string(),
                ..Default::default()
            }],
            _ => vec![],
        };
        let command = v1::CommandInfo {
            shell: Some(self != Self::Missing),
            value: Some(self.command(&place.join("marks"), task)),
            uris,
            ..Default::default()
        };
        let labels = (self == Self::Mapped).then(|| v1::Labels {
            labels: vec![v1::Label {
                key: "LONGSHORE_USER_NAMESPACE".into(),
                value: Some("true".into()),
            }],
        });
        let resources = Resources::parse("cpus:0.1;mem:32", "*").unwrap_or_default();
        to_agent::Message::RunTask(RunTask {
            framework: self.framework(),
            task: v1::TaskInfo {
                name: task.into(),
                task_id: v1::TaskId { value: task.into() },
                agent_id: v1::AgentId {
                    value: agent.into(),
                },
                resources: resources.to_protos(),
                command: Some(command),
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
