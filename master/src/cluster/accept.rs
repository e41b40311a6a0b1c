//! ACCEPT: what a framework does with what it was offered.

use proto::error::chain;
use proto::link::{self, to_agent};
use proto::v1;
use proto::v1::TaskState;
use proto::v1::scheduler::call::Accept;
use proto::v1::task_status::Reason;
use v1::framework_info::capability::Type as Capability;
use v1::offer::Operation;
use v1::offer::operation::{LaunchGroup, Type};

use super::agent::Executor;
use super::filters::refusal;
use super::ids::FrameworkId;
use super::task::{Kill, or_lost, status};
use super::validation::{Accepted, NewExecutor, Terms};
use super::{Cluster, Offer, Task, events};

impl Cluster {
    pub(super) fn accept(&mut self, id: &FrameworkId, accept: Accept) {
        let mut offer = match self.pool_offers(id, &accept.offer_ids) {
            Ok(offer) => offer,
            Err(problem) => return self.drop_operations(id, accept.operations, &problem),
        };
        let launched_before = self.frameworks.get(id).map_or(0, |f| f.tasks.len());
        for operation in accept.operations {
            self.apply(id, &mut offer, operation);
        }
        let launched = self.frameworks.get(id).map_or(0, |f| f.tasks.len()) > launched_before;
        let wish = refusal(accept.filters.as_ref());
        // Whoever launches and asks for no filter wants the rest at once. That cannot go round for
        // ever, since each round uses something up.
        let until = if wish.is_zero() && launched {
            None
        } else {
            self.wait_for(wish)
        };
        let rest = offer.resources.clone();
        self.put_back(&offer, &rest, until);
    }

    /// Makes one of several offers of the same agent and role. With a wrong one among them, all go
    /// back.
    fn pool_offers(&mut self, id: &FrameworkId, ids: &[v1::OfferId]) -> Result<Offer, String> {
        let mut pool: Option<Offer> = None;
        let mut problem = None;
        for wanted in ids {
            match (self.own_offer(id, wanted), &mut pool) {
                (None, _) => problem = Some(format!("offer {} is no longer valid", wanted.value)),
                (Some(offer), None) => pool = Some(offer),
                (Some(offer), Some(pool)) => {
                    if (&pool.agent, &pool.role) != (&offer.agent, &offer.role) {
                        problem = Some(format!(
                            "offers {} and {} are of different agents or roles: accept them one by one",
                            pool.id, offer.id
                        ));
                        self.give_back(
                            &offer.agent,
                            &offer.framework,
                            &offer.role,
                            &offer.resources,
                        );
                    } else {
                        pool.resources += &offer.resources;
                    }
                }
            }
        }
        match (pool, problem) {
            (Some(pool), None) => Ok(pool),
            (None, problem) => Err(problem.unwrap_or_else(|| "no offer was named".to_owned())),
            (Some(pool), Some(problem)) => {
                self.give_back(&pool.agent, &pool.framework, &pool.role, &pool.resources);
                Err(problem)
            }
        }
    }

    /// Answers for what can no longer happen because an offer is gone.
    fn drop_operations(&mut self, id: &FrameworkId, operations: Vec<Operation>, problem: &str) {
        let partition_aware = self.partition_aware(id);
        for operation in operations {
            let tasks = match (operation.launch, operation.launch_group) {
                (Some(launch), _) => launch.task_infos,
                (None, Some(group)) => group.task_group.tasks,
                (None, None) => {
                    let state = v1::OperationState::OperationDropped;
                    self.tell_operation(id, operation.id, state, problem.to_owned());
                    continue;
                }
            };
            for task in tasks {
                let state = or_lost(partition_aware, TaskState::TaskDropped);
                self.tell_launch_failed(
                    id,
                    &task,
                    state,
                    Reason::InvalidOffers,
                    problem.to_owned(),
                );
            }
        }
    }

    pub(super) fn partition_aware(&self, id: &FrameworkId) -> bool {
        self.frameworks
            .get(id)
            .is_some_and(|f| f.has(Capability::PartitionAware))
    }

    fn apply(&mut self, id: &FrameworkId, offer: &mut Offer, operation: Operation) {
        match (operation.r#type(), operation.launch, operation.launch_group) {
            (Type::Launch, Some(launch), _) => {
                for task in launch.task_infos {
                    self.launch(id, offer, task);
                }
            }
            (Type::LaunchGroup, _, Some(group)) => self.launch_group(id, offer, group),
            (kind, ..) => {
                let name = kind.as_str_name();
                let message = match kind {
                    Type::Launch | Type::LaunchGroup => {
                        let field = name.to_lowercase();
                        format!("an operation of type {name} needs the field {field:?}")
                    }
                    _ => format!(
                        "operation {name} cannot be carried out by this master: possible are LAUNCH and LAUNCH_GROUP"
                    ),
                };
                tracing::warn!(framework = %id, message, "operation refused");
                self.tell_operation(
                    id,
                    operation.id,
                    v1::OperationState::OperationError,
                    message,
                );
            }
        }
    }

    fn launch(&mut self, id: &FrameworkId, offer: &mut Offer, info: v1::TaskInfo) {
        let Some(terms) = self.terms(id, offer) else {
            return;
        };
        match terms.task(&info, &offer.resources) {
            Ok(accepted) => {
                let run = link::RunTask {
                    framework: terms.framework.info.clone(),
                    task: accepted.info.clone(),
                };
                self.charge(id, offer, accepted);
                self.tell_agent(&offer.agent, to_agent::Message::RunTask(run));
            }
            Err(invalid) => {
                let (state, reason) = (TaskState::TaskError, Reason::TaskInvalid);
                self.tell_launch_failed(id, &info, state, reason, chain(&invalid));
            }
        }
    }

    /// All or nothing.
    fn launch_group(&mut self, id: &FrameworkId, offer: &mut Offer, group: LaunchGroup) {
        let Some(terms) = self.terms(id, offer) else {
            return;
        };
        match terms.group(&group, &offer.resources) {
            Ok(accepted) => {
                let run = link::RunTaskGroup {
                    framework: terms.framework.info.clone(),
                    executor: accepted.executor,
                    task_group: v1::TaskGroupInfo {
                        tasks: accepted
                            .tasks
                            .iter()
                            .map(|task| task.info.clone())
                            .collect(),
                    },
                };
                for task in accepted.tasks {
                    self.charge(id, offer, task);
                }
                self.tell_agent(&offer.agent, to_agent::Message::RunTaskGroup(run));
            }
            Err(invalid) => {
                let message = chain(&invalid);
                for task in &group.task_group.tasks {
                    let (state, reason) = (TaskState::TaskError, Reason::TaskGroupInvalid);
                    self.tell_launch_failed(id, task, state, reason, message.clone());
                }
            }
        }
    }

    fn terms<'a>(&'a self, id: &FrameworkId, offer: &'a Offer) -> Option<Terms<'a>> {
        Some(Terms {
            framework: self.frameworks.get(id)?,
            agent: self.agents.get(&offer.agent)?,
            role: &offer.role,
        })
    }

    /// Turns a part of the offer into a task. It was allocated as an offer and stays allocated.
    fn charge(&mut self, id: &FrameworkId, offer: &mut Offer, accepted: Accepted) {
        let Accepted {
            id: task_id,
            info,
            resources,
            executor,
        } = accepted;
        let mut used = resources.clone();
        if let Some(NewExecutor {
            id: executor_id,
            info,
            resources,
        }) = executor
        {
            used += &resources;
            let executor = Executor {
                info,
                role: offer.role.clone(),
                resources,
            };
            self.insert_executor(&offer.agent, id.clone(), executor_id, executor);
        }
        offer.resources = offer.resources.try_sub(&used).unwrap_or_default();
        let wire = proto::task::new(&info, &id.wire(), TaskState::TaskStaging);
        let task = Task {
            id: task_id.clone(),
            agent: offer.agent.clone(),
            role: offer.role.clone(),
            resources,
            wire,
            held: None,
            kill: Kill::NotAsked,
        };
        if let Some(agent) = self.agents.get_mut(&offer.agent) {
            agent.tasks.insert((id.clone(), task_id.clone()));
        }
        if let Some(framework) = self.frameworks.get_mut(id) {
            framework.tasks.insert(task_id, task);
        }
        self.counters.count("master/tasks_launched");
    }

    /// Answers for a task that never came to be.
    fn tell_launch_failed(
        &mut self,
        id: &FrameworkId,
        task: &v1::TaskInfo,
        state: TaskState,
        reason: Reason,
        message: String,
    ) {
        tracing::warn!(framework = %id, task = task.task_id.value, message, "task not launched");
        self.counters.count_state(state);
        let agent = Some(task.agent_id.clone());
        self.tell(
            id,
            events::update(status(
                &task.task_id,
                agent,
                state,
                reason,
                message,
                self.now,
            )),
        );
    }

    /// Operations without an id have nobody who waits for an answer.
    fn tell_operation(
        &mut self,
        id: &FrameworkId,
        operation: Option<v1::OperationId>,
        state: v1::OperationState,
        message: String,
    ) {
        if operation.is_some() {
            self.tell(
                id,
                events::operation(v1::OperationStatus {
                    operation_id: operation,
                    state: state.into(),
                    message: Some(message),
                    ..v1::OperationStatus::default()
                }),
            );
        }
    }
}
