//! The apps of one run together: their names, their end, their result. Pure.

use super::app::{App, Mode, Notice};
use super::look::Look;
use super::outcome;

/// The apps of one run.
#[derive(Debug)]
pub struct Watch {
    mode: Mode,
    apps: Vec<App>,
}

impl Watch {
    pub fn new(mode: Mode) -> Watch {
        Watch {
            mode,
            apps: Vec::new(),
        }
    }

    /// From now on this app is watched. `id` is canonical.
    pub fn add(&mut self, id: &str, instances: u32, fetches: bool) {
        self.apps.push(App::new(id, instances, fetches));
    }

    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.apps.iter().map(|app| app.id.as_str())
    }

    /// What has changed since the last look.
    pub fn step(&mut self, look: &Look) -> Vec<Notice> {
        let mode = self.mode;
        self.apps
            .iter_mut()
            .flat_map(|app| app.step(look, mode))
            .collect()
    }

    /// What a task is called in front of its lines.
    pub fn name(&self, task: &str) -> Option<String> {
        self.apps.iter().find_map(|app| app.name(task))
    }

    pub fn is_done(&self) -> bool {
        self.apps.iter().all(App::is_done)
    }

    pub fn is_fetching(&self) -> bool {
        self.apps.iter().any(App::is_fetching)
    }

    pub fn is_settled(&self) -> bool {
        self.apps.iter().all(App::is_settled)
    }

    /// Of all tasks that have ended, in the order of the apps.
    pub fn exit_code(&self) -> u8 {
        outcome::of_all(self.apps.iter().flat_map(App::results))
    }
}

#[cfg(test)]
mod tests;
