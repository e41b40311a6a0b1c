//! What a fetch tells on its way: lines in the sandbox's stderr.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

/// Clones write into the same log, a line at a time.
#[derive(Clone)]
pub struct Log(Arc<Mutex<dyn Write + Send>>);

impl Log {
    pub fn new(to: impl Write + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(to)))
    }

    /// A log that cannot be written must not fail the fetch.
    pub fn line(&self, text: &str) {
        let mut to = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _full_disk = to.write_all(format!("{text}\n").as_bytes());
    }
}
