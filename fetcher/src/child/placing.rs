//! What becomes of one file that has come, where it belongs.

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use rustix::fs::ioctl_ficlone;

use super::fetching::{Arrival, ItemError, Tree};
use super::{links, say};
use crate::archive::{
    ArchiveError, Limits, decompress, hand_out, recognised, unpack, unpack_and_keep,
};
use crate::beneath::{Batch, Beneath, InnerPath, Staging};
use crate::budget::Budget;
use crate::growth::{Lost, Packed};
use crate::log::Log;
use crate::order::Said;
use crate::plan::{Format, Item, Then};

pub struct Placing {
    pub index: usize,
    pub item: Item,
    pub arrival: Arrival,
    pub staging: Arc<Staging>,
    pub sandbox: Arc<Beneath>,
    pub limits: Limits,
    pub budget: Budget,
    pub log: Log,
    /// The agent.
    pub tell: Log,
}

impl Placing {
    /// Blocks. All of it or nothing.
    pub fn run(mut self) -> Result<(), ItemError> {
        let (sandbox, item) = (Arc::clone(&self.sandbox), self.item.clone());
        let mut batch = sandbox.batch();
        let Item { target, then, .. } = &item;
        let name = target.to_string();
        if let Arrival::Tree(kept) = &self.arrival {
            return self.hand_out(kept);
        }
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
            Then::Unpack(format) if item.unpacked => self.tree(*format, &name)?,
            Then::Unpack(format) => {
                let archive = self.original(&mut batch, target)?;
                self.log
                    .line(&format!("Extracting '{name}' into the sandbox directory"));
                let (limits, budget) = (self.limits, &self.budget);
                again(archive, |it| unpack(&sandbox, it, *format, limits, budget))?;
            }
            Then::Decompress(codec, to) => {
                let from = self.original(&mut batch, target)?;
                self.log.line(&format!("Decompressing '{name}' to '{to}'"));
                let (limits, budget) = (self.limits, &self.budget);
                again(from, |it| {
                    decompress(&sandbox, *codec, it, to, limits, budget)
                })?;
            }
        }
        // Last, so that an archive that does not unpack goes away too.
        batch.commit();
        Ok(())
    }

    fn recognised(&self) -> Result<Then, ItemError> {
        let format = recognised(self.arrival.file()).map_err(ArchiveError::Open)?;
        Ok(format.map_or(Then::KeepWithWarning, Then::Unpack))
    }

    fn keep(
        &mut self,
        batch: &mut Batch<'_>,
        target: &InnerPath,
        mode: u32,
    ) -> Result<(), ItemError> {
        match &mut self.arrival {
            Arrival::Staged(file) | Arrival::Coming(file, _) => {
                let set = file.set_permissions(Permissions::from_mode(mode));
                set.map_err(ItemError::Mode)?;
                Ok(self.staging.place(self.index, batch, target)?)
            }
            Arrival::Linked(from) if mode & links::MODE == links::MODE => {
                let length = from.metadata().map_err(ItemError::HandOut)?.len();
                self.budget.take(length)?;
                Ok(self.staging.place_kept(self.index, batch, target)?)
            }
            Arrival::Kept(from)
            | Arrival::Linked(from)
            | Arrival::Tree(from)
            | Arrival::ForTree(from, _) => {
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

    /// What an archive unpacked to before.
    fn hand_out(&self, kept: &File) -> Result<(), ItemError> {
        self.log
            .line("Copying what was extracted before into the sandbox directory");
        let kept = kept.try_clone().and_then(Packed::whole);
        let kept = kept.map_err(ItemError::HandOut)?;
        Ok(hand_out(&self.sandbox, &kept, self.limits, &self.budget)?)
    }

    /// Unpacks an archive into the sandbox, and into the cache.
    fn tree(&mut self, format: Format, name: &str) -> Result<(), ItemError> {
        self.log
            .line(&format!("Extracting '{name}' into the sandbox directory"));
        let archive = self.arrival.file().try_clone().and_then(Packed::whole);
        let archive = archive.map_err(ItemError::HandOut)?;
        let (limits, budget) = (self.limits, &self.budget);
        let fill = match &self.arrival {
            Arrival::ForTree(_, tree) => Some(tree.fill.try_clone().map_err(ItemError::HandOut)?),
            _ => None,
        };
        let kept = unpack_and_keep(&self.sandbox, &archive, format, limits, budget, fill)?;
        // Its name goes with the staging directory.
        self.budget.give_back(archive.length());
        if let (Some(length), Arrival::ForTree(_, tree)) = (kept, &self.arrival) {
            self.log.line("Kept what was extracted in the cache");
            let Tree {
                content,
                validators,
                ..
            } = tree;
            let said = Said::Filled {
                index: self.index,
                // The same bytes are another tree in another format.
                content: format!("{content}-unpacked-{}", format.name()),
                length,
                validators: validators.clone(),
            };
            say(&self.tell, &said);
        }
        Ok(())
    }

    /// An archive stays beside its content, unless the cache has it.
    fn original(&mut self, batch: &mut Batch<'_>, target: &InnerPath) -> Result<Packed, ItemError> {
        if let Arrival::Staged(_) | Arrival::Coming(..) = self.arrival {
            self.keep(batch, target, 0o644)?;
        }
        let file = self.arrival.file().try_clone();
        let packed = file.and_then(|file| match &self.arrival {
            Arrival::Coming(_, growth) => Ok(Packed::growing(file, growth.clone())),
            Arrival::Staged(_)
            | Arrival::Kept(_)
            | Arrival::Linked(_)
            | Arrival::Tree(_)
            | Arrival::ForTree(..) => Packed::whole(file),
        });
        packed.map_err(ItemError::HandOut)
    }
}

/// Unpacks what is perhaps still coming, and begins anew where its download does.
fn again(
    mut packed: Packed,
    unpack: impl Fn(&Packed) -> Result<(), ArchiveError>,
) -> Result<(), ItemError> {
    loop {
        let unpacked = unpack(&packed);
        match packed.lost() {
            Some(Lost::Anew) => packed = packed.again().map_err(ItemError::HandOut)?,
            Some(Lost::Gone) => return Err(ItemError::Gone),
            None => return Ok(unpacked?),
        }
    }
}
