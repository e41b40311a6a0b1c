//! What cannot be recovered: said, and set aside.

use std::path::PathBuf;
use std::sync::Arc;

use super::RecoveryError;
use crate::checkpoint::{self, CheckpointError, Fault, Journalled};
use crate::task::journal::Record;

/// Something that is there and cannot be read.
#[derive(Debug)]
pub struct Loss {
    /// A noun: what nobody knows any more.
    pub what: String,
    pub cause: Arc<CheckpointError>,
    pub kind: Kind,
    /// Where what is damaged is now.
    pub aside: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It is of no use at all.
    Whole,
    /// Its other records are good.
    Journal,
}

/// What an earlier start set aside: nobody has put it right since.
#[derive(Debug, PartialEq, Eq)]
pub struct Earlier {
    pub what: String,
    pub aside: PathBuf,
}

impl Loss {
    /// As a machine that stops leaves a file that nobody waited for.
    pub fn is_cut_short(&self) -> bool {
        matches!(&*self.cause, CheckpointError::Damaged(damage) if damage.fault == Fault::Short)
    }

    pub(super) fn refusal(&self, more: usize) -> RecoveryError {
        RecoveryError::Strict {
            what: self.what.clone(),
            more,
            source: self.cause.clone(),
        }
    }

    /// What cannot be moved stays where it is, and is lost all the same.
    pub(super) fn set_aside(&mut self) {
        let CheckpointError::Damaged(damage) = &*self.cause else {
            return;
        };
        let file = &damage.file;
        let moved = match self.kind {
            _ if damage.fault == Fault::Missing => return,
            Kind::Whole => checkpoint::set_aside(file).map(Some),
            Kind::Journal => Journalled::<Record>::read(file).and_then(|mut it| it.mend(file)),
        };
        match moved {
            Ok(aside) => self.aside = aside,
            Err(error) => {
                let error = proto::error::chain(&error);
                tracing::error!(error, "cannot set aside what is damaged");
            }
        }
    }
}
