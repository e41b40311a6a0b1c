//! The socket that a part listens on, and the address under which others know it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use tokio::net::TcpListener;

#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error(
        "--ip={0} can be reached by other machines and nothing here asks for credentials: choose \
         a loopback address, or add --insecure"
    )]
    Exposed(IpAddr),
    #[error("cannot listen on {address}: is another program using it? choose another --ip or port")]
    Bind {
        address: SocketAddr,
        source: io::Error,
    },
}

/// Listens on `ip` and `port`, and says where that is: port 0 is any that is free. What other
/// machines could reach is only opened when `insecure` allows it.
pub async fn listen(
    ip: IpAddr,
    port: u16,
    insecure: bool,
) -> Result<(TcpListener, SocketAddr), ListenError> {
    if !ip.is_loopback() && !insecure {
        return Err(ListenError::Exposed(ip));
    }
    let address = SocketAddr::new(ip, port);
    // This sets SO_REUSEADDR: a part that was restarted need not wait for the connections of its
    // earlier life to time out.
    let listening = TcpListener::bind(address)
        .await
        .and_then(|listener| listener.local_addr().map(|bound| (listener, bound)));
    listening.map_err(|source| ListenError::Bind { address, source })
}

/// Goes on to listen on a socket that another process has opened.
pub fn inherit(socket: OwnedFd) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = std::net::TcpListener::from(socket);
    listener.set_nonblocking(true)?;
    let bound = listener.local_addr()?;
    Ok((TcpListener::from_std(listener)?, bound))
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("--ip={ip} is no address that others can use: name one with --{flag}")]
pub struct NoAddress {
    ip: IpAddr,
    flag: &'static str,
}

/// Where others reach a part that listens at `bound`, unless flags say otherwise. `flag` names the
/// one that gives an address, for the error.
pub fn advertised(
    bound: SocketAddr,
    ip: Option<IpAddr>,
    port: Option<u16>,
    flag: &'static str,
) -> Result<SocketAddr, NoAddress> {
    let ip = ip.unwrap_or(bound.ip());
    match ip.is_unspecified() {
        true => Err(NoAddress { ip, flag }),
        false => Ok(SocketAddr::new(ip, port.unwrap_or(bound.port()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn nothing_is_opened_to_other_machines_by_accident() {
        for address in ["0.0.0.0", "10.0.0.1", "::"] {
            let error = listen(ip(address), 0, false).await.unwrap_err();
            assert!(error.to_string().contains("--insecure"), "{error}");
        }
        assert!(listen(ip("0.0.0.0"), 0, true).await.is_ok());
    }

    #[tokio::test]
    async fn an_address_in_use_is_named() {
        let (_first, address) = listen(ip("127.0.0.1"), 0, false).await.unwrap();
        let error = listen(address.ip(), address.port(), false)
            .await
            .unwrap_err();
        assert!(error.to_string().contains(&address.to_string()), "{error}");
    }

    #[test]
    fn an_address_that_means_all_is_not_told_to_others() {
        let bound = SocketAddr::new(ip("0.0.0.0"), 5050);
        let error = advertised(bound, None, None, "advertise_ip").unwrap_err();
        assert!(error.to_string().ends_with("--advertise_ip"), "{error}");
        let named = advertised(bound, Some(ip("10.0.0.5")), Some(80), "advertise_ip");
        assert_eq!(named, Ok(SocketAddr::new(ip("10.0.0.5"), 80)));
        let local = SocketAddr::new(ip("127.0.0.1"), 5050);
        assert_eq!(advertised(local, None, None, "advertise_ip"), Ok(local));
    }
}
