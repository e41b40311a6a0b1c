//! What becomes of the apps, from one look at the cluster to the next. Pure.

use std::collections::BTreeMap;

use proto::task::is_terminal;
use proto::v1::TaskState;

use super::outcome;

/// Looks to wait for the message of a task that failed, before it is told without one.
const PATIENCE: u32 = 30;

/// One look at the cluster.
#[derive(Debug, Default, Clone)]
pub struct Look {
    /// Those that have ended included, for as long as the agent remembers them.
    pub tasks: Vec<Task>,
    /// The last failure of each app that had one.
    pub failures: Vec<Failure>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    pub id: String,
    pub state: TaskState,
    /// Its sandbox, by the path it has in the agent's files API.
    pub directory: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    pub task: String,
    pub state: TaskState,
    pub message: String,
}

/// What an app is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// For an offer with enough of everything.
    Waiting,
    Fetching,
    Starting,
    Running {
        running: u32,
        wanted: u32,
    },
    /// All instances have ended, and none will be started again.
    Done,
}

/// Something worth telling, or to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    Phase {
        app: String,
        phase: Phase,
    },
    Ended {
        task: String,
        state: TaskState,
        message: Option<String>,
    },
    /// Instances that found no room before others had ended may be launched now.
    LaunchRest {
        app: String,
        instances: u32,
    },
}

/// Whether instances that end are started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Forever,
    Once,
}

#[derive(Debug)]
struct App {
    id: String,
    fetches: bool,
    instances: u32,
    phase: Option<Phase>,
    /// By task id.
    tasks: BTreeMap<String, Known>,
    /// Tasks that had ended when the rest was last asked to be launched.
    asked_after: u32,
}

#[derive(Debug, Clone)]
struct Known {
    /// From 1, in the order in which tasks of the app were first seen.
    number: usize,
    state: TaskState,
    message: Option<String>,
    waited: u32,
    told: bool,
}

/// The apps of one run.
#[derive(Debug)]
pub struct Watch {
    mode: Mode,
    apps: Vec<App>,
}

impl Watch {
    pub fn new(mode: Mode) -> Watch {
        Watch {
            mode,
            apps: Vec::new(),
        }
    }

    /// From now on this app is watched. `id` is canonical.
    pub fn add(&mut self, id: &str, instances: u32, fetches: bool) {
        self.apps.push(App {
            id: id.to_owned(),
            fetches,
            instances,
            phase: None,
            tasks: BTreeMap::new(),
            asked_after: 0,
        });
    }

    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.apps.iter().map(|app| app.id.as_str())
    }

    /// What has changed since the last look.
    pub fn step(&mut self, look: &Look) -> Vec<Notice> {
        let mode = self.mode;
        self.apps
            .iter_mut()
            .flat_map(|app| app.step(look, mode))
            .collect()
    }

    /// What a task is called in front of its lines: its app, with a number from the second on.
    pub fn name(&self, task: &str) -> Option<String> {
        let app = self.apps.iter().find(|app| app.tasks.contains_key(task))?;
        let name = app.id.trim_start_matches('/');
        match app.tasks[task].number {
            1 => Some(name.to_owned()),
            number => Some(format!("{name}#{number}")),
        }
    }

    /// No instance runs or will run.
    pub fn is_done(&self) -> bool {
        self.apps.iter().all(|app| app.phase == Some(Phase::Done))
    }

    /// Every app runs with all its instances: little will change.
    pub fn is_settled(&self) -> bool {
        self.apps.iter().all(|app| match app.phase {
            Some(Phase::Running { running, wanted }) => running == wanted,
            Some(Phase::Done) => true,
            Some(Phase::Waiting | Phase::Fetching | Phase::Starting) | None => false,
        })
    }

    /// Of all tasks that have ended, in the order of the apps.
    pub fn exit_code(&self) -> u8 {
        outcome::of_all(
            self.apps.iter().flat_map(App::ended).map(|known| {
                outcome::exit_code(known.state.as_str_name(), known.message.as_deref())
            }),
        )
    }
}

impl App {
    fn step(&mut self, look: &Look, mode: Mode) -> Vec<Notice> {
        let id = self.id.clone();
        for task in look.tasks.iter().filter(|task| is_of(&task.id, &id)) {
            self.know(&task.id, task.state);
        }
        // A task that the master refused never reached an agent.
        for failure in look
            .failures
            .iter()
            .filter(|failure| is_of(&failure.task, &id))
        {
            let known = self.know(&failure.task, failure.state);
            known.message.get_or_insert_with(|| failure.message.clone());
        }
        let mut notices = Vec::new();
        for (id, known) in self
            .tasks
            .iter_mut()
            .filter(|(_, k)| !k.told && is_terminal(k.state))
        {
            let has_message =
                matches!(known.state, TaskState::TaskFinished | TaskState::TaskKilled)
                    || known.message.is_some();
            known.waited += 1;
            if has_message || known.waited > PATIENCE {
                known.told = true;
                let (state, message) = (known.state, known.message.clone());
                notices.push(Notice::Ended {
                    task: id.clone(),
                    state,
                    message,
                });
            }
        }
        let phase = self.judge(mode);
        if self.phase != Some(phase) {
            self.phase = Some(phase);
            notices.push(Notice::Phase {
                app: self.id.clone(),
                phase,
            });
        }
        notices.extend(self.rest(mode));
        notices
    }

    fn know(&mut self, task: &str, state: TaskState) -> &mut Known {
        let number = self.tasks.len() + 1;
        let known = self.tasks.entry(task.to_owned()).or_insert(Known {
            number,
            state,
            message: None,
            waited: 0,
            told: false,
        });
        // An end is final, whoever still says otherwise.
        if !is_terminal(known.state) {
            known.state = state;
        }
        known
    }

    fn judge(&self, mode: Mode) -> Phase {
        let count = |is: fn(TaskState) -> bool| {
            let tasks = self.tasks.values().filter(|known| is(known.state));
            u32::try_from(tasks.count()).unwrap_or(u32::MAX)
        };
        let told = self.ended().filter(|known| known.told).count();
        if mode == Mode::Once && told >= self.instances as usize {
            return Phase::Done;
        }
        let running = count(|state| state == TaskState::TaskRunning);
        let ended = count(is_terminal);
        if running > 0 {
            let wanted = match mode {
                Mode::Forever => self.instances,
                Mode::Once => self.instances.saturating_sub(ended),
            };
            Phase::Running { running, wanted }
        } else if count(|state| state == TaskState::TaskStarting) > 0 {
            Phase::Starting
        } else if count(|state| state == TaskState::TaskStaging) > 0 {
            if self.fetches {
                Phase::Fetching
            } else {
                Phase::Starting
            }
        } else {
            Phase::Waiting
        }
    }

    /// Once everything that was launched has ended and something is missing.
    fn rest(&mut self, mode: Mode) -> Option<Notice> {
        let ended = u32::try_from(self.ended().count()).unwrap_or(u32::MAX);
        let nothing_lives = ended as usize == self.tasks.len();
        let is_new = ended > self.asked_after;
        if mode != Mode::Once || !nothing_lives || !is_new || ended >= self.instances {
            return None;
        }
        self.asked_after = ended;
        Some(Notice::LaunchRest {
            app: self.id.clone(),
            instances: self.instances - ended,
        })
    }

    fn ended(&self) -> impl Iterator<Item = &Known> {
        self.tasks.values().filter(|known| is_terminal(known.state))
    }
}

/// Whether a task id is one of an app: `a_b.instance-<uuid>._app.1` of `/a/b`.
pub fn is_of(task: &str, app: &str) -> bool {
    let name = app.trim_start_matches('/').replace('/', "_");
    let rest = task
        .strip_prefix(&name)
        .and_then(|rest| rest.strip_prefix('.'));
    rest.is_some_and(|rest| rest.starts_with("instance-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(number: u32, state: TaskState) -> Task {
        Task {
            id: format!("a.instance-{number}"),
            state,
            directory: "/sandbox".to_owned(),
        }
    }

    fn look(tasks: &[Task]) -> Look {
        Look {
            tasks: tasks.to_vec(),
            failures: vec![],
        }
    }

    fn watch(mode: Mode, instances: u32, fetches: bool) -> Watch {
        let mut watch = Watch::new(mode);
        watch.add("/a", instances, fetches);
        watch
    }

    fn phases(notices: &[Notice]) -> Vec<Phase> {
        let phase = |notice: &Notice| match notice {
            Notice::Phase { phase, .. } => Some(*phase),
            Notice::Ended { .. } | Notice::LaunchRest { .. } => None,
        };
        notices.iter().filter_map(phase).collect()
    }

    #[test]
    fn each_phase_is_told_once() {
        let mut watch = watch(Mode::Forever, 1, true);
        for (tasks, told) in [
            (vec![], vec![Phase::Waiting]),
            (vec![], vec![]),
            (vec![task(1, TaskState::TaskStaging)], vec![Phase::Fetching]),
            (
                vec![task(1, TaskState::TaskStarting)],
                vec![Phase::Starting],
            ),
            (
                vec![task(1, TaskState::TaskRunning)],
                vec![Phase::Running {
                    running: 1,
                    wanted: 1,
                }],
            ),
            (vec![task(1, TaskState::TaskRunning)], vec![]),
        ] {
            assert_eq!(phases(&watch.step(&look(&tasks))), told, "{tasks:?}");
        }
        assert!(watch.is_settled() && !watch.is_done());
    }

    #[test]
    fn a_failure_is_told_once_with_its_message() {
        let mut watch = watch(Mode::Forever, 1, false);
        let failed = task(1, TaskState::TaskFailed);
        assert_eq!(
            phases(&watch.step(&look(std::slice::from_ref(&failed)))),
            [Phase::Waiting]
        );
        let message = "Command exited with status 3".to_owned();
        let failure = Failure {
            task: failed.id.clone(),
            state: TaskState::TaskFailed,
            message: message.clone(),
        };
        let second = Look {
            tasks: vec![failed.clone()],
            failures: vec![failure],
        };
        let told = Notice::Ended {
            task: failed.id,
            state: TaskState::TaskFailed,
            message: Some(message),
        };
        assert_eq!(watch.step(&second), [told]);
        assert_eq!(watch.step(&second), []);
    }

    #[test]
    fn a_failure_whose_message_never_comes_is_told_without() {
        let mut watch = watch(Mode::Forever, 1, false);
        let failed = look(&[task(1, TaskState::TaskFailed)]);
        let told: Vec<Notice> = (0..=PATIENCE).flat_map(|_| watch.step(&failed)).collect();
        assert!(
            told.iter()
                .any(|n| matches!(n, Notice::Ended { message: None, .. }))
        );
    }

    #[test]
    fn once_ends_with_the_last_instance_and_its_result() {
        let mut watch = watch(Mode::Once, 2, false);
        watch.step(&look(&[
            task(1, TaskState::TaskRunning),
            task(2, TaskState::TaskRunning),
        ]));
        let finished = [
            task(1, TaskState::TaskFinished),
            task(2, TaskState::TaskRunning),
        ];
        watch.step(&look(&finished));
        assert!(!watch.is_done());
        let failed = task(2, TaskState::TaskFailed);
        let failure = Failure {
            task: failed.id.clone(),
            state: TaskState::TaskFailed,
            message: "Command exited with status 7".to_owned(),
        };
        watch.step(&Look {
            tasks: vec![failed],
            failures: vec![failure],
        });
        assert!(watch.is_done());
        assert_eq!(watch.exit_code(), 7);
    }

    #[test]
    fn a_task_that_no_agent_ever_saw_counts_too() {
        let mut watch = watch(Mode::Once, 1, false);
        let failure = Failure {
            task: "a.instance-1".to_owned(),
            state: TaskState::TaskError,
            message: "refused".to_owned(),
        };
        watch.step(&Look {
            tasks: vec![],
            failures: vec![failure],
        });
        assert!(watch.is_done());
        assert_eq!(watch.exit_code(), 1);
    }

    #[test]
    fn instances_without_room_are_launched_when_others_have_ended() {
        let mut watch = watch(Mode::Once, 3, false);
        let some = look(&[
            task(1, TaskState::TaskFinished),
            task(2, TaskState::TaskFinished),
        ]);
        let rest = Notice::LaunchRest {
            app: "/a".to_owned(),
            instances: 1,
        };
        assert!(watch.step(&some).contains(&rest));
        assert!(!watch.step(&some).contains(&rest));
    }

    #[test]
    fn tasks_are_named_after_their_app() {
        let mut watch = Watch::new(Mode::Forever);
        watch.add("/g/a", 2, false);
        watch.add("/g/a.b", 1, false);
        let named = |id: &str| Task {
            id: id.to_owned(),
            ..task(1, TaskState::TaskRunning)
        };
        watch.step(&look(&[
            named("g_a.instance-1"),
            named("g_a.instance-2"),
            named("g_a.b.instance-1"),
        ]));
        assert_eq!(watch.name("g_a.instance-1").as_deref(), Some("g/a"));
        assert_eq!(watch.name("g_a.instance-2").as_deref(), Some("g/a#2"));
        assert_eq!(watch.name("g_a.b.instance-1").as_deref(), Some("g/a.b"));
        assert_eq!(watch.name("other"), None);
    }
}
