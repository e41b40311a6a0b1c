//! What an agent stands on, and can be handed over to another process as it is: its directories, its
//! socket, and who answers there.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;

use failpoint::{Point, reach};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::activation;
use crate::flags::Flags;
use crate::http::{Site, serve};
use crate::lock::Lock;
use crate::paths::Paths;
use crate::start::StartError;

#[derive(Debug)]
pub struct Ground {
    pub lock: Arc<Lock>,
    /// As others reach the agent.
    pub address: SocketAddr,
    /// As this host reaches it.
    bound: SocketAddr,
    pub site: Arc<Site>,
    door: Door,
}

/// Where clients come in.
#[derive(Debug)]
enum Door {
    /// They wait, or another process answers them.
    Shut(TcpListener),
    Open {
        socket: OwnedFd,
        close: oneshot::Sender<()>,
        server: JoinHandle<()>,
    },
    /// Opening it has failed.
    Broken,
}

impl Ground {
    /// Of nobody else.
    pub async fn take(flags: &Flags) -> Result<Ground, StartError> {
        let (listener, bound) = activation::listen(flags).await?;
        let (runtime_dir, paths) = (flags.runtime_dir.clone(), Paths::new(&flags.work_dir));
        let lock = tokio::task::spawn_blocking(move || Lock::take(&runtime_dir, &paths));
        let lock = lock.await??;
        reach(Point::Locked);
        Ground::new(flags, (listener, bound), lock)
    }

    /// From the process that is the agent until now. Nobody is let in yet.
    pub async fn inherit(
        flags: &Flags,
        socket: OwnedFd,
        locks: [OwnedFd; 2],
    ) -> Result<Ground, StartError> {
        let listening = endpoint::inherit(socket).map_err(StartError::Inherit)?;
        let (runtime_dir, paths) = (flags.runtime_dir.clone(), Paths::new(&flags.work_dir));
        let lock = tokio::task::spawn_blocking(move || Lock::inherit(locks, &runtime_dir, &paths));
        Ground::new(flags, listening, lock.await??)
    }

    fn new(
        flags: &Flags,
        (listener, bound): (TcpListener, SocketAddr),
        lock: Lock,
    ) -> Result<Ground, StartError> {
        let address = endpoint::advertised(
            bound,
            flags.advertise_ip,
            flags.advertise_port,
            "advertise_ip",
        )?;
        Ok(Ground {
            lock: Arc::new(lock),
            address,
            bound,
            site: Arc::new(Site::new(flags, address)),
            door: Door::Shut(listener),
        })
    }

    /// Clients are let in. To be said once.
    pub fn open(&mut self) -> io::Result<()> {
        let Door::Shut(listener) = std::mem::replace(&mut self.door, Door::Broken) else {
            return Ok(());
        };
        let socket = listener.as_fd().try_clone_to_owned()?;
        let (close, closed) = oneshot::channel();
        let until_closed = async {
            // One that is dropped closes, too.
            let _ = closed.await;
        };
        let server = tokio::spawn(serve(listener, Arc::clone(&self.site), until_closed));
        self.door = Door::Open {
            socket,
            close,
            server,
        };
        Ok(())
    }

    /// For who is to stand on it, too: the socket, and the locks of the runtime and the work directory.
    pub fn descriptors(&self) -> Option<[BorrowedFd<'_>; 3]> {
        let socket = match &self.door {
            Door::Shut(listener) => listener.as_fd(),
            Door::Open { socket, .. } => socket.as_fd(),
            Door::Broken => return None,
        };
        let [of_runtime_dir, of_work_dir] = self.lock.descriptors();
        Some([socket, of_runtime_dir, of_work_dir])
    }

    /// Another process lets clients in from now on. What is returned ends with the last connection that
    /// this one has.
    pub fn close(self) -> Option<JoinHandle<()>> {
        match self.door {
            Door::Open { close, server, .. } => {
                self.site.lead_on(self.bound);
                // The server may have broken off.
                let _ = close.send(());
                Some(server)
            }
            Door::Shut(_) | Door::Broken => None,
        }
    }

    /// Cuts off whoever is being answered.
    pub fn abandon(&self) {
        if let Door::Open { server, .. } = &self.door {
            server.abort();
        }
    }
}
