//! What becomes of one file that has come, where it belongs.

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use rustix::fs::ioctl_ficlone;

use super::fetching::{Arrival, ItemError};
use super::links;
use crate::archive::{ArchiveError, Limits, decompress, recognised, unpack};
use crate::beneath::{Batch, Beneath, InnerPath, Staging};
use crate::budget::Budget;
use crate::log::Log;
use crate::plan::{Item, Then};
use crate::redact::redacted;

pub struct Placing {
    pub index: usize,
    pub item: Item,
    pub arrival: Arrival,
    pub staging: Arc<Staging>,
    pub sandbox: Arc<Beneath>,
    pub limits: Limits,
    pub budget: Budget,
    pub log: Log,
}

impl Placing {
    /// Blocks. All of it or nothing.
    pub fn run(mut self) -> Result<(), ItemError> {
        let (sandbox, item) = (Arc::clone(&self.sandbox), self.item.clone());
        let mut batch = sandbox.batch();
        let Item { target, then, .. } = &item;
        let name = redacted(&target.to_string());
        let recognised = match then {
            Then::Recognise => self.recognised()?,
            _ => then.clone(),
        };
        match &recognised {
            Then::Keep => self.keep(&mut batch, target, 0o644)?,
            Then::MakeExecutable => self.keep(&mut batch, target, 0o755)?,
            Then::KeepWithWarning | Then::Recognise => {
                self.keep(&mut batch, target, 0o644)?;
                self.log.line(&format!(
                    "Copying instead of extracting resource from URI with 'extract' flag, because \
                     it does not seem to be an archive: {}",
                    item.uri
                ));
            }
            Then::Unpack(format) => {
                let archive = self.original(&mut batch, target)?;
                self.log
                    .line(&format!("Extracting '{name}' into the sandbox directory"));
                unpack(&sandbox, archive, *format, self.limits, &self.budget)?;
            }
            Then::Decompress(codec, to) => {
                let from = self.original(&mut batch, target)?;
                self.log.line(&format!("Decompressing '{name}' to '{to}'"));
                decompress(&sandbox, *codec, from, to, self.limits, &self.budget)?;
            }
        }
        // Last, so that an archive that does not unpack goes away too.
        batch.commit();
        Ok(())
    }

    fn recognised(&self) -> Result<Then, ItemError> {
        let (Arrival::Staged(file) | Arrival::Kept(file) | Arrival::Linked(file)) = &self.arrival;
        let format = recognised(file).map_err(ArchiveError::Open)?;
        Ok(format.map_or(Then::KeepWithWarning, Then::Unpack))
    }

    fn keep(
        &mut self,
        batch: &mut Batch<'_>,
        target: &InnerPath,
        mode: u32,
    ) -> Result<(), ItemError> {
        match &mut self.arrival {
            Arrival::Staged(file) => {
                let set = file.set_permissions(Permissions::from_mode(mode));
                set.map_err(ItemError::Mode)?;
                Ok(self.staging.place(self.index, batch, target)?)
            }
            Arrival::Linked(from) if mode & links::MODE == links::MODE => {
                let length = from.metadata().map_err(ItemError::HandOut)?.len();
                self.budget.take(length)?;
                Ok(self.staging.place_kept(self.index, batch, target)?)
            }
            Arrival::Kept(from) | Arrival::Linked(from) => {
                let length = from.metadata().map_err(ItemError::HandOut)?.len();
                self.budget.take(length)?;
                let mut to = batch.file(target, mode)?;
                // Shared blocks, until one of both is written to. Elsewhere the kernel copies.
                if ioctl_ficlone(&to, &*from).is_err() {
                    io::copy(from, &mut to).map_err(ItemError::HandOut)?;
                }
                Ok(())
            }
        }
    }

    /// An archive stays beside its content, unless the cache has it.
    fn original(&mut self, batch: &mut Batch<'_>, target: &InnerPath) -> Result<File, ItemError> {
        if let Arrival::Staged(_) = self.arrival {
            self.keep(batch, target, 0o644)?;
        }
        let (Arrival::Staged(file) | Arrival::Kept(file) | Arrival::Linked(file)) = &self.arrival;
        file.try_clone().map_err(ItemError::HandOut)
    }
}
