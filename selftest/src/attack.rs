//! What an attack is, and what came of it.

use std::time::{Duration, Instant};

use crate::field::{Field, Settings};
use crate::trouble::Trouble;

/// One way in which container runtimes have been broken.
pub struct Attack {
    /// Short, unique: what a row of the table and a command line call it.
    pub name: &'static str,
    /// Where it has happened; empty when it has no number.
    pub cve: &'static str,
    /// In a sentence.
    pub tries: &'static str,
    pub(crate) attempt: fn(&Field, Walls) -> Result<Verdict, Trouble>,
}

/// What the hostile containers are surrounded by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Walls {
    /// What containers on this node get.
    Up,
    /// As little as a spec can ask for: all capabilities, no filter of system calls, nothing masked.
    Down,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Held,
    /// What the attack has reached.
    Broken(String),
    /// Why it cannot be tried here.
    NotApplicable(String),
}

const LEAST_ROUNDS: usize = 8;
const LONGEST_RACE: Duration = Duration::from_secs(5);

impl Walls {
    /// How often a race is tried: fewer times on a slow machine, and where nothing is in its way, it need
    /// not be won.
    pub(crate) fn rounds(self) -> impl Iterator<Item = usize> {
        let (most, least) = match self {
            Self::Up => (40, LEAST_ROUNDS),
            Self::Down => (2, 2),
        };
        let started = Instant::now();
        (0..most).take_while(move |round| *round < least || started.elapsed() < LONGEST_RACE)
    }
}

impl Verdict {
    /// `reached`: each as a phrase.
    pub(crate) fn of(reached: Vec<String>) -> Self {
        match reached.as_slice() {
            [] => Self::Held,
            reached => Self::Broken(reached.join("; ")),
        }
    }
}

/// How one attack went.
#[derive(Debug)]
pub struct Report {
    /// An error: the attack could not be carried out, so nobody knows.
    pub verdict: Result<Verdict, Trouble>,
    pub took: Duration,
}

impl Attack {
    /// Carries it out on a field of its own, and clears that away.
    pub fn run(&self, settings: &Settings, walls: Walls) -> Report {
        let started = Instant::now();
        let verdict = Field::open(settings).and_then(|field| {
            let verdict = (self.attempt)(&field, walls);
            let cleared = field.clear();
            // The first failure is what must be heard.
            verdict.and_then(|verdict| cleared.map(|()| verdict))
        });
        Report {
            verdict,
            took: started.elapsed(),
        }
    }
}
