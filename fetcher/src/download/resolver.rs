//! Names to addresses, without those that nothing may be fetched from.

use std::net::SocketAddr;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::policy::{Forbidden, Policy};

pub struct Resolver(pub Arc<Policy>);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = Arc::clone(&self.0);
        Box::pin(async move {
            // The port is a stand-in: the client puts its own.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed = allowed(found, &policy)?;
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// Those of `found` that are not refused; that one was, where none is left.
pub fn allowed(
    found: impl Iterator<Item = SocketAddr>,
    policy: &Policy,
) -> Result<Vec<SocketAddr>, Forbidden> {
    let mut refused = None;
    let mut allowed = Vec::new();
    for address in found {
        match policy.address(address.ip()) {
            Ok(()) => allowed.push(address),
            Err(forbidden) => refused = Some(forbidden),
        }
    }
    match refused {
        Some(forbidden) if allowed.is_empty() => Err(forbidden),
        _ => Ok(allowed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_addresses_of_a_name_only_those_are_asked_that_may_be() {
        let all = |addresses: &[&str]| -> Vec<SocketAddr> {
            let parsed = addresses.iter().map(|address| address.parse().unwrap());
            parsed.collect()
        };
        let of = |addresses: &[&str]| allowed(all(addresses).into_iter(), &Policy::default());
        let (metadata, local, good) = ("169.254.169.254:80", "[fe80::1]:80", "192.0.2.7:80");
        assert_eq!(of(&[good, metadata, local]), Ok(all(&[good])));
        let refused = Forbidden::Address("169.254.169.254".parse().unwrap());
        assert_eq!(of(&[local, metadata]), Err(refused));
        // That a name has no address is for the client to say.
        assert_eq!(of(&[]), Ok(Vec::new()));
    }

    /// Forms that are names to whoever takes URLs apart, and addresses to the C library: without any DNS they lead
    /// to where a name may lead.
    #[tokio::test]
    async fn a_name_that_leads_to_a_metadata_service_leads_nowhere() {
        let resolver = Resolver(Arc::new(Policy::default()));
        for name in [
            "0xa9fea9fe",
            "2852039166",
            "0251.0376.0251.0376",
            "169.254.43518",
        ] {
            let found = resolver.resolve(name.parse().unwrap()).await;
            let error = found.map(|_addresses| ()).unwrap_err();
            assert!(
                error.downcast_ref::<Forbidden>().is_some(),
                "{name}: {error}"
            );
        }
        let found = resolver.resolve("0x7f000001".parse().unwrap()).await;
        let found: Vec<_> = found.unwrap().map(|address| address.ip()).collect();
        let loopback: std::net::IpAddr = "127.0.0.1".parse().unwrap();
        assert!(found.iter().all(|ip| *ip == loopback), "{found:?}");
    }
}
