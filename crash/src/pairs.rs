//! A death at each point, and in the next life one at each that an agent comes to then.
//!
//! Each trial is a chain: an agent dies at one point, the next one at another, the one after that at a third,
//! and so on, and each two that follow each other are a pair. So a pair costs one life rather than a whole
//! trial. Which pairs there are is told by lives after a death at each point that nobody disturbs; what a
//! chain does not come to, and what was in one that failed, is tried alone.

mod ledger;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use failpoint::Point;
use tokio::task::JoinSet;

use crate::places::{Place, Places, undisturbed};
use crate::points::{Tried, WORKERS, attempt, chosen};
use crate::trial::{Course, Life, Reached, Trial};
use ledger::{Ledger, Pair};

/// Deaths in one chain: each leaves tasks that the next agents have to look after.
const LONGEST: usize = 8;

/// The deaths of all pairs, or of those whose first one is at a point that is named.
pub async fn pairs(names: &[&str]) -> anyhow::Result<bool> {
    let points = chosen(names)?;
    let run = Arc::new(Run {
        places: Places::find().await?,
        ledger: Mutex::default(),
        began: Instant::now(),
    });
    run.each(points, |run, point| async move { run.record(point).await })
        .await?;
    println!("{:>7.1?}  {}", run.began.elapsed(), run.ledger());
    run.each(0..WORKERS, |run, _| async move {
        while let Some((first, place)) = run.head() {
            run.chain(first, place).await;
        }
    })
    .await?;
    let alone = run.ledger().alone();
    run.each(alone, |run, pair| async move { run.alone(pair).await })
        .await?;
    let ledger = run.ledger();
    for point in ledger.unreached() {
        println!("FAILED: no scenario comes to {}", point.name());
    }
    println!("{ledger}");
    Ok(ledger.is_clean())
}

struct Run {
    places: Places,
    ledger: Mutex<Ledger>,
    began: Instant,
}

impl Run {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Several at one time.
    async fn each<T: Send + 'static, F>(
        self: &Arc<Self>,
        all: impl IntoIterator<Item = T>,
        act: impl Fn(Arc<Self>, T) -> F,
    ) -> anyhow::Result<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut running = JoinSet::new();
        for one in all {
            if running.len() == WORKERS
                && let Some(done) = running.join_next().await
            {
                done?;
            }
            running.spawn(act(Arc::clone(self), one));
        }
        while let Some(done) = running.join_next().await {
            done?;
        }
        Ok(())
    }

    /// What can come after a death at this point, if nothing comes between.
    async fn record(&self, first: Point) {
        let Some(place) = self.places.of(first) else {
            return self.ledger().none_comes_to(first);
        };
        let way = self.places.way_to(first, place, 1);
        let next = [Course::Works, Course::Drains].map(undisturbed);
        let mut trial = match Trial::new().await {
            Ok(trial) => trial,
            Err(error) => {
                self.ledger().chain_failed(first, &[]);
                return self.tell(first.name(), Err(error));
            }
        };
        let seen = trial.run(&[way.as_slice(), &next].concat()).await;
        match seen {
            Ok(seen) => {
                let after = &seen.reached[way.len()..way.len() + next.len()];
                let can_follow = failpoint::ALL.iter().filter(|second| {
                    let of = self.places.of(**second).map(|it| it.of);
                    let is_in = |reached: &Reached, of| reached.contains_key(&(**second, of));
                    of.is_some_and(|of| after.iter().any(|reached| is_in(reached, of)))
                });
                self.ledger().can_follow(first, can_follow.copied());
            }
            Err(error) => {
                let kept = trial.node.keep();
                let error = error.context(format!("see {}", kept.display()));
                self.ledger().chain_failed(first, &[]);
                self.tell(first.name(), Err(error));
            }
        }
    }

    /// What a chain begins with.
    fn head(&self) -> Option<(Point, Place)> {
        let is_near = |point| self.places.of(point).is_some_and(|place| place.life == 0);
        let first = self.ledger().head(is_near)?;
        Some((first, self.places.of(first)?))
    }

    /// From a death at `first` on, for as long as there are pairs that nobody has tried.
    async fn chain(&self, first: Point, place: Place) {
        let mut links = Vec::new();
        let lived = self.links(first, place, &mut links).await;
        let points = [first].into_iter().chain(links.iter().map(|(it, _)| *it));
        let names: Vec<_> = points.map(Point::name).collect();
        let names = names.join(" ");
        match &lived {
            Ok(()) => self.ledger().chain_done(first, &links),
            Err(_) => self.ledger().chain_failed(first, &links),
        }
        self.tell(&names, lived);
    }

    /// `links`: where agents were to die after `first`, and whether they did.
    async fn links(
        &self,
        first: Point,
        place: Place,
        links: &mut Vec<(Point, bool)>,
    ) -> anyhow::Result<()> {
        let mut trial = Trial::new().await?;
        let lived = self.live(&mut trial, first, place, links).await;
        let ended = match lived {
            Ok(()) => trial.end().await,
            Err(error) => Err(error),
        };
        ended.map_err(|error| {
            let kept = trial.node.keep();
            error.context(format!("see {}", kept.display()))
        })
    }

    async fn live(
        &self,
        trial: &mut Trial,
        first: Point,
        place: Place,
        links: &mut Vec<(Point, bool)>,
    ) -> anyhow::Result<()> {
        let mut last = first;
        for life in self.places.way_to(first, place, 1) {
            trial.one(life).await?;
        }
        while links.len() < LONGEST {
            let is_first = links.is_empty();
            let next = self.ledger().next(last, |second| {
                is_first || !self.places.is_of_beginning(second)
            });
            let Some((next, place)) = next.and_then(|next| Some((next, self.places.of(next)?)))
            else {
                break;
            };
            let life = self.places.dies(next, place, 1);
            links.push((next, false));
            let reached = trial.one(life).await?;
            let died = reached.contains_key(&(next, place.of));
            if let Some(link) = links.last_mut() {
                link.1 = died;
            }
            if !died {
                break;
            }
            last = next;
        }
        Ok(())
    }

    async fn alone(&self, pair: Pair) {
        let (Some(first), Some(second)) = (self.places.of(pair.0), self.places.of(pair.1)) else {
            return;
        };
        let lives: Vec<Life> = (self.places.way_to(pair.0, first, 1).into_iter())
            .chain([self.places.dies(pair.1, second, 1)])
            .collect();
        let name = format!("{} {}", pair.0.name(), pair.1.name());
        let Tried { died, result, .. } = attempt(&name, &lives).await;
        self.ledger().tried_alone(pair, died, result.is_err());
        self.tell(&name, result);
    }

    fn tell(&self, name: &str, result: anyhow::Result<()>) {
        let at = self.began.elapsed();
        match result {
            Ok(()) => println!("{at:>7.1?}  {name}: ok"),
            Err(error) => println!("{at:>7.1?}  {name}: FAILED: {error:#}"),
        }
    }
}
