//! A death at each point.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use failpoint::Point;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::node::{Death, Role};
use crate::places::Places;
use crate::trial::{Course, Life, Trial};

/// Trials at one time: most of each is waiting.
pub const WORKERS: usize = 10;

/// On machines that may be slow.
const FEW_WORKERS: usize = 2;

/// How often a trial is made whose agent does not come to its point: that may hang on who is first.
const TRIES: usize = 3;

/// How often a life comes to a point of those at which a trial lets it die.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    First,
    Each,
}

/// What is tried, and whether it must come to its deaths.
struct Planned {
    name: String,
    lives: Vec<Life>,
    /// The next time it may be one less.
    is_sure: bool,
}

/// A trial's result.
pub struct Tried {
    pub name: String,
    /// Whether each life died where it was told.
    pub died: bool,
    pub result: anyhow::Result<()>,
}

/// A death at each of the points, or of those that are named, of an agent, and of one that replaces another
/// in an upgrade.
pub async fn singles(names: &[&str], times: Times) -> anyhow::Result<bool> {
    let points = chosen(names)?;
    let places = Places::find().await?;
    let mut planned = Vec::new();
    for (role, point) in [Role::Agent, Role::Successor]
        .into_iter()
        .flat_map(|role| points.iter().map(move |point| (role, *point)))
    {
        let Some(place) = places.of_role(point, role) else {
            continue;
        };
        let last = match times {
            Times::First => 1,
            Times::Each => place.times,
        };
        planned.extend((1..=last).map(|nth| Planned {
            name: format!("{}:{nth}{}", point.name(), suffix(role)),
            lives: places.way_to(point, place, nth),
            is_sure: nth == 1,
        }));
    }
    let unreached: Vec<_> = (points.into_iter())
        .filter(|point| places.of(*point).is_none())
        .collect();
    try_all(planned, WORKERS, &unreached).await
}

/// A death at each of these, to which a first agent comes by itself. What is known of others without a look
/// at all of them is not asked, so this is short.
pub async fn sample(names: &[&str]) -> anyhow::Result<bool> {
    let planned = chosen(names)?.into_iter().map(|at| Planned {
        name: at.name().to_owned(),
        lives: vec![Life {
            course: Course::Works,
            death: Some(Death {
                at,
                nth: 1,
                of: Role::Agent,
            }),
        }],
        is_sure: true,
    });
    try_all(planned.collect(), FEW_WORKERS, &[]).await
}

async fn try_all(
    planned: Vec<Planned>,
    workers: usize,
    unreached: &[Point],
) -> anyhow::Result<bool> {
    let total = planned.len();
    let began = Instant::now();
    let workers = Arc::new(Semaphore::new(workers));
    let mut running = JoinSet::new();
    for planned in planned {
        let workers = Arc::clone(&workers);
        running.spawn(async move {
            let _turn = workers.acquire().await;
            sure(planned).await
        });
    }
    let (mut tried, mut reached, mut failed) = (0, 0, 0);
    while let Some(done) = running.join_next().await {
        let Tried { name, died, result } = done?;
        tried += 1;
        reached += usize::from(died);
        failed += usize::from(result.is_err());
        let verdict = match &result {
            Ok(()) if died => "ok".to_owned(),
            Ok(()) => "ok, not reached".to_owned(),
            Err(error) => format!("FAILED: {error:#}"),
        };
        println!(
            "{:>7.1?}  {tried}/{total} {name}: {verdict}",
            began.elapsed()
        );
    }
    for point in unreached {
        println!("FAILED: no scenario comes to {}", point.name());
    }
    println!(
        "{total} tried, {reached} reached, {} points not reached, {failed} failed",
        unreached.len()
    );
    Ok(failed == 0 && unreached.is_empty())
}

fn suffix(role: Role) -> &'static str {
    match role {
        Role::Agent => "",
        Role::Successor => " of the successor",
    }
}

pub fn chosen(names: &[&str]) -> anyhow::Result<Vec<Point>> {
    if names.is_empty() {
        return Ok(failpoint::ALL.to_vec());
    }
    let point =
        |name: &&str| Point::named(name).with_context(|| format!("no point is named {name}"));
    names.iter().map(point).collect()
}

async fn sure(planned: Planned) -> Tried {
    let Planned {
        name,
        lives,
        is_sure,
    } = planned;
    let mut tried = attempt(&name, &lives).await;
    for _ in 1..TRIES {
        if !is_sure || tried.died || tried.result.is_err() {
            return tried;
        }
        tried = attempt(&name, &lives).await;
    }
    if !tried.died && tried.result.is_ok() {
        tried.result = Err(anyhow::anyhow!("no life came to it"));
    }
    tried
}

pub async fn attempt(name: &str, lives: &[Life]) -> Tried {
    let name = name.to_owned();
    let mut trial = match Trial::new().await {
        Ok(trial) => trial,
        Err(error) => {
            return Tried {
                name,
                died: false,
                result: Err(error),
            };
        }
    };
    let seen = trial.run(lives).await;
    let due = lives.iter().map(|life| life.death.is_some());
    let died = (seen.as_ref()).is_ok_and(|seen| due.eq(seen.died.iter().copied()));
    let result = seen.map(drop).map_err(|error| {
        let kept = trial.node.keep();
        error.context(format!("see {}", kept.display()))
    });
    Tried { name, died, result }
}
