//! Files that were fetched once, kept for who wants them again.
//!
//! ```text
//! <fetcher_cache_dir>
//! ├── index.json          which URI of which user is which content, and what its server said of it
//! └── <uid>
//!     ├── sha256-<hex>    a content
//!     └── filling-<n>     one that is on its way
//! ```
//! All of it belongs to the agent: a task could otherwise change what others get. The child opens what it
//! needs before it becomes the task's user, and reports what it has filled.
//!
//! Who wants what somebody is just fetching waits for that.

mod index;

use std::collections::{BTreeMap, HashMap};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::OwnedMutexGuard;

use crate::checksum::Checksum;
use index::{Content, Index};

pub use index::{Entry, Key, Validators};

const INDEX: &str = "index.json";
const FILLING: &str = "filling-";

/// Held by who fetches something.
type Flight = tokio::sync::Mutex<()>;

#[derive(Debug)]
pub struct Cache {
    directory: PathBuf,
    limit: u64,
    state: Mutex<State>,
    flights: Mutex<BTreeMap<Key, Weak<Flight>>>,
    fills: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    index: Index,
    /// How many use a file at the moment.
    held: HashMap<Content, usize>,
    figures: Figures,
}

/// Since the agent started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    pub hits: u64,
    pub misses: u64,
    pub evictions: u64,
}

#[derive(Debug, thiserror::Error)]
#[error("cannot read the fetcher's cache {directory} (--fetcher_cache_dir)")]
pub struct CacheError {
    directory: PathBuf,
    source: io::Error,
}

/// One URI of a fetch under way.
#[derive(Debug)]
pub struct Use {
    pub key: Key,
    /// Where the file is to be written if it has to be fetched.
    pub fill: PathBuf,
    pub kept: Option<Kept>,
    /// Others who want the same wait for this.
    flight: Option<OwnedMutexGuard<()>>,
}

#[derive(Debug)]
pub struct Kept {
    pub path: PathBuf,
    pub entry: Entry,
    /// It is what the URI's checksum says.
    pub proven: bool,
    _held: Held,
}

/// Keeps a file from being evicted.
#[derive(Debug)]
struct Held {
    cache: Arc<Cache>,
    content: Content,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.cache.state();
        if let Some(count) = state.held.get_mut(&self.content) {
            *count -= 1;
            if *count == 0 {
                state.held.remove(&self.content);
            }
        }
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        // Taken over, or never made, or of a fetch that failed.
        let _gone_or_not = std::fs::remove_file(&self.fill);
    }
}

impl Cache {
    /// What an earlier agent kept is there again. Blocks.
    pub fn open(directory: PathBuf, limit: u64) -> Result<Arc<Self>, CacheError> {
        let read = |source| CacheError {
            directory: directory.clone(),
            source,
        };
        let mut index = match std::fs::read(directory.join(INDEX)) {
            // One that is damaged is as good as none: everything can be fetched again.
            Ok(text) => serde_json::from_slice::<Index>(&text).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Index::default(),
            Err(error) => return Err(read(error)),
        };
        index.retain(|content, length| {
            let found = file(&directory, content).symlink_metadata();
            found.is_ok_and(|found| found.is_file() && found.len() == length)
        });
        remove_others(&directory, &index).map_err(read)?;
        Ok(Arc::new(Self {
            directory,
            limit,
            state: Mutex::new(State {
                index,
                ..State::default()
            }),
            flights: Mutex::default(),
            fills: AtomicU64::new(0),
        }))
    }

    pub fn limit(&self) -> u64 {
        self.limit
    }

    pub fn bytes(&self) -> u64 {
        self.state().index.bytes()
    }

    pub fn figures(&self) -> Figures {
        self.state().figures
    }

    /// To be called for the URIs of one fetch in the order of their keys, or two that want the same would wait
    /// for each other.
    pub async fn prepare(
        self: &Arc<Self>,
        key: Key,
        checksum: Option<&Checksum>,
    ) -> io::Result<Use> {
        make(&self.directory.join(key.uid.to_string()))?;
        let fill = self.fills.fetch_add(1, Ordering::Relaxed);
        // The number of the process: two agents are there while one takes over from the other.
        let fill = format!("{FILLING}{}-{fill}", std::process::id());
        let fill = self.directory.join(key.uid.to_string()).join(fill);
        let mut flight = None;
        if !self.state().index.contains(&key) {
            flight = Some(self.flight(&key).lock_owned().await);
        }
        let kept = self.kept(&key, checksum);
        Ok(Use {
            key,
            fill,
            // Whoever finds it there needs nobody to wait.
            flight: flight.filter(|_| kept.is_none()),
            kept,
        })
    }

    fn kept(self: &Arc<Self>, key: &Key, checksum: Option<&Checksum>) -> Option<Kept> {
        let mut state = self.state();
        let asked = checksum.map(Checksum::file_name);
        let found = state.index.find(key);
        // What was made of it begins with its name.
        let wanted = |entry: &Entry| {
            let asked = asked.as_deref();
            asked.is_none_or(|asked| entry.content.starts_with(asked))
        };
        let Some(entry) = found.filter(wanted) else {
            state.figures.misses += 1;
            return None;
        };
        let content = (key.uid, entry.content.clone());
        *state.held.entry(content.clone()).or_default() += 1;
        let path = file(&self.directory, &content);
        let held = Held {
            cache: Arc::clone(self),
            content,
        };
        Some(Kept {
            path,
            entry,
            proven: asked.is_some(),
            _held: held,
        })
    }

    /// The kept file was what was wanted.
    pub fn hit(&self) {
        self.state().figures.hits += 1;
    }

    /// Takes over what was filled, and lets those go on who wait for it. Blocks.
    pub fn take(&self, used: &mut Use, entry: Entry) -> io::Result<()> {
        if !is_name(&entry.content) {
            return Err(io::Error::other("what it is called is no name"));
        }
        let filled = File::open(&used.fill)?;
        if filled.metadata()?.len() != entry.length {
            return Err(io::Error::other("it was not filled as it was said to be"));
        }
        // Before the index says that it is there.
        filled.sync_data()?;
        let content = (used.key.uid, entry.content.clone());
        std::fs::rename(&used.fill, file(&self.directory, &content))?;
        let text = {
            let mut state = self.state();
            let State { index, held, .. } = &mut *state;
            let (gone, evicted) = index.put(used.key.clone(), entry, self.limit, |content| {
                held.contains_key(content)
            });
            state.figures.evictions += evicted;
            for content in gone {
                let _gone_or_not = std::fs::remove_file(file(&self.directory, &content));
            }
            serde_json::to_vec(&state.index)?
        };
        used.flight = None;
        self.save(&text)
    }

    fn save(&self, text: &[u8]) -> io::Result<()> {
        let new = self.fills.fetch_add(1, Ordering::Relaxed);
        let new = self
            .directory
            .join(format!("{INDEX}.{}-{new}", std::process::id()));
        // It has the URIs as tasks gave them, with what is secret of them.
        let mut file = OpenOptions::new();
        file.write(true).create_new(true).mode(0o600);
        let mut file = file.open(&new)?;
        file.write_all(text)?;
        file.sync_data()?;
        std::fs::rename(new, self.directory.join(INDEX))
    }

    fn flight(&self, key: &Key) -> Arc<Flight> {
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        flights.retain(|_, flight| flight.strong_count() > 0);
        let flight = flights.entry(key.clone()).or_default();
        flight.upgrade().unwrap_or_else(|| {
            let new = Arc::default();
            *flight = Arc::downgrade(&new);
            new
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn make(directory: &Path) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
}

/// The child says it, which handles bytes from elsewhere.
fn is_name(content: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let is_short = (1..=200).contains(&content.len());
    is_short && !content.starts_with(FILLING) && content.bytes().all(plain)
}

fn file(directory: &Path, (uid, name): &Content) -> PathBuf {
    directory.join(uid.to_string()).join(name)
}

/// What was on its way when an agent ended, and files that the index does not know.
fn remove_others(directory: &Path, index: &Index) -> io::Result<()> {
    let known = index.contents();
    let users = match std::fs::read_dir(directory) {
        Ok(users) => users,
        // Made once there is something to keep.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for user in users {
        let user = user?;
        let name = user.file_name();
        if name == INDEX {
            continue;
        }
        let Some(uid) = name.to_str().and_then(|name| name.parse().ok()) else {
            // An index that was on its way. Of anything else nothing is known.
            if name.to_str().is_some_and(|name| name.starts_with(INDEX)) {
                std::fs::remove_file(user.path())?;
            }
            continue;
        };
        for content in std::fs::read_dir(user.path())? {
            let content = content?;
            let name = content.file_name().to_string_lossy().into_owned();
            if !known.contains(&(uid, name)) {
                std::fs::remove_file(content.path())?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
