//! What takes the kernel long to make is made ahead of the containers that will want it, on a thread of
//! its own: network and ipc namespaces, and the file systems that every container mounts anew.

mod ipc;
mod mount;
mod network;
mod plan;
mod shop;

pub use ipc::Ipc;
pub use mount::{Entry, Recipe};
pub use network::{Network, this_threads};
pub use plan::{use_made, wanted};

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, OnceLock};
use std::thread;

use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, umask};

use shop::{Shop, Work};

const STACK: usize = 64 * 1024;

/// Begins when the first thing is asked for: many agents never need one.
#[derive(Debug, Default)]
pub struct Ahead(OnceLock<Option<Arc<Shop>>>);

impl Ahead {
    /// `None` when none is ready: it is to be made with the container then.
    pub fn network(&self) -> Option<Network> {
        self.shop()?.take_network()
    }

    /// One that is ready, or one that is made now, for a container whose programs may listen on any port of
    /// it. Blocks.
    pub fn network_now(&self) -> io::Result<Network> {
        let ready = self.network();
        // It goes there, and must not come back.
        let furnish = move || {
            let network = match ready {
                Some(network) => network::enter(network)?,
                None => network::make()?,
            };
            network::open_all_ports()?;
            Ok(network)
        };
        let furnished = thread::spawn(furnish).join();
        furnished.unwrap_or_else(|_panicked| Err(io::ErrorKind::Other.into()))
    }

    /// The same for an ipc namespace.
    pub fn ipc(&self) -> Option<Ipc> {
        self.shop()?.take_ipc()
    }

    /// The same for a detached mount of a file system that nobody has used. What is asked for often is
    /// ready from then on.
    pub fn mount(&self, recipe: &Recipe) -> Option<OwnedFd> {
        self.shop()?.take_mount(recipe)
    }

    fn shop(&self) -> Option<&Shop> {
        self.0.get_or_init(begin).as_deref()
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        if let Some(Some(shop)) = self.0.get() {
            shop.close();
        }
    }
}

fn begin() -> Option<Arc<Shop>> {
    let shop = Arc::<Shop>::default();
    let works_for = shop.clone();
    let thread = thread::Builder::new()
        .name("ahead".to_owned())
        .stack_size(STACK)
        .spawn(move || work(&works_for));
    thread.is_ok().then_some(shop)
}

/// Until nobody can ask any more. The thread lives in the namespaces that it has made last.
fn work(shop: &Shop) {
    // What it makes has the permissions that it is given. The agent itself keeps its umask.
    if let Err(error) = unshare(CloneFlags::CLONE_FS) {
        tracing::debug!(%error, "nothing is made ahead");
        return;
    }
    umask(Mode::empty());
    while let Some(work) = shop.next() {
        match work {
            Work::Network => shop.put_network(network::make()),
            Work::Ipc => shop.put_ipc(ipc::make()),
            Work::Mount(recipe) => {
                let made = recipe.make();
                shop.put_mount(&recipe, made);
            }
        }
    }
}

#[cfg(test)]
mod tests;
