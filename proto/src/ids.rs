//! Which texts may name things. Ids become components of paths and of URLs, so these checks are
//! what stands between a framework's choice of name and the file system.
//! Source: spec/mesos-agent.md section 1, spec/mesos-master.md section 8 (roles).

/// Longest id, in bytes. It is also the longest file name of common file systems.
const MAX_ID: usize = 255;

/// Longest container id, in bytes: it is also part of other file names.
const MAX_CONTAINER_ID: usize = 242;

/// Longest role, in bytes.
const MAX_ROLE: usize = 255;

/// Levels of the deepest role. The share of each role above one is accounted for, so that the cost
/// of a role grows with its levels and the bytes of each.
const MAX_ROLE_LEVELS: usize = 16;

/// Why a text cannot be an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadId {
    #[error("an id must not be empty")]
    Empty,
    #[error("an id may have at most {max} bytes, this one has {length}: {id:.32}…")]
    TooLong {
        id: String,
        length: usize,
        max: usize,
    },
    #[error("{id:?} cannot be an id: it means a directory in a path")]
    Dots { id: String },
    #[error("{id:?} cannot be an id: {forbidden:?} at byte {at} is not allowed in one")]
    Character {
        id: String,
        forbidden: char,
        at: usize,
    },
}

/// Whether `id` may name a task, executor, framework, agent or persistent volume.
pub fn check(id: &str) -> Result<(), BadId> {
    check_with(id, MAX_ID, |c| c.is_control() || c == '/' || c == '\\')?;
    if id == "." || id == ".." {
        return Err(BadId::Dots { id: id.to_owned() });
    }
    Ok(())
}

/// Whether `id` may be one level of a container id. Stricter than [`check`]: levels are joined with
/// dots in texts.
pub fn check_container(id: &str) -> Result<(), BadId> {
    check_with(id, MAX_CONTAINER_ID, |c| {
        c.is_control() || matches!(c, '/' | '\\' | '.' | ' ')
    })
}

fn check_with(id: &str, max: usize, forbidden: impl Fn(char) -> bool) -> Result<(), BadId> {
    if id.is_empty() {
        return Err(BadId::Empty);
    }
    if id.len() > max {
        return Err(BadId::TooLong {
            id: id.to_owned(),
            length: id.len(),
            max,
        });
    }
    match id.char_indices().find(|&(_, c)| forbidden(c)) {
        Some((at, forbidden)) => Err(BadId::Character {
            id: id.to_owned(),
            forbidden,
            at,
        }),
        None => Ok(()),
    }
}

/// Why a text cannot be a role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRole {
    #[error("a role must not be empty; the default role is \"*\"")]
    Empty,
    #[error("a role may have at most {MAX_ROLE} bytes, this one has {length}: {start:?}…")]
    TooLong { start: String, length: usize },
    #[error("role {role:?} has {levels} levels, {MAX_ROLE_LEVELS} are allowed: leave some out")]
    TooDeep { role: String, levels: usize },
    #[error("role {role:?} must not begin with '-'")]
    Dash { role: String },
    #[error("role {role:?} has the empty level before or after a '/': write levels as a/b/c")]
    EmptyLevel { role: String },
    #[error("role {role:?} has the level {level:?}, which means a directory in a path")]
    Dots { role: String, level: String },
    #[error("role {role:?} has the level \"*\", which is only allowed as a whole role")]
    Star { role: String },
    #[error("role {role:?} contains {forbidden:?}: no blanks and no control characters in roles")]
    Character { role: String, forbidden: char },
}

/// Whether `role` may be a role: `*`, or a bounded number of levels joined by `/`.
pub fn check_role(role: &str) -> Result<(), BadRole> {
    let owned = || role.to_owned();
    if role == "*" {
        return Ok(());
    }
    if role.is_empty() {
        return Err(BadRole::Empty);
    }
    if role.len() > MAX_ROLE {
        return Err(BadRole::TooLong {
            start: role.chars().take(32).collect(),
            length: role.len(),
        });
    }
    if role.starts_with('-') {
        return Err(BadRole::Dash { role: owned() });
    }
    if let Some(forbidden) = role.chars().find(|c| c.is_whitespace() || c.is_control()) {
        return Err(BadRole::Character {
            role: owned(),
            forbidden,
        });
    }
    let levels = role.split('/').count();
    if levels > MAX_ROLE_LEVELS {
        return Err(BadRole::TooDeep {
            role: owned(),
            levels,
        });
    }
    for level in role.split('/') {
        match level {
            "" => return Err(BadRole::EmptyLevel { role: owned() }),
            "." | ".." => {
                return Err(BadRole::Dots {
                    role: owned(),
                    level: level.to_owned(),
                });
            }
            "*" => return Err(BadRole::Star { role: owned() }),
            _ => {}
        }
    }
    Ok(())
}

/// Whether `role` lies strictly below `ancestor`, as `eng/web` lies below `eng`.
#[must_use]
pub fn is_strict_subrole(role: &str, ancestor: &str) -> bool {
    role.strip_prefix(ancestor)
        .is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_ids_are_fine() {
        for id in [
            "t1",
            "web.1",
            "a b",
            "7c0f-S0",
            "...",
            "ünï",
            &"x".repeat(255),
        ] {
            assert_eq!(check(id), Ok(()), "{id}");
        }
    }

    #[test]
    fn ids_that_would_move_in_a_path_are_refused() {
        for id in [
            "",
            ".",
            "..",
            "a/b",
            "a\\b",
            "a\0b",
            "a\nb",
            "\u{85}",
            &"x".repeat(256),
        ] {
            assert!(check(id).is_err(), "{id:?}");
        }
    }

    #[test]
    fn container_ids_are_stricter() {
        assert_eq!(check_container("5d0c-77"), Ok(()));
        for id in ["", "a.b", "a b", ".", "a/b", &"x".repeat(243)] {
            assert!(check_container(id).is_err(), "{id:?}");
        }
    }

    #[test]
    fn a_bad_id_is_named_with_the_place_of_the_fault() {
        assert_eq!(
            check("web/1").map_err(|e| e.to_string()),
            Err("\"web/1\" cannot be an id: '/' at byte 3 is not allowed in one".to_owned())
        );
    }

    #[test]
    fn roles_are_levels_joined_by_slashes() {
        for role in ["*", "eng", "eng/web", "a-b", "a*b"] {
            assert_eq!(check_role(role), Ok(()), "{role}");
        }
        for role in [
            "", "-x", "/a", "a/", "a//b", "a/./b", "..", "a b", "a\u{8}", "a/*",
        ] {
            assert!(check_role(role).is_err(), "{role:?}");
        }
    }

    #[test]
    fn a_role_is_bounded_in_bytes_and_in_levels() {
        let levels = |n| vec!["a"; n].join("/");
        for role in ["x".repeat(255), levels(16)] {
            assert_eq!(check_role(&role), Ok(()), "{role}");
        }
        let told = |role: &str| check_role(role).map_err(|error| error.to_string());
        assert_eq!(
            told(&levels(17)),
            Err(format!(
                "role {:?} has 17 levels, 16 are allowed: leave some out",
                levels(17)
            ))
        );
        assert_eq!(
            told(&levels(40_000)),
            Err(format!(
                "a role may have at most 255 bytes, this one has 79999: {:?}…",
                "a/".repeat(16)
            ))
        );
    }

    #[test]
    fn a_subrole_lies_below_at_a_slash() {
        assert!(is_strict_subrole("eng/web", "eng"));
        assert!(!is_strict_subrole("eng", "eng"));
        assert!(!is_strict_subrole("engine", "eng"));
    }
}
