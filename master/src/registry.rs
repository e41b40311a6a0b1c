//! The registry: which agents belong to the cluster, and which were lost.
//!
//! Only this is kept over a restart of the master. Tasks and frameworks come back by themselves:
//! agents report the ones, schedulers the others.

use std::path::{Path, PathBuf};

use prost::Message as _;
use proto::v1;
use redb::{Database, ReadableTable as _, TableDefinition};

use crate::cluster::{AgentId, Registered, Write};

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
    #[error("cannot open the registry {0}: is another master using this --work_dir?")]
    Open(PathBuf, #[source] Box<redb::Error>),
    #[error("cannot read the registry {0}: if it is damaged, remove it to start anew")]
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
    pub fn open(directory: &Path) -> Result<Self, RegistryError> {
        std::fs::create_dir_all(directory)
            .map_err(|source| RegistryError::Directory(directory.to_owned(), source))?;
        let path = directory.join("registry.redb");
        let opened = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create(&path);
        let database =
            opened.map_err(|source| RegistryError::Open(path.clone(), Box::new(source.into())))?;
        Ok(Self::File { path, database })
    }

    pub fn read(&self) -> Result<Registered, RegistryError> {
        let Self::File { path, database } = self else {
            return Ok(Registered::default());
        };
        let failed = |source| RegistryError::Read(path.clone(), Box::new(source));
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

    #[test]
    fn a_registry_in_use_names_the_flag_to_change() {
        let dir = tempfile::tempdir().unwrap();
        let _first = Registry::open(dir.path()).unwrap();
        let error = Registry::open(dir.path()).err().unwrap().to_string();
        assert!(error.contains("--work_dir"), "{error}");
    }
}
