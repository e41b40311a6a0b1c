//! Who one is on which host: what a file as ~/.netrc says. Pure. Source: the manual of ftp(1).

use std::fmt;

#[derive(Clone, Default, PartialEq, Eq)]
pub struct Netrc(Vec<Machine>);

#[derive(Clone, PartialEq, Eq)]
struct Machine {
    /// `None` is every host.
    name: Option<String>,
    login: String,
    password: String,
}

impl fmt::Debug for Netrc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Netrc({} hosts)", self.0.len())
    }
}

impl Netrc {
    /// Words that are not understood are left out, as other programs do.
    pub fn parse(text: &str) -> Self {
        let mut machines: Vec<Machine> = Vec::new();
        let mut macros = false;
        for line in text.lines() {
            // A macro goes on up to an empty line.
            if macros {
                macros = !line.trim().is_empty();
                continue;
            }
            let mut words = line.split_whitespace();
            while let Some(word) = words.next().filter(|word| !word.starts_with('#')) {
                match word {
                    "machine" | "default" => machines.push(Machine {
                        name: (word == "machine")
                            .then(|| words.next().unwrap_or_default().to_ascii_lowercase()),
                        login: String::new(),
                        password: String::new(),
                    }),
                    "macdef" => {
                        macros = true;
                        break;
                    }
                    "login" | "password" | "account" => {
                        // A password may begin with what begins a comment elsewhere.
                        let value = words.next().unwrap_or_default().to_owned();
                        if let Some(machine) = machines.last_mut() {
                            match word {
                                "login" => machine.login = value,
                                "password" => machine.password = value,
                                _ => {}
                            }
                        }
                    }
                    _ => {}
                }
            }
        }
        Self(machines)
    }

    /// Login and password.
    pub fn login(&self, host: &str) -> Option<(String, String)> {
        let host = host.trim_matches(['[', ']']).to_ascii_lowercase();
        let is_meant = |machine: &&Machine| machine.name.as_ref().is_none_or(|name| *name == host);
        let found = self.0.iter().find(is_meant)?;
        Some((found.login.clone(), found.password.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# ours\nmachine A.example login me password hunter2\n\
        machine b.example\n  login you # she\n  password p\nmacdef init\nmachine c login x\n\n\
        default login anonymous password a@b\n";

    fn login(host: &str) -> Option<(String, String)> {
        Netrc::parse(FILE).login(host)
    }

    fn pair(login: &str, password: &str) -> Option<(String, String)> {
        Some((login.to_owned(), password.to_owned()))
    }

    #[test]
    fn the_first_machine_that_is_meant_counts() {
        assert_eq!(login("a.EXAMPLE"), pair("me", "hunter2"));
        assert_eq!(login("b.example"), pair("you", "p"));
        // What stands in a macro is none.
        assert_eq!(login("c"), pair("anonymous", "a@b"));
        assert_eq!(Netrc::parse("machine a").login("b"), None);
        assert_eq!(Netrc::parse("login x machine").login("y"), None);
    }

    #[test]
    fn no_password_is_shown() {
        assert_eq!(format!("{:?}", Netrc::parse(FILE)), "Netrc(3 hosts)");
    }
}
