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
const WORKERS: usize = 6;

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

/// A death at each of the points, or of those that are named.
pub async fn singles(names: &[&str]) -> anyhow::Result<bool> {
    let points = chosen(names)?;
    let reach = reach().await?;
    let mut trials = Vec::new();
    let mut unreached = Vec::new();
    for point in points {
        match lives_to(point, 1, &reach) {
            Some(lives) => trials.push((point.name().to_owned(), lives)),
            None => unreached.push(point),
        }
    }
    run(trials, &unreached).await
}

/// A death at each of the points, and in the next life one at each.
pub async fn pairs(names: &[&str]) -> anyhow::Result<bool> {
    let points = chosen(names)?;
    let reach = reach().await?;
    let mut trials = Vec::new();
    let mut unreached = Vec::new();
    for first in points {
        let Some(lives) = lives_to(first, 1, &reach) else {
            unreached.push(first);
            continue;
        };
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
    run(trials, &unreached).await
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

/// The lives that end with one that dies at the point.
fn lives_to(point: Point, nth: usize, reach: &Reach) -> Option<Vec<Life>> {
    let life = (reach.iter()).position(|reached| reached.contains_key(&point))?;
    let death = Some(Death { at: point, nth });
    let mut lives = vec![WHOLE; life];
    lives.push(Life {
        death,
        // The last one has none.
        begins: life + 1 < reach.len(),
    });
    Some(lives)
}

async fn run(trials: Vec<(String, Vec<Life>)>, unreached: &[Point]) -> anyhow::Result<bool> {
    let (total, began) = (trials.len(), Instant::now());
    let workers = Arc::new(Semaphore::new(WORKERS));
    let mut running = JoinSet::new();
    for (name, lives) in trials {
        let workers = Arc::clone(&workers);
        running.spawn(async move {
            let _turn = workers.acquire().await;
            attempt(name, &lives).await
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

async fn attempt(name: String, lives: &[Life]) -> Tried {
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
