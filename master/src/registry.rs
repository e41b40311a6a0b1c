//! The registry: which agents belong to the cluster, and which were lost.
//!
//! Only this is kept over a restart of the master. Tasks and frameworks come back by themselves:
//! agents report the ones, schedulers the others.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use prost::Message as _;
use proto::v1;
use redb::{Database, ReadableTable as _, TableDefinition};

use crate::cluster::{AgentId, Registered, Write};
use crate::flags::RegistryKind;

/// Agent id to `AgentInfo` as protobuf.
const ADMITTED: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("admitted_agents");
/// Agent id to the time it became unreachable, in seconds since 1970.
const UNREACHABLE: TableDefinition<'_, &str, f64> = TableDefinition::new("unreachable_agents");

/// The pages redb keeps in memory. The registry is small, so the default of 1 GiB is far off.
const CACHE_BYTES: usize = 4 << 20;

#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error("cannot create the directory {0} for the registry: choose another --work_dir")]
    Directory(PathBuf, #[source] std::io::Error),
    #[error("another master uses the registry {0}: stop that one, or choose another --work_dir")]
    InUse(PathBuf),
    /// Without a source if redb gave up in a panic.
    #[error("the registry {0} is damaged: put back a copy of it, or remove it to start anew")]
    Damaged(PathBuf, #[source] Option<Box<redb::Error>>),
    #[error("cannot open or read the registry {0}: may this user read and write it?")]
    Read(PathBuf, #[source] Box<redb::Error>),
    #[error("cannot write the registry {0}: is its disk full or read-only?")]
    Write(PathBuf, #[source] Box<redb::Error>),
    #[error(
        "the registry {file} holds the agent {id:?}, which cannot be read; remove the file to start anew"
    )]
    Entry { file: PathBuf, id: String },
}

/// Where the registry is kept.
pub enum Registry {
    InMemory,
    File { path: PathBuf, database: Database },
}

impl Registry {
    /// The registry of this kind, and what it holds.
    pub async fn recover(
        kind: RegistryKind,
        directory: &Path,
    ) -> Result<(Self, Registered), RegistryError> {
        let path = Self::path(directory);
        let directory = directory.to_owned();
        let recovering = tokio::task::spawn_blocking(move || {
            let registry = match kind {
                RegistryKind::Redb => Self::open(&directory)?,
                RegistryKind::InMemory => Self::InMemory,
            };
            let registered = registry.read()?;
            Ok((registry, registered))
        });
        // Of a file that was cut off, redb does not say so: it panics.
        let damaged = |_panicked| RegistryError::Damaged(path, None);
        recovering.await.map_err(damaged)?
    }

    fn path(directory: &Path) -> PathBuf {
        directory.join("registry.redb")
    }

    fn open(directory: &Path) -> Result<Self, RegistryError> {
        std::fs::create_dir_all(directory)
            .map_err(|source| RegistryError::Directory(directory.to_owned(), source))?;
        let path = Self::path(directory);
        let opened = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create(&path);
        match opened {
            Ok(database) => Ok(Self::File { path, database }),
            Err(redb::DatabaseError::DatabaseAlreadyOpen) => Err(RegistryError::InUse(path)),
            Err(source) => Err(unreadable(path, source.into())),
        }
    }

    fn read(&self) -> Result<Registered, RegistryError> {
        let Self::File { path, database } = self else {
            return Ok(Registered::default());
        };
        let failed = |source| unreadable(path.clone(), source);
        // Opening for writing creates tables that are not there yet.
        let rows = || -> Result<(Vec<_>, Vec<_>), redb::Error> {
            let transaction = database.begin_write()?;
            let rows = {
                let admitted = transaction.open_table(ADMITTED)?;
                let unreachable = transaction.open_table(UNREACHABLE)?;
                let mut agents = Vec::new();
                for row in admitted.iter()? {
                    let (id, info) = row?;
                    agents.push((id.value().to_owned(), info.value().to_owned()));
                }
                let mut lost = Vec::new();
                for row in unreachable.iter()? {
                    let (id, since) = row?;
                    lost.push((id.value().to_owned(), since.value()));
                }
                (agents, lost)
            };
            transaction.commit()?;
            Ok(rows)
        };
        let (agents, lost) = rows().map_err(failed)?;
        let bad = |id: &str| RegistryError::Entry {
            file: path.clone(),
            id: id.to_owned(),
        };
        let parse = |id: &str| {
            let wire = v1::AgentId {
                value: id.to_owned(),
            };
            AgentId::try_from(&wire).ok().ok_or_else(|| bad(id))
        };
        let mut registered = Registered::default();
        for (id, info) in agents {
            let info: v1::AgentInfo = proto::wire::decode(&info).ok().ok_or_else(|| bad(&id))?;
            registered.admitted.insert(parse(&id)?, info);
        }
        for (id, since) in lost {
            registered.unreachable.insert(parse(&id)?, since);
        }
        Ok(registered)
    }

    /// Durable when it returns, all or nothing.
    pub fn write(&self, writes: &[Write]) -> Result<(), RegistryError> {
        let Self::File { path, database } = self else {
            return Ok(());
        };
        let apply = || -> Result<(), redb::Error> {
            let transaction = database.begin_write()?;
            {
                let mut admitted = transaction.open_table(ADMITTED)?;
                let mut unreachable = transaction.open_table(UNREACHABLE)?;
                for write in writes {
                    match write {
                        Write::Admit { id, info } => {
                            admitted.insert(id.as_str(), info.encode_to_vec().as_slice())?;
                            unreachable.remove(id.as_str())?;
                        }
                        Write::Unreachable { id, since } => {
                            admitted.remove(id.as_str())?;
                            unreachable.insert(id.as_str(), since)?;
                        }
                        Write::Remove { id } => {
                            admitted.remove(id.as_str())?;
                            unreachable.remove(id.as_str())?;
                        }
                    }
                }
            }
            transaction.commit()?;
            Ok(())
        };
        apply().map_err(|source| RegistryError::Write(path.clone(), Box::new(source)))
    }
}

/// Tells a file that could be read but not understood from one that is out of reach.
fn unreadable(path: PathBuf, error: redb::Error) -> RegistryError {
    let is_damage = match &error {
        redb::Error::Io(error) => matches!(
            error.kind(),
            ErrorKind::InvalidData | ErrorKind::UnexpectedEof
        ),
        _ => true,
    };
    match is_damage {
        true => RegistryError::Damaged(path, Some(Box::new(error))),
        false => RegistryError::Read(path, Box::new(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u64) -> AgentId {
        AgentId::assigned("m", n)
    }

    fn info(hostname: &str) -> v1::AgentInfo {
        v1::AgentInfo {
            hostname: hostname.to_owned(),
            ..v1::AgentInfo::default()
        }
    }

    #[test]
    fn what_is_written_is_there_after_opening_again() {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::open(dir.path()).unwrap();
        assert_eq!(registry.read().unwrap(), Registered::default());
        registry
            .write(&[
                Write::Admit {
                    id: id(0),
                    info: info("a"),
                },
                Write::Admit {
                    id: id(1),
                    info: info("b"),
                },
                Write::Admit {
                    id: id(2),
                    info: info("c"),
                },
                Write::Unreachable {
                    id: id(1),
                    since: 12.5,
                },
                Write::Remove { id: id(2) },
            ])
            .unwrap();
        drop(registry);
        let registered = Registry::open(dir.path()).unwrap().read().unwrap();
        assert_eq!(registered.admitted, [(id(0), info("a"))].into());
        assert_eq!(registered.unreachable, [(id(1), 12.5)].into());
    }

    #[test]
    fn an_agent_that_is_admitted_again_is_reachable() {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::open(dir.path()).unwrap();
        registry
            .write(&[Write::Unreachable {
                id: id(0),
                since: 1.0,
            }])
            .unwrap();
        registry
            .write(&[Write::Admit {
                id: id(0),
                info: info("a"),
            }])
            .unwrap();
        assert!(registry.read().unwrap().unreachable.is_empty());
    }

    async fn failure(directory: &Path) -> String {
        let recovered = Registry::recover(RegistryKind::Redb, directory).await;
        recovered.err().unwrap().to_string()
    }

    #[tokio::test]
    async fn a_damaged_registry_is_not_taken_for_one_in_use() {
        let dir = tempfile::tempdir().unwrap();
        drop(Registry::open(dir.path()).unwrap());
        let path = Registry::path(dir.path());
        let whole = std::fs::read(&path).unwrap();
        for (what, bad) in [
            ("cut off in the middle", &whole[..whole.len() / 2]),
            ("cut off in its header", &whole[..100]),
            ("overwritten", b"no database at all"),
        ] {
            std::fs::write(&path, bad).unwrap();
            let told = failure(dir.path()).await;
            let remedy = "is damaged: put back a copy of it, or remove it to start anew";
            assert!(told.ends_with(remedy), "{what}: {told}");
        }
    }

    #[tokio::test]
    async fn a_registry_in_use_or_out_of_reach_is_told_with_its_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let first = Registry::open(dir.path()).unwrap();
        let told = failure(dir.path()).await;
        assert!(told.ends_with("choose another --work_dir"), "{told}");
        drop(first);
        let path = Registry::path(dir.path());
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        let told = failure(dir.path()).await;
        assert!(told.ends_with("may this user read and write it?"), "{told}");
    }
}
