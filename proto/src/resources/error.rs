//! Why something is not resources: what, where, and how to mend it.

use super::amount::Kind;
use super::ranges::BadRanges;
use super::set::BadSet;
use crate::ids::{BadId, BadRole};
use crate::json::JsonError;

/// What is wrong with resources, and with which one of them.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct BadResources {
    place: String,
    problem: Problem,
}

impl BadResources {
    /// `position` counts from 1; `what` is the name or the text of the resource.
    pub(super) fn at(position: usize, what: &str, problem: impl Into<Problem>) -> Self {
        Self {
            place: format!("resource {position} ({what})"),
            problem: problem.into(),
        }
    }

    /// For a fault of the whole.
    pub(super) fn whole(problem: impl Into<Problem>) -> Self {
        Self {
            place: "resources".to_owned(),
            problem: problem.into(),
        }
    }

    /// What is wrong at the place that the text of this error names.
    #[must_use]
    pub fn problem(&self) -> &Problem {
        &self.problem
    }
}

/// What can be wrong with a resource.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    #[error("expected name:value or name(role):value, such as cpus:4 or ports(web):[31000-32000]")]
    Syntax,
    #[error("a name must not be empty or contain any of ():;{{}}[], and blanks")]
    Name,
    #[error("{0}")]
    Role(#[from] BadRole),
    #[error(
        "{text:?} is no value: write an amount such as 4 or 0.5, ranges such as [31000-32000], or a \
         set such as {{a,b}}"
    )]
    Value { text: String },
    #[error("{value} is not an amount: expected a number from 0 to 1.1e12")]
    Amount { value: f64 },
    #[error("{0}")]
    Ranges(#[from] BadRanges),
    #[error("{0}")]
    Set(#[from] BadSet),
    #[error("it has no value: leave it out, or give it more than nothing")]
    Nothing,
    #[error("{amount} is not whole: give whole devices")]
    NotWhole { amount: String },
    #[error("it reaches to {port}: ports end at 65535")]
    Port { port: u64 },
    #[error("it must be {expected}, not {found}")]
    Kind { expected: Kind, found: Kind },
    #[error("it is {found} here and {before} before: use one type for a name")]
    MixedKinds { before: Kind, found: Kind },
    #[error("its type is {kind} but the field {field:?} is missing")]
    NoValue { kind: Kind, field: &'static str },
    #[error("its type is not one of SCALAR, RANGES and SET")]
    UnknownKind,
    #[error("part of it is already counted in another resource of that name: name each thing once")]
    CountedTwice,
    #[error("this is not a JSON array of resources: {0}")]
    Json(JsonError),
    #[error("{0}")]
    Id(#[from] BadId),
    #[error("a dynamic reservation needs a role other than \"*\"")]
    ReservedForNobody,
    #[error("a reservation needs a type, STATIC or DYNAMIC, and a role")]
    IncompleteReservation,
    #[error(
        "the reservation for {role:?} must be DYNAMIC and for a role below {below:?}, as a/b is below a"
    )]
    Refinement { role: String, below: String },
    #[error(
        "it says who it is reserved for in \"reservations\" and differently in \"role\" or \
         \"reservation\": use \"reservations\""
    )]
    Contradiction,
    #[error(
        "\"role\" or \"reservation\" is used here and \"reservations\" in another resource: use \
         \"reservations\" in all of them"
    )]
    MixedFormats,
    #[error("it is reserved more than once on top of each other, which \"role\" cannot say")]
    Refined,
    #[error(
        "only static reservations can be configured: frameworks and operators make dynamic ones"
    )]
    ConfiguredDynamic,
    #[error("a persistent volume cannot be configured: frameworks and operators create them")]
    ConfiguredPersistence,
    #[error("it cannot be configured as revocable, shared, allocated, or of a provider")]
    ConfiguredState,
    #[error("a disk's source must be of type PATH or MOUNT here")]
    ConfiguredSource,
    #[error("a disk's source of type {kind} needs {field:?}")]
    SourceWithoutRoot {
        kind: &'static str,
        field: &'static str,
    },
    #[error("only a resource named \"disk\" can have \"disk\" information")]
    DiskOfOther,
    #[error("it is revocable, so it can be neither reserved nor a persistent volume")]
    RevocableHeld,
    #[error("only persistent volumes can be shared")]
    SharedAmount,
}
