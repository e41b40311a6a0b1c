//! Tries the points: which of them a trial comes to and in which life, then a death at each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, bail};
use failpoint::Point;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::node::Death;
use crate::trial::{Life, Seen, Trial};

/// Trials at one time: most of each is waiting.
const WORKERS: usize = 8;

/// How often a trial is made whose agent does not come to its point: that may hang on who is first.
const TRIES: usize = 3;

const WHOLE: Life = Life {
    death: None,
    begins: true,
};

/// How often the points were reached in the lives of a trial in which nobody died at one.
type Reach = Vec<BTreeMap<Point, usize>>;

/// A trial's result.
struct Tried {
    name: String,
    /// Whether each life died where it was told.
    died: bool,
    result: anyhow::Result<()>,
}

/// How often a life comes to a point of those at which a trial lets it die.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    First,
    Each,
}

/// A death at each of the points, or of those that are named.
pub async fn singles(names: &[&str], times: Times) -> anyhow::Result<bool> {
    let points = chosen(names)?;
    let reach = reach().await?;
    let mut trials = Vec::new();
    let mut unreached = Vec::new();
    for point in points {
        let counts = reach.iter().map(|reached| reached.get(&point).copied());
        let Some((life, count)) = counts.enumerate().find_map(|(n, it)| Some((n, it?))) else {
            unreached.push(point);
            continue;
        };
        let last = match times {
            Times::First => 1,
            Times::Each => count,
        };
        for nth in 1..=last {
            let name = format!("{}:{nth}", point.name());
            trials.push((name, lives_to(Death { at: point, nth }, life, &reach)));
        }
    }
    // The next time it may be one less.
    run(trials, &unreached, Wanted::First).await
}

/// A death at each of the points, and in the next life one at each.
pub async fn pairs(names: &[&str]) -> anyhow::Result<bool> {
    let points = chosen(names)?;
    let reach = reach().await?;
    let mut trials = Vec::new();
    let mut unreached = Vec::new();
    for first in points {
        let Some(life) = reach.iter().position(|it| it.contains_key(&first)) else {
            unreached.push(first);
            continue;
        };
        let lives = lives_to(Death { at: first, nth: 1 }, life, &reach);
        for second in failpoint::ALL {
            let next = Life {
                death: Some(Death {
                    at: *second,
                    nth: 1,
                }),
                begins: true,
            };
            let lives = [lives.as_slice(), &[next]].concat();
            trials.push((format!("{} {}", first.name(), second.name()), lives));
        }
    }
    // One after the other from all over: a run that is cut off has seen something of each.
    let total = trials.len();
    let mut scattered: Vec<_> = (0..total).map(|n| (n * STRIDE % total.max(1), n)).collect();
    scattered.sort_unstable();
    let mut slots: Vec<_> = trials.into_iter().map(Some).collect();
    let trials = (scattered.iter()).filter_map(|(_, n)| slots.get_mut(*n)?.take());
    run(trials.collect(), &unreached, Wanted::None).await
}

/// A prime that no number of pairs is a multiple of.
const STRIDE: usize = 7919;

/// Which points a run must come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// Each for the first time.
    First,
    /// What there is to come to hangs on what was before.
    None,
}

fn chosen(names: &[&str]) -> anyhow::Result<Vec<Point>> {
    if names.is_empty() {
        return Ok(failpoint::ALL.to_vec());
    }
    let point =
        |name: &&str| Point::named(name).with_context(|| format!("no point is named {name}"));
    names.iter().map(point).collect()
}

/// Two whole lives and a last one, in which nobody dies at a point.
async fn reach() -> anyhow::Result<Reach> {
    let mut trial = Trial::new().await?;
    let began = Instant::now();
    match trial.run(&[WHOLE, WHOLE]).await {
        Ok(Seen { reached, .. }) => {
            println!("{:>7.1?}  without a death at a point", began.elapsed());
            Ok(reached)
        }
        Err(error) => {
            let kept = trial.node.keep();
            bail!(
                "without a death at a point: {error:#}; see {}",
                kept.display()
            )
        }
    }
}

/// The lives that end with this one, which dies.
fn lives_to(death: Death, life: usize, reach: &Reach) -> Vec<Life> {
    let mut lives = vec![WHOLE; life];
    lives.push(Life {
        death: Some(death),
        // The last one has none.
        begins: life + 1 < reach.len(),
    });
    lives
}

async fn run(
    trials: Vec<(String, Vec<Life>)>,
    unreached: &[Point],
    wanted: Wanted,
) -> anyhow::Result<bool> {
    let (total, began) = (trials.len(), Instant::now());
    let workers = Arc::new(Semaphore::new(WORKERS));
    let mut running = JoinSet::new();
    for (name, lives) in trials {
        let workers = Arc::clone(&workers);
        running.spawn(async move {
            let _turn = workers.acquire().await;
            let mut tried = attempt(&name, &lives).await;
            let tries = match (wanted, name.ends_with(":1")) {
                (Wanted::First, true) => TRIES,
                _ => 1,
            };
            for _ in 1..tries {
                if tried.died || tried.result.is_err() {
                    break;
                }
                tried = attempt(&name, &lives).await;
            }
            if tries > 1 && !tried.died && tried.result.is_ok() {
                tried.result = Err(anyhow::anyhow!("no life came to it"));
            }
            tried
        });
    }
    let (mut reached, mut failed) = (0, 0);
    let mut tried = 0;
    while let Some(done) = running.join_next().await {
        let Tried { name, died, result } = done?;
        tried += 1;
        reached += usize::from(died);
        let verdict = match &result {
            Ok(()) if died => "ok".to_owned(),
            Ok(()) => "ok, not reached".to_owned(),
            Err(error) => format!("FAILED: {error:#}"),
        };
        failed += usize::from(result.is_err());
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

async fn attempt(name: &str, lives: &[Life]) -> Tried {
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
