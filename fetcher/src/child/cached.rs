//! Files of the cache, opened while the child may.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;

use super::links::link;
use crate::Request;
use crate::beneath::Beneath;
use crate::cache::Validators;
use crate::order::Cached;

pub struct CachedFiles {
    pub fill: File,
    pub kept: Option<KeptFile>,
}

pub struct KeptFile {
    pub file: File,
    pub validators: Validators,
    pub fresh: bool,
    /// It is in the staging directory, too.
    pub linked: bool,
}

/// All that a request has to do with the cache.
pub fn opened(
    cached: Vec<Option<Cached>>,
    sandbox: &Beneath,
    request: &Request,
) -> io::Result<Vec<Option<CachedFiles>>> {
    let each = cached.into_iter().enumerate();
    each.map(|(index, cached)| {
        let one = cached.map(|cached| one(cached, index, sandbox, request));
        one.transpose()
    })
    .collect()
}

fn one(
    cached: Cached,
    index: usize,
    sandbox: &Beneath,
    request: &Request,
) -> io::Result<CachedFiles> {
    let mut fill = OpenOptions::new();
    fill.read(true).write(true).create_new(true).mode(0o600);
    let kept = cached.kept.map(|kept| -> io::Result<KeptFile> {
        let file = File::open(&kept.path)?;
        Ok(KeptFile {
            linked: link(sandbox, request, index, &kept.path, &file)?,
            file,
            validators: kept.validators,
            fresh: kept.fresh,
        })
    });
    Ok(CachedFiles {
        fill: fill.open(cached.fill)?,
        kept: kept.transpose()?,
    })
}
