//! Downloads by FTP, with TLS or without: passive, binary, and going on where they broke off. Sources: RFC 959,
//! 2428 (EPSV), 3659 (SIZE, MDTM, REST), 4217 (TLS).

mod place;
pub mod reply;
mod talk;
pub mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::resolver::allowed;
use super::{Came, DownloadError, Patience, Sink};
use crate::cache::Validators;
use crate::log::Log;
use crate::netrc::Netrc;
use crate::policy::Policy;

pub use place::{BadPlace, Place};
use talk::Talk;
pub use tls::Tls;

/// How long a server may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
const PIECE: usize = 64 << 10;

pub struct Ftp {
    pub policy: Arc<Policy>,
    pub patience: Patience,
    pub tls: Tls,
    pub netrc: Netrc,
}

impl Ftp {
    pub async fn get(
        &self,
        place: &Place,
        known: Option<&Validators>,
        log: &Log,
        into: &mut Sink,
    ) -> Result<Came, DownloadError> {
        self.policy.host(&place.host)?;
        let mut begun = None;
        let attempt = async |into: &mut Sink| self.attempt(place, known, &mut begun, into).await;
        self.patience.persist(log, into, attempt).await
    }

    /// `begun` is what the server said of the file of which a part is there.
    async fn attempt(
        &self,
        place: &Place,
        known: Option<&Validators>,
        begun: &mut Option<Validators>,
        into: &mut Sink,
    ) -> Result<Came, DownloadError> {
        let mut talk = self.log_in(place).await?;
        let size = talk.size(&place.path).await?;
        let modified = talk.modified(&place.path).await?;
        let found = Validators {
            etag: size
                .zip(modified.as_ref())
                .map(|(size, _)| size.to_string()),
            last_modified: modified,
        };
        if !found.are_none() && known == Some(&found) {
            return Ok(Came::NotModified);
        }
        if into.length() > 0 && (found.are_none() || begun.as_ref() != Some(&found)) {
            into.restart()?;
        }
        *begun = Some(found.clone());
        if let Some(size) = size {
            let more = size.checked_sub(into.length());
            into.announce(more.ok_or(DownloadError::WrongPart)?)?;
        }
        let port = talk.passive().await?;
        let data = self
            .connect(&[SocketAddr::new(talk.peer.ip(), port)])
            .await?;
        if into.length() > 0 && !talk.restart(into.length()).await? {
            into.restart()?;
        }
        talk.retrieve(&place.path).await?;
        let mut data = match place.security {
            place::Security::None => talk::Stream::Plain(data),
            place::Security::Implicit | place::Security::Explicit => {
                self.tls.wrap(data, &place.host).await?
            }
        };
        let mut piece = vec![0; PIECE];
        loop {
            let read = self.bound(data.read(&mut piece)).await?;
            match read.map_err(DownloadError::BrokenOff)? {
                0 => break,
                length => into.write(&piece[..length])?,
            }
        }
        drop(data);
        talk.done().await?;
        // A server may not notice that what it reads from was cut short.
        if size.is_some_and(|size| size != into.length()) {
            return Err(DownloadError::BrokenOff(
                io::ErrorKind::UnexpectedEof.into(),
            ));
        }
        Ok(Came::Content(found))
    }

    async fn log_in(&self, place: &Place) -> Result<Talk, DownloadError> {
        let name = (place.host.trim_matches(['[', ']']), place.port);
        let found = tokio::net::lookup_host(name).await;
        let found = found.map_err(DownloadError::NoConnection)?;
        let allowed = allowed(found, &self.policy)?;
        let connection = self.connect(&allowed).await?;
        let stall = self.patience.stall;
        let mut talk = Talk::begin(connection, place, &self.tls, stall).await?;
        let login = place.login.clone();
        let login = login.or_else(|| self.netrc.login(&place.host));
        let (user, password) =
            login.unwrap_or_else(|| ("anonymous".to_owned(), "longshore@".to_owned()));
        talk.log_in(&user, &password).await?;
        Ok(talk)
    }

    async fn connect(&self, addresses: &[SocketAddr]) -> Result<TcpStream, DownloadError> {
        let connected = timeout(CONNECT_TIMEOUT, TcpStream::connect(addresses)).await;
        let late = |_late| DownloadError::NoConnection(io::ErrorKind::TimedOut.into());
        connected
            .map_err(late)?
            .map_err(DownloadError::NoConnection)
    }

    async fn bound<T>(&self, work: impl Future<Output = T>) -> Result<T, DownloadError> {
        let stall = self.patience.stall;
        let done = timeout(stall, work).await;
        done.map_err(|_late| DownloadError::Stalled(stall))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Forbidden;

    /// A URL has none of these for a host; a DNS may well lead there.
    #[tokio::test]
    async fn a_name_that_leads_to_a_metadata_service_is_not_connected_to() {
        let ftp = Ftp {
            policy: Arc::new(Policy::default()),
            patience: Patience {
                stall: CONNECT_TIMEOUT,
                pause: Duration::ZERO,
            },
            tls: Tls::new(&[]).unwrap(),
            netrc: Netrc::default(),
        };
        for host in ["0xa9fea9fe", "169.254.43518"] {
            let mut place = Place::parse("ftp://h/x").unwrap();
            place.host = host.to_owned();
            let refused = ftp.log_in(&place).await.err();
            let address = Forbidden::Address([169, 254, 169, 254].into());
            assert!(
                matches!(&refused, Some(DownloadError::Forbidden(it)) if *it == address),
                "{refused:?}"
            );
        }
    }
}
