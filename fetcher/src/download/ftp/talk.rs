//! A control connection: commands, and what is answered.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{
    AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, ReadBuf,
};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use super::place::{Place, Security};
use super::reply::{Line, Reply, extended_port, line, port};
use super::tls::Tls;
use crate::download::DownloadError;

const LINE_BYTES: u64 = 4096;
const MOST_LINES: usize = 1000;

pub enum Stream {
    Plain(TcpStream),
    Secret(Box<TlsStream<TcpStream>>),
}

pub struct Talk {
    stream: BufReader<Stream>,
    pub peer: SocketAddr,
    stall: Duration,
}

impl Talk {
    /// To where one may log in.
    pub async fn begin(
        connection: TcpStream,
        place: &Place,
        tls: &Tls,
        stall: Duration,
    ) -> Result<Self, DownloadError> {
        let peer = connection.peer_addr().map_err(DownloadError::BrokenOff)?;
        let stream = match place.security {
            Security::Implicit => tls.wrap(connection, &place.host).await?,
            Security::None | Security::Explicit => Stream::Plain(connection),
        };
        let mut talk = Self {
            stream: BufReader::new(stream),
            peer,
            stall,
        };
        talk.greeted().await?;
        if place.security == Security::Explicit {
            talk.ask("AUTH TLS", &[234]).await?;
            // What came in the clear after that would be taken for what comes in secret.
            if !talk.stream.buffer().is_empty() {
                return Err(DownloadError::NotFtp);
            }
            let Stream::Plain(connection) = talk.stream.into_inner() else {
                return Err(DownloadError::NotFtp);
            };
            talk.stream = BufReader::new(tls.wrap(connection, &place.host).await?);
        }
        if place.security != Security::None {
            talk.ask("PBSZ 0", &[200]).await?;
            talk.ask("PROT P", &[200]).await?;
        }
        Ok(talk)
    }

    async fn greeted(&mut self) -> Result<(), DownloadError> {
        loop {
            let reply = self.reply().await?;
            match reply.code {
                // Soon.
                120 => {}
                220 => return Ok(()),
                _ => return Err(refused(reply)),
            }
        }
    }

    pub async fn log_in(&mut self, user: &str, password: &str) -> Result<(), DownloadError> {
        let reply = self.ask(&format!("USER {user}"), &[230, 331]).await?;
        if reply.code == 331 {
            self.ask(&format!("PASS {password}"), &[230, 202]).await?;
        }
        self.ask("TYPE I", &[200]).await.map(drop)
    }

    /// Some servers do not tell.
    pub async fn size(&mut self, path: &str) -> Result<Option<u64>, DownloadError> {
        let reply = self.say(&format!("SIZE {path}")).await?;
        Ok(Some(reply.text)
            .filter(|_| reply.code == 213)
            .and_then(|size| size.trim().parse().ok()))
    }

    /// Likewise.
    pub async fn modified(&mut self, path: &str) -> Result<Option<String>, DownloadError> {
        let reply = self.say(&format!("MDTM {path}")).await?;
        Ok((reply.code == 213).then(|| reply.text.trim().to_owned()))
    }

    /// The port that the server waits at.
    pub async fn passive(&mut self) -> Result<u16, DownloadError> {
        let extended = self.say("EPSV").await?;
        if extended.code == 229 {
            return extended_port(&extended.text).ok_or(DownloadError::NotFtp);
        }
        let reply = self.ask("PASV", &[227]).await?;
        port(&reply.text).ok_or(DownloadError::NotFtp)
    }

    /// False where the server cannot begin in the midst of a file.
    pub async fn restart(&mut self, at: u64) -> Result<bool, DownloadError> {
        Ok(self.say(&format!("REST {at}")).await?.code == 350)
    }

    pub async fn retrieve(&mut self, path: &str) -> Result<(), DownloadError> {
        self.ask(&format!("RETR {path}"), &[125, 150])
            .await
            .map(drop)
    }

    /// All was sent.
    pub async fn done(&mut self) -> Result<(), DownloadError> {
        let reply = self.reply().await?;
        match reply.code {
            226 | 250 => Ok(()),
            _ => Err(refused(reply)),
        }
    }

    async fn ask(&mut self, command: &str, wanted: &[u16]) -> Result<Reply, DownloadError> {
        let reply = self.say(command).await?;
        match wanted.contains(&reply.code) {
            true => Ok(reply),
            false => Err(refused(reply)),
        }
    }

    async fn say(&mut self, command: &str) -> Result<Reply, DownloadError> {
        let line = format!("{command}\r\n");
        let said = async {
            self.stream.write_all(line.as_bytes()).await?;
            self.stream.flush().await
        };
        let said = timeout(self.stall, said).await;
        let said = said.map_err(|_late| DownloadError::Stalled(self.stall))?;
        said.map_err(DownloadError::BrokenOff)?;
        self.reply().await
    }

    async fn reply(&mut self) -> Result<Reply, DownloadError> {
        let mut begun = None;
        for _ in 0..MOST_LINES {
            let mut text = Vec::new();
            let mut bounded = (&mut self.stream).take(LINE_BYTES);
            let read = timeout(self.stall, bounded.read_until(b'\n', &mut text)).await;
            let read = read.map_err(|_late| DownloadError::Stalled(self.stall))?;
            if read.map_err(DownloadError::BrokenOff)? == 0 {
                return Err(DownloadError::BrokenOff(
                    io::ErrorKind::UnexpectedEof.into(),
                ));
            }
            match line(&String::from_utf8_lossy(&text), begun) {
                Some(Line::Last(reply)) => return Ok(reply),
                Some(Line::More(code)) => begun = begun.or(code),
                None => break,
            }
        }
        Err(DownloadError::NotFtp)
    }
}

fn refused(reply: Reply) -> DownloadError {
    // It goes into logs and statuses.
    let said: String = reply
        .text
        .chars()
        .filter(|c| !c.is_control())
        .take(200)
        .collect();
    DownloadError::Ftp {
        code: reply.code,
        said,
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Secret(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Secret(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Secret(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Secret(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
