//! How frameworks come: subscribing, coming back, and changing what they said about themselves.

use proto::link::{self, to_agent};
use proto::v1;
use proto::v1::scheduler::call::{Subscribe, UpdateFramework};
use v1::framework_info::capability::Type as Capability;

use super::framework::{Connection, MAX_FRAMEWORKS, roles_of};
use super::ids::{AgentId, FrameworkId};
use super::{Cluster, Effect, Framework, Refusal, StreamId, Unallocated, events};

/// Roles of one framework: each is looked at for each agent with something free.
const MAX_ROLES: usize = 1024;

/// Why a framework cannot subscribe as it describes itself.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
enum Unfit {
    #[error(
        "this master already knows {MAX_FRAMEWORKS} frameworks: remove some with POST /teardown"
    )]
    TooManyFrameworks,
    #[error("framework_info.roles names {0} roles: name at most {MAX_ROLES}")]
    TooManyRoles(usize),
    #[error(
        "framework_info.roles needs the capability MULTI_ROLE; without it set framework_info.role"
    )]
    RolesWithoutMultiRole,
    #[error(
        "framework_info.role and roles are both set: with the capability MULTI_ROLE set only roles"
    )]
    BothRoleAndRoles,
    #[error("{0}")]
    Role(#[from] proto::ids::BadRole),
    #[error("framework_info.id cannot be an id: {0}")]
    Id(#[from] proto::ids::BadId),
    #[error("framework_id is {call:?} but framework_info.id is {info:?}: they must be equal")]
    TwoIds { call: String, info: String },
    #[error("suppressed_roles names {0:?}, which is none of the framework's roles")]
    Suppressed(String),
    #[error("offer_constraints names {0:?}, which is none of the framework's roles")]
    Constraint(String),
    #[error("user root may not run tasks here: the master was started with --no-root_submissions")]
    Root,
    #[error("failover_timeout is {0}; it must be a number of seconds from 0 up")]
    FailoverTimeout(String),
    #[error("Framework has been removed")]
    Removed,
    #[error("Changing framework's principal is not allowed.")]
    Principal,
}

/// What a SUBSCRIBE and an UPDATE_FRAMEWORK have in common.
struct Wish {
    info: v1::FrameworkInfo,
    suppressed: Vec<String>,
    constrained: Vec<String>,
}

impl Wish {
    fn new(
        info: v1::FrameworkInfo,
        suppressed: Vec<String>,
        constraints: Option<v1::scheduler::OfferConstraints>,
    ) -> Self {
        let by_role = constraints.unwrap_or_default().role_constraints;
        Self {
            info,
            suppressed,
            constrained: by_role.into_keys().collect(),
        }
    }
}

impl Cluster {
    pub(super) fn subscribe(
        &mut self,
        stream: StreamId,
        id: Option<v1::FrameworkId>,
        subscribe: Subscribe,
    ) {
        self.counters.count("master/messages_register_framework");
        let wish = Wish::new(
            subscribe.framework_info,
            subscribe.suppressed_roles,
            subscribe.offer_constraints,
        );
        match self.identify(id, &wish) {
            Ok(id) => self.connect(stream, id, wish),
            Err(unfit) => {
                tracing::warn!(name = wish.info.name, reason = %unfit, "framework refused");
                let error = Box::new(events::error(unfit.to_string()));
                self.effects.push(Effect::ToFramework {
                    stream,
                    event: error,
                });
                self.effects.push(Effect::CloseStream(stream));
            }
        }
    }

    fn identify(&mut self, id: Option<v1::FrameworkId>, wish: &Wish) -> Result<FrameworkId, Unfit> {
        self.check(wish)?;
        // An empty id is how some clients say that they have none.
        let given = |id: Option<v1::FrameworkId>| id.filter(|id| !id.value.is_empty());
        let is_full = self.frameworks.len() >= MAX_FRAMEWORKS;
        let id = match (given(id), given(wish.info.id.clone())) {
            (Some(call), Some(info)) if call != info => {
                return Err(Unfit::TwoIds {
                    call: call.value,
                    info: info.value,
                });
            }
            (Some(id), _) | (None, Some(id)) => FrameworkId::try_from(&id)?,
            (None, None) if is_full => return Err(Unfit::TooManyFrameworks),
            (None, None) => {
                self.next_framework += 1;
                return Ok(FrameworkId::assigned(
                    self.master_id(),
                    self.next_framework - 1,
                ));
            }
        };
        if self.completed.iter().any(|past| past.framework.id == id) {
            return Err(Unfit::Removed);
        }
        let before = self.frameworks.get(&id);
        if before.is_none() && is_full {
            return Err(Unfit::TooManyFrameworks);
        }
        if before.is_some_and(|before| before.info.principal != wish.info.principal) {
            return Err(Unfit::Principal);
        }
        Ok(id)
    }

    fn check(&self, wish: &Wish) -> Result<(), Unfit> {
        let info = &wish.info;
        let multi_role = info
            .capabilities
            .iter()
            .any(|c| c.r#type() == Capability::MultiRole);
        if !multi_role && !info.roles.is_empty() {
            return Err(Unfit::RolesWithoutMultiRole);
        }
        // Some clients write out the default role; that is no contradiction.
        if multi_role && info.role() != "*" {
            return Err(Unfit::BothRoleAndRoles);
        }
        let roles = roles_of(info);
        if roles.len() > MAX_ROLES {
            return Err(Unfit::TooManyRoles(roles.len()));
        }
        for role in &roles {
            proto::ids::check_role(role)?;
        }
        if let Some(role) = wish.suppressed.iter().find(|role| !roles.contains(*role)) {
            return Err(Unfit::Suppressed(role.clone()));
        }
        if let Some(role) = wish.constrained.iter().find(|role| !roles.contains(*role)) {
            return Err(Unfit::Constraint(role.clone()));
        }
        if info.user == "root" && !self.config.root_submissions {
            return Err(Unfit::Root);
        }
        let timeout = info.failover_timeout();
        if !(timeout.is_finite() && timeout >= 0.0) {
            return Err(Unfit::FailoverTimeout(timeout.to_string()));
        }
        Ok(())
    }

    fn connect(&mut self, stream: StreamId, id: FrameworkId, wish: Wish) {
        let now = self.now.wall;
        self.drop_offers(&id);
        self.clear_filters(&id, |_| true);
        self.end_older_connection(&id);
        let framework = match self.frameworks.entry(id.clone()) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                let limits = &self.config.remembered;
                entry.insert(Framework::new(id.clone(), wish.info.clone(), now, limits))
            }
            std::collections::btree_map::Entry::Occupied(entry) => {
                let framework = entry.into_mut();
                framework.reregistered = Some(now);
                framework
            }
        };
        let name = framework.info.name.as_str();
        tracing::info!(framework = %id, name, again = framework.reregistered.is_some(), "framework subscribed");
        framework.connection = Connection::Connected { stream };
        self.streams.insert(stream, id.clone());
        self.tell(&id, events::subscribed(&id, &self.config.master));
        // Some clients see an event only once the next record has arrived.
        self.tell(&id, events::heartbeat());
        self.adopt(&id, wish);
        self.send_held_updates(&id);
    }

    fn end_older_connection(&mut self, id: &FrameworkId) {
        if let Some(Connection::Connected { .. }) = self.frameworks.get(id).map(|f| &f.connection) {
            self.tell(id, events::error("Framework failed over".to_owned()));
        }
        self.unsubscribe(id);
    }

    /// Takes over what may change; user and checkpoint stay what they were.
    fn adopt(&mut self, id: &FrameworkId, wish: Wish) {
        let Some(framework) = self.frameworks.get_mut(id) else {
            return;
        };
        framework.info = v1::FrameworkInfo {
            id: Some(id.wire()),
            user: framework.info.user.clone(),
            checkpoint: framework.info.checkpoint,
            principal: framework.info.principal.clone(),
            ..wish.info
        };
        framework.adopt_info();
        for (role, claim) in &mut framework.claims {
            claim.suppressed = wish.suppressed.contains(role);
        }
        let updated = link::UpdateFramework {
            framework: framework.info.clone(),
        };
        let mut agents: Vec<AgentId> = framework.tasks.values().map(|t| t.agent.clone()).collect();
        agents.sort_unstable();
        agents.dedup();
        for agent in agents {
            self.tell_agent(&agent, to_agent::Message::UpdateFramework(updated.clone()));
        }
        self.unallocated = Unallocated::Everywhere;
    }

    fn send_held_updates(&mut self, id: &FrameworkId) {
        let Some(framework) = self.frameworks.get_mut(id) else {
            return;
        };
        let held = framework
            .tasks
            .values_mut()
            .filter_map(|task| task.held.take());
        for status in held.collect::<Vec<_>>() {
            self.tell(id, events::update(status));
        }
    }

    pub(super) fn update_framework(&mut self, id: &FrameworkId, update: UpdateFramework) {
        let wish = Wish::new(
            update.framework_info,
            update.suppressed_roles,
            update.offer_constraints,
        );
        let Some(now) = self.frameworks.get(id).map(|framework| &framework.info) else {
            return;
        };
        let fixed = [
            ("user", now.user != wish.info.user),
            ("checkpoint", now.checkpoint() != wish.info.checkpoint()),
            ("principal", now.principal != wish.info.principal),
            (
                "id",
                wish.info
                    .id
                    .as_ref()
                    .is_some_and(|other| Some(other) != now.id.as_ref()),
            ),
        ];
        if let Some((field, _)) = fixed.iter().find(|(_, changed)| *changed) {
            let message = format!("framework_info.{field} cannot change while a framework lives");
            return self.refuse(Refusal::Invalid(message));
        }
        if let Err(unfit) = self.check(&wish) {
            return self.refuse(Refusal::Invalid(unfit.to_string()));
        }
        let gone = |role: &str| !roles_of(&wish.info).contains(role);
        let leaving = self
            .frameworks
            .get(id)
            .map(|f| f.offers.clone())
            .unwrap_or_default();
        for offer in leaving {
            if self
                .offers
                .get(&offer)
                .is_some_and(|offer| gone(&offer.role))
            {
                self.rescind(&offer);
            }
        }
        self.clear_filters(id, gone);
        self.adopt(id, wish);
    }
}
