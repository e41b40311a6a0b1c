//! The mounts of a container that runs. The kernel takes them all apart when the last who has their
//! namespace lets it go: that is us, once the end is told, and not the first process on its way out.

use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

#[derive(Debug, Default)]
pub struct Mounts(Mutex<State>);

#[derive(Debug, Default)]
enum State {
    #[default]
    NotHeld,
    Held(OwnedFd),
    /// For good.
    LetGo,
}

impl Mounts {
    /// `namespace`: theirs. It is let go at once when the end has come before it.
    pub fn hold(&self, namespace: OwnedFd) {
        // No panic leaves it half changed.
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !matches!(*state, State::LetGo) {
            *state = State::Held(namespace);
        }
    }

    /// The kernel may take a moment. Blocks.
    pub fn let_go(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let was = std::mem::replace(&mut *state, State::LetGo);
        drop(state);
        if let State::Held(namespace) = was {
            drop(namespace);
        }
    }
}
