//! What an operator decides of a node's bridge.

use crate::subnet::Subnet;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Its name, and that of the table of rules.
    pub bridge: String,
    pub v4: Subnet,
    pub v6: Option<Subnet>,
    /// That of the link by which the host reaches everything else, when `None`.
    pub mtu: Option<u32>,
    /// Whether containers may ask the cloud what it tells this machine.
    pub allows_metadata: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSettings {
    #[error(
        "{0:?} is no name of a link: it must be 1 to 15 characters, none of them '/', ':' or a space"
    )]
    Name(String),
    #[error("subnet {0} is not of IPv{1}")]
    Family(Subnet, u8),
}

impl Settings {
    pub fn check(self) -> Result<Self, BadSettings> {
        let name = &self.bridge;
        let is_odd = |c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control();
        if matches!(&**name, "" | "." | "..") || name.len() > 15 || name.contains(is_odd) {
            return Err(BadSettings::Name(name.clone()));
        }
        if !self.v4.base().is_ipv4() {
            return Err(BadSettings::Family(self.v4, 4));
        }
        match self.v6 {
            Some(v6) if v6.base().is_ipv4() => Err(BadSettings::Family(v6, 6)),
            _ => Ok(self),
        }
    }

    pub fn subnets(&self) -> impl Iterator<Item = Subnet> {
        [Some(self.v4), self.v6].into_iter().flatten()
    }
}
