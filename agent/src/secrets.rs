//! Secrets of tasks: what stands behind their names, and the files in which containers find them.
//!
//! A task brings a secret itself, or names one that the operator keeps. Names are looked up when the task is
//! launched, and what they stand for is in nothing that is written down or told: a plan has it until the
//! container has it.

mod files;

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use proto::v1;
use proto::v1::secret::Reference;

pub use files::{SecretFileError, SecretFiles};

/// Bytes of the longest one.
const MOST: usize = 1 << 20;

#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error(
        "secret {0:?} is asked for, and this agent has none: give it a directory of them (--secrets_dir)"
    )]
    NoneHere(String),
    #[error("cannot read secret {name:?} in {directory}, this agent's --secrets_dir")]
    Unread {
        name: String,
        directory: PathBuf,
        source: io::Error,
    },
    #[error(
        "secret {name:?} in {directory} is longer than {MOST} bytes, which is the most that one may have"
    )]
    TooLong { name: String, directory: PathBuf },
}

/// Bytes that are told to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden(pub Vec<u8>);

impl Hidden {
    /// `None` of a volume whose secret's value is not known.
    pub fn of(source: &v1::volume::Source) -> Option<Hidden> {
        let value = source.secret.as_ref()?.value.as_ref()?;
        Some(Hidden(value.data.clone()))
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<hidden>")
    }
}

/// What the operator keeps: files in a directory.
#[derive(Debug, Clone, Default)]
pub struct Secrets {
    directory: Option<PathBuf>,
}

impl Secrets {
    pub fn new(directory: Option<PathBuf>) -> Secrets {
        Secrets { directory }
    }

    /// Every byte of the file. Blocks for a moment.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, SecretError> {
        let Some(directory) = &self.directory else {
            return Err(SecretError::NoneHere(name.to_owned()));
        };
        let found = read(directory, name).map_err(|source| SecretError::Unread {
            name: name.to_owned(),
            directory: directory.clone(),
            source,
        })?;
        match found.len() > MOST {
            true => Err(SecretError::TooLong {
                name: name.to_owned(),
                directory: directory.clone(),
            }),
            false => Ok(found),
        }
    }
}

/// One byte more than there may be, at most. What the name leads to outside of the directory is no secret of it.
fn read(directory: &Path, name: &str) -> io::Result<Vec<u8>> {
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_BENEATH);
    let opened = File::open(directory)?;
    let file = openat2(&opened, name.trim_start_matches('/'), how)?;
    let mut data = Vec::new();
    let most = MOST as u64 + 1;
    File::from(file).take(most).read_to_end(&mut data)?;
    Ok(data)
}

/// A key is a file in the directory that the name is of.
pub fn name(reference: &Reference) -> String {
    match &reference.key {
        Some(key) => format!("{}/{key}", reference.name),
        None => reference.name.clone(),
    }
}

/// The task with its environment's and its volumes' secrets where it has their names; `read` tells them.
pub fn revealed<E>(
    task: &v1::TaskInfo,
    read: impl Fn(&str) -> Result<Vec<u8>, E>,
) -> Result<Cow<'_, v1::TaskInfo>, E> {
    let (mut found, mut names_any) = (task.clone(), false);
    for secret in named(&mut found) {
        let name = secret.reference.take().as_ref().map(name);
        let data = read(&name.unwrap_or_default())?;
        secret.set_type(v1::secret::Type::Value);
        secret.value = Some(v1::secret::Value { data });
        names_any = true;
    }
    Ok(match names_any {
        true => Cow::Owned(found),
        false => Cow::Borrowed(task),
    })
}

/// Those that a task has the names of only.
fn named(task: &mut v1::TaskInfo) -> Vec<&mut v1::Secret> {
    let command = task.command.as_mut();
    let environment = command.and_then(|command| command.environment.as_mut());
    let variables = environment.into_iter().flat_map(|it| &mut it.variables);
    let volumes = task.container.iter_mut().flat_map(|it| &mut it.volumes);
    let sources = volumes.filter_map(|volume| volume.source.as_mut());
    let all = variables
        .filter_map(|variable| variable.secret.as_mut())
        .chain(sources.filter_map(|source| source.secret.as_mut()));
    all.filter(|secret| secret.value.is_none() && secret.reference.is_some())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn a_secret_is_a_file_of_its_directory_and_of_no_other() {
        let place = tempfile::tempdir().unwrap();
        let directory = place.path().join("secrets");
        std::fs::create_dir_all(directory.join("team")).unwrap();
        std::fs::write(directory.join("team/registry"), "geheim\n").unwrap();
        std::fs::write(place.path().join("outside"), "x").unwrap();
        std::os::unix::fs::symlink("../outside", directory.join("link")).unwrap();
        let secrets = Secrets::new(Some(directory));
        for name in ["team/registry", "/team/registry"] {
            assert_eq!(secrets.read(name).unwrap(), b"geheim\n");
        }
        for name in ["", "none", "../outside", "link", "/../outside", "team"] {
            let found = secrets.read(name);
            assert!(matches!(found, Err(SecretError::Unread { .. })), "{name}");
        }
        let refused = Secrets::default().read("a").unwrap_err().to_string();
        assert!(refused.contains("--secrets_dir"), "{refused}");
    }

    #[test]
    fn one_that_is_too_long_is_refused_and_not_cut() {
        let directory = tempfile::tempdir().unwrap();
        let secrets = Secrets::new(Some(directory.path().to_owned()));
        std::fs::write(directory.path().join("most"), vec![b'x'; MOST]).unwrap();
        std::fs::write(directory.path().join("more"), vec![b'x'; MOST + 1]).unwrap();
        assert_eq!(secrets.read("most").unwrap().len(), MOST);
        let refused = secrets.read("more");
        assert!(matches!(refused, Err(SecretError::TooLong { .. })));
    }

    fn reference(name: &str, key: Option<&str>) -> Option<v1::Secret> {
        Some(v1::Secret {
            r#type: Some(v1::secret::Type::Reference.into()),
            reference: Some(Reference {
                name: name.into(),
                key: key.map(str::to_owned),
            }),
            value: None,
        })
    }

    fn task(of_variable: Option<v1::Secret>, of_volume: Option<v1::Secret>) -> v1::TaskInfo {
        v1::TaskInfo {
            command: Some(v1::CommandInfo {
                environment: Some(v1::Environment {
                    variables: vec![v1::environment::Variable {
                        name: "A".into(),
                        secret: of_variable,
                        ..Default::default()
                    }],
                }),
                ..Default::default()
            }),
            container: Some(v1::ContainerInfo {
                volumes: vec![v1::Volume {
                    source: Some(v1::volume::Source {
                        secret: of_volume,
                        ..Default::default()
                    }),
                    ..Default::default()
                }],
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    #[test]
    fn names_give_way_to_what_they_stand_for() {
        let asked = task(reference("db", None), reference("tls", Some("key")));
        let read = |name: &str| Ok::<_, Infallible>(format!("of {name}").into_bytes());
        let Ok(found) = revealed(&asked, read);
        let value = |text: &str| {
            Some(v1::Secret {
                r#type: Some(v1::secret::Type::Value.into()),
                reference: None,
                value: Some(v1::secret::Value {
                    data: text.as_bytes().to_vec(),
                }),
            })
        };
        assert_eq!(*found, task(value("of db"), value("of tls/key")));
        // What is brought is not looked up.
        let refuse = |name: &str| Err(name.to_owned());
        assert!(matches!(revealed(&found, refuse), Ok(Cow::Borrowed(_))));
        assert_eq!(revealed(&asked, refuse), Err("db".to_owned()));
    }

    #[test]
    fn no_message_tells_a_hidden_value() {
        assert_eq!(format!("{:?}", Hidden(b"geheim".to_vec())), "<hidden>");
    }
}
