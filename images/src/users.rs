//! Who a name is in an image: passwd(5) and group(5) of its own, which are content from elsewhere. Pure.

use std::path::PathBuf;

use crate::config::UserName;

/// Lines that are looked at; an image with more users has none that matter here.
const MOST_LINES: usize = 100_000;
/// Supplementary groups; the kernel takes no more.
const MOST_GROUPS: usize = 65_536;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    pub home: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoAccount {
    #[error("user {0:?} is not in the image's /etc/passwd: use a number, or another user")]
    User(String),
    #[error("group {0:?} is not in the image's /etc/group: use a number, or another group")]
    Group(String),
}

/// A number is that id, whoever in the image has it for a name: an image does not make root of the user 1000
/// that a task asks for. It need not be known. As Docker: with a group that is named, there are no others.
pub fn account(wanted: &UserName, passwd: &str, group: &str) -> Result<Account, NoAccount> {
    let id = number(&wanted.user);
    let found = entries(passwd).find(|entry| match id {
        Some(id) => entry.id == id,
        None => entry.name == wanted.user,
    });
    let (name, uid, gid, home) = match (found, id) {
        (Some(user), _) => {
            let gid = user.rest.first().and_then(|gid| number(gid)).unwrap_or(0);
            let home = user
                .rest
                .get(2)
                .copied()
                .filter(|home| home.starts_with('/'));
            (user.name, user.id, gid, home.unwrap_or("/"))
        }
        (None, Some(id)) => (wanted.user.as_str(), id, 0, "/"),
        (None, None) => return Err(NoAccount::User(wanted.user.clone())),
    };
    let (gid, groups) = match &wanted.group {
        None => (gid, groups_of(name, group)),
        Some(wanted) => (self::group(wanted, group)?, Vec::new()),
    };
    Ok(Account {
        name: name.to_owned(),
        uid,
        gid,
        groups,
        home: home.into(),
    })
}

/// The same of a group: a number is that, whatever the image calls so.
pub fn group(wanted: &str, group: &str) -> Result<u32, NoAccount> {
    let by_name = || entries(group).find(|entry| entry.name == wanted);
    let gid = number(wanted).or_else(|| by_name().map(|entry| entry.id));
    gid.ok_or_else(|| NoAccount::Group(wanted.to_owned()))
}

fn groups_of(user: &str, group: &str) -> Vec<u32> {
    let is_member = |entry: &Entry<'_>| {
        let members = entry.rest.first().copied().unwrap_or_default();
        members.split(',').any(|member| member.trim() == user)
    };
    let groups = entries(group).filter(is_member).map(|entry| entry.id);
    groups.take(MOST_GROUPS).collect()
}

/// A line of either file: both begin with a name, a password and an id.
struct Entry<'a> {
    name: &'a str,
    id: u32,
    rest: Vec<&'a str>,
}

fn entries(text: &str) -> impl Iterator<Item = Entry<'_>> {
    text.lines().take(MOST_LINES).filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields
            .next()
            .filter(|name| !name.is_empty() && !name.starts_with('#'))?;
        let id = fields.nth(1).and_then(number)?;
        let rest = fields.collect();
        Some(Entry { name, id, rest })
    })
}

/// The last one means "none" to the kernel.
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|id| digits && *id != u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\
        # a comment\n\
        :x:3:3::/:\n\
        bad:x:4294967296:0::/:\n\
        worse:x:-1:0::/:\n\
        app:x:1000:50:App:/srv/app:/bin/sh\n\
        app:x:0:0:again:/root:/bin/sh\n\
        lost:x:7:8\n\
        odd:x:9:9::../x:/bin/sh\n\
        77:x:0:0::/root:\n\
        seventy:x:78:79::/n:\n\
        78:x:0:0::/root:\n";
    const GROUP: &str = "root:x:0:\nwww:x:33:root, app\nwheel:x:10:app\nbig:x:4294967295:app\n\
        1234:x:0:seventy\n";

    fn found(user: &str) -> Result<(u32, u32, Vec<u32>, String), NoAccount> {
        let account = account(&user.parse().unwrap(), PASSWD, GROUP)?;
        let home = account.home.display().to_string();
        Ok((account.uid, account.gid, account.groups, home))
    }

    #[test]
    fn names_and_numbers_are_those_of_the_image() {
        let home = |home: &str| home.to_owned();
        for (user, who) in [
            ("root", (0, 0, vec![33], home("/root"))),
            ("app", (1000, 50, vec![33, 10], home("/srv/app"))),
            ("1000", (1000, 50, vec![33, 10], home("/srv/app"))),
            ("app:root", (1000, 0, vec![], home("/srv/app"))),
            ("app:1234", (1000, 1234, vec![], home("/srv/app"))),
            ("4000", (4000, 0, vec![], home("/"))),
            ("4000:www", (4000, 33, vec![], home("/"))),
            ("lost", (7, 8, vec![], home("/"))),
            ("odd", (9, 9, vec![], home("/"))),
            ("77", (77, 0, vec![], home("/"))),
            ("78", (78, 79, vec![0], home("/n"))),
        ] {
            assert_eq!(found(user), Ok(who), "{user}");
        }
    }

    #[test]
    fn who_is_not_there_is_named() {
        for user in ["nobody", "bad", "worse"] {
            assert_eq!(found(user), Err(NoAccount::User(user.to_owned())));
        }
        assert_eq!(found("app:none"), Err(NoAccount::Group("none".to_owned())));
        assert_eq!(group("www", GROUP), Ok(33));
        assert_eq!(group("1234", GROUP), Ok(1234));
        assert_eq!(group("big", GROUP), Err(NoAccount::Group("big".to_owned())));
    }

    proptest::proptest! {
        #[test]
        fn whatever_the_files_say_is_an_account_or_none(passwd in "(\\PC|[:\n0-9a])*", group in "(\\PC|[:\n0-9a])*") {
            for user in ["a", "0", "a:a", "1:9"] {
                if let Ok(found) = account(&user.parse().unwrap(), &passwd, &group) {
                    assert!(found.uid != u32::MAX && found.gid != u32::MAX);
                    assert!(found.home.starts_with("/"));
                }
            }
        }
    }
}
