//! Where points are come to when nobody dies: in which life, and by which process.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::bail;
use failpoint::Point;

use crate::node::{Death, Role};
use crate::trial::{Course, Life, Reached, Trial};

/// Lives in which nobody dies at a point. In the second one there is something to recover, and the third
/// brings all to an end.
pub const PLAIN: [Life; 3] = [
    undisturbed(Course::Works),
    undisturbed(Course::Works),
    undisturbed(Course::Drains),
];

pub const fn undisturbed(course: Course) -> Life {
    Life {
        course,
        death: None,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Of `PLAIN`.
    pub life: usize,
    pub of: Role,
    /// How often that is come to there.
    pub times: usize,
}

#[derive(Debug)]
pub struct Places {
    reached: Vec<Reached>,
}

impl Places {
    pub async fn find() -> anyhow::Result<Places> {
        let mut trial = Trial::new().await?;
        let began = Instant::now();
        match trial.run(&PLAIN).await {
            Ok(seen) => {
                println!("{:>7.1?}  without a death at a point", began.elapsed());
                Ok(Places {
                    reached: seen.reached,
                })
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

    /// The first one; of a successor only where that comes to what no agent does.
    pub fn of(&self, point: Point) -> Option<Place> {
        let of = |role| self.of_role(point, role);
        of(Role::Agent).or_else(|| of(Role::Successor))
    }

    pub fn of_role(&self, point: Point, of: Role) -> Option<Place> {
        let lives = self.reached.iter().zip(PLAIN).enumerate();
        let mut places = lives.filter_map(|(life, (reached, _))| {
            let times = *reached.get(&(point, of))?;
            Some(Place { life, of, times })
        });
        places.next()
    }

    /// The life in which that dies there.
    pub fn dies(&self, at: Point, place: Place, nth: usize) -> Life {
        Life {
            course: PLAIN[place.life].course,
            death: Some(Death {
                at,
                nth,
                of: place.of,
            }),
        }
    }

    /// The same, and the lives before it.
    pub fn way_to(&self, at: Point, place: Place, nth: usize) -> Vec<Life> {
        let before = PLAIN.iter().copied().take(place.life);
        before.chain([self.dies(at, place, nth)]).collect()
    }

    /// Points that only an agent without a past comes to.
    pub fn is_of_beginning(&self, point: Point) -> bool {
        let later = self.reached.iter().skip(1);
        let reached = later.flat_map(BTreeMap::keys).any(|(it, _)| *it == point);
        self.of(point).is_some() && !reached
    }
}
