//! Pulls that are under way, by the sandboxes of the tasks that wait for them; and what is told of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use images::{Digest, Progress};
use serde_json::{Value, json};

use crate::quota::amount;

#[derive(Debug, Default)]
pub struct Pulls(Mutex<BTreeMap<PathBuf, Pull>>);

/// Of which nothing is told before something is to be got.
#[derive(Debug)]
struct Pull {
    image: String,
    begun: Instant,
    layers: usize,
    here: usize,
    bytes: u64,
    got: BTreeMap<Digest, u64>,
    unpacked: usize,
}

/// Known as long as this is there.
#[derive(Debug)]
pub struct Watched<'a> {
    all: &'a Pulls,
    sandbox: PathBuf,
}

impl Pulls {
    pub fn begin(&self, sandbox: &Path, image: String) -> Watched<'_> {
        let pull = Pull {
            image,
            begun: Instant::now(),
            layers: 0,
            here: 0,
            bytes: 0,
            got: BTreeMap::new(),
            unpacked: 0,
        };
        self.all().insert(sandbox.to_owned(), pull);
        Watched {
            all: self,
            sandbox: sandbox.to_owned(),
        }
    }

    /// For `/containers`.
    pub fn of(&self, sandbox: &Path) -> Option<Value> {
        let all = self.all();
        let pull = all.get(sandbox).filter(|pull| pull.layers > 0)?;
        Some(json!({
            "image": pull.image,
            "layers": pull.layers,
            "layers_done": pull.here + pull.unpacked,
            "bytes": pull.got.values().sum::<u64>(),
            "total_bytes": pull.bytes,
        }))
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Pull>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watched<'_> {
    pub fn on(&self, progress: &Progress) {
        let mut all = self.all.all();
        let Some(pull) = all.get_mut(&self.sandbox) else {
            return;
        };
        match progress {
            Progress::Began {
                layers,
                here,
                bytes,
            } => (pull.layers, pull.here, pull.bytes) = (*layers, *here, *bytes),
            Progress::Got { layer, bytes } => drop(pull.got.insert(layer.clone(), *bytes)),
            Progress::Unpacked { .. } => pull.unpacked += 1,
        }
    }

    /// What a status says of it once it is over; nothing where the image was here.
    pub fn said(&self) -> Option<String> {
        let all = self.all.all();
        let pull = all.get(&self.sandbox)?;
        said(pull, pull.begun.elapsed())
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.all.all().remove(&self.sandbox);
    }
}

fn said(pull: &Pull, taken: Duration) -> Option<String> {
    let new = pull.layers.checked_sub(pull.here)?;
    let what = if new == 1 { "layer" } else { "layers" };
    let (bytes, seconds) = (amount(pull.got.values().sum()), taken.as_secs_f64());
    let image = &pull.image;
    (pull.layers > 0)
        .then(|| format!("image {image} pulled: {new} {what}, {bytes} in {seconds:.1} s"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pull_is_told_of_from_its_first_word_to_its_end() {
        let (pulls, sandbox) = (Pulls::default(), Path::new("/s"));
        let watched = pulls.begin(sandbox, "a:1".to_owned());
        assert_eq!((pulls.of(sandbox), watched.said()), (None, None));
        let layer = Digest::of(b"x");
        watched.on(&Progress::Began {
            layers: 3,
            here: 2,
            bytes: 5 << 20,
        });
        for bytes in [10, 5 << 20] {
            let layer = layer.clone();
            watched.on(&Progress::Got { layer, bytes });
        }
        watched.on(&Progress::Unpacked { layer });
        let shown = pulls.of(sandbox).unwrap();
        assert_eq!(
            (&shown["bytes"], &shown["total_bytes"]),
            (&json!(5 << 20), &json!(5 << 20))
        );
        assert_eq!(
            (&shown["layers"], &shown["layers_done"]),
            (&json!(3), &json!(3))
        );
        let text = watched.said().unwrap();
        assert!(text.starts_with("image a:1 pulled: 1 layer, "), "{text}");
        drop(watched);
        assert_eq!(pulls.of(sandbox), None);
    }
}
