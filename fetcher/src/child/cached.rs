//! Files of the cache, opened while the child may.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;

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
}

pub fn opened(cached: Option<Cached>) -> io::Result<Option<CachedFiles>> {
    let Some(cached) = cached else {
        return Ok(None);
    };
    let mut fill = OpenOptions::new();
    fill.read(true).write(true).create_new(true).mode(0o600);
    let kept = cached.kept.map(|kept| -> io::Result<KeptFile> {
        Ok(KeptFile {
            file: File::open(kept.path)?,
            validators: kept.validators,
            fresh: kept.fresh,
        })
    });
    Ok(Some(CachedFiles {
        fill: fill.open(cached.fill)?,
        kept: kept.transpose()?,
    }))
}
