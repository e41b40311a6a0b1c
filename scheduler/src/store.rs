//! What survives the process, in one redb file: values as the same JSON that users see.
//!
//! ```text
//! facts        "framework_id"    -> text
//! apps         app id            -> its current version
//! versions     (app id, version) -> every version that is kept
//! groups       group id          -> group
//! changes      version           -> what a change did, as long as it is kept
//! backoffs     app id            -> back-off
//! failures     app id            -> its last failure
//! deployments  deployment id     -> deployment
//! instances    instance id       -> instance
//! ```

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::app::AppId;
use crate::engine::{Snapshot, Write};
use crate::root::{Revision, Root};

type Table = TableDefinition<'static, &'static str, &'static [u8]>;

const FACTS: Table = TableDefinition::new("facts");
const APPS: Table = TableDefinition::new("apps");
const VERSIONS: TableDefinition<'static, (&str, &str), &[u8]> = TableDefinition::new("versions");
const GROUPS: Table = TableDefinition::new("groups");
const DEPLOYMENTS: Table = TableDefinition::new("deployments");
const INSTANCES: Table = TableDefinition::new("instances");
const CHANGES: Table = TableDefinition::new("changes");
const BACKOFFS: Table = TableDefinition::new("backoffs");
const FAILURES: Table = TableDefinition::new("failures");

const ALL: &[Table] = &[
    FACTS,
    APPS,
    GROUPS,
    DEPLOYMENTS,
    INSTANCES,
    CHANGES,
    BACKOFFS,
    FAILURES,
];

const FRAMEWORK_ID: &str = "framework_id";

/// In bytes. Everything is read once, at start: more would only keep memory from others.
const CACHE: usize = 4 << 20;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot create directory {path} (--work_dir says where it shall be)")]
    Directory {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(
        "another scheduler uses the store {path} (stop that one, or choose another --work_dir)"
    )]
    InUse { path: PathBuf },
    /// Without a source if redb gave up in a panic.
    #[error(
        "the scheduler's store {path} is damaged (put back a copy of it, or move it away to begin \
         without apps)"
    )]
    Damaged {
        path: PathBuf,
        source: Option<Box<redb::Error>>,
    },
    #[error("cannot open the scheduler's store {path} (may this user read and write it?)")]
    Open {
        path: PathBuf,
        source: Box<redb::Error>,
    },
    #[error("cannot read the scheduler's store {path}")]
    Read {
        path: PathBuf,
        source: Box<redb::Error>,
    },
    #[error("cannot write to the scheduler's store {path} (is its file system full?)")]
    Write {
        path: PathBuf,
        source: Box<redb::Error>,
    },
    #[error(
        "cannot read entry {key:?} of table {table:?} in {path} (start the version that wrote it, \
         or move the file away to begin without apps)"
    )]
    Entry {
        path: PathBuf,
        table: String,
        key: String,
        source: serde_json::Error,
    },
}

pub struct Store {
    database: Database,
    path: PathBuf,
}

impl Store {
    /// Opens or creates the store in `directory`, and reads all of it.
    pub async fn recover(directory: &Path) -> Result<(Self, Snapshot), StoreError> {
        let path = Self::path(directory);
        let directory = directory.to_owned();
        let recovering = tokio::task::spawn_blocking(move || {
            let store = Self::open(&directory)?;
            let snapshot = store.load()?;
            Ok((store, snapshot))
        });
        // Of a file that was cut off, redb does not say so: it panics.
        let damaged = |_panicked| StoreError::Damaged { path, source: None };
        recovering.await.map_err(damaged)?
    }

    fn path(directory: &Path) -> PathBuf {
        directory.join("scheduler.redb")
    }

    /// Opens or creates `scheduler.redb` in `directory`.
    fn open(directory: &Path) -> Result<Self, StoreError> {
        std::fs::create_dir_all(directory).map_err(|source| StoreError::Directory {
            path: directory.to_owned(),
            source,
        })?;
        let path = Self::path(directory);
        let database = Database::builder().set_cache_size(CACHE).create(&path);
        Self::prepare(database, path)
    }

    /// Kept in `backend` instead of a file.
    #[cfg(test)]
    pub fn on(backend: impl redb::StorageBackend) -> Result<Self, StoreError> {
        let database = Database::builder().create_with_backend(backend);
        Self::prepare(database, PathBuf::from("backend of a test"))
    }

    fn prepare(
        database: Result<Database, redb::DatabaseError>,
        path: PathBuf,
    ) -> Result<Self, StoreError> {
        let prepare = || -> Result<Database, redb::Error> {
            let database = database?;
            let write = database.begin_write()?;
            for table in ALL {
                write.open_table(*table)?;
            }
            write.open_table(VERSIONS)?;
            write.commit()?;
            Ok(database)
        };
        match prepare() {
            Ok(database) => Ok(Self { database, path }),
            Err(redb::Error::DatabaseAlreadyOpen) => Err(StoreError::InUse { path }),
            Err(source) if is_damage(&source) => Err(damaged(path, source)),
            Err(source) => Err(StoreError::Open {
                path,
                source: Box::new(source),
            }),
        }
    }

    /// Forgotten with the process.
    #[cfg(test)]
    pub fn in_memory() -> Self {
        let backend = redb::backends::InMemoryBackend::new();
        let database = Database::builder().create_with_backend(backend);
        Self::prepare(database, PathBuf::from("memory")).unwrap()
    }

    pub fn load(&self) -> Result<Snapshot, StoreError> {
        let apps: Vec<Arc<Revision>> = self.values(APPS)?;
        let mut snapshot = Snapshot {
            framework_id: self.values_by_key(FACTS)?.remove(FRAMEWORK_ID),
            root: Root {
                apps: apps.into_iter().map(|r| (r.app.id.clone(), r)).collect(),
                groups: self.values_by_id(GROUPS)?,
            },
            deployments: self.values(DEPLOYMENTS)?,
            instances: self.values(INSTANCES)?,
            // Keys are ordered, and later versions are greater as text too.
            changes: self.values(CHANGES)?.into(),
            backoffs: self.values_by_id(BACKOFFS)?,
            failures: self.values_by_id(FAILURES)?,
            history: BTreeMap::new(),
        };
        for revision in self.versions()? {
            let history = snapshot.history.entry(revision.app.id.clone()).or_default();
            history.push_back(revision);
        }
        Ok(snapshot)
    }

    /// All of `writes` or none.
    pub fn apply(&self, writes: &[Write]) -> Result<(), StoreError> {
        let apply = || -> Result<(), redb::Error> {
            let transaction = self.database.begin_write()?;
            for write in writes {
                apply_one(&transaction, write)?;
            }
            transaction.commit()?;
            Ok(())
        };
        apply().map_err(|source| StoreError::Write {
            path: self.path.clone(),
            source: Box::new(source),
        })
    }

    fn values<T: DeserializeOwned>(&self, table: Table) -> Result<Vec<T>, StoreError> {
        Ok(self.values_by_key(table)?.into_values().collect())
    }

    fn values_by_id<T: DeserializeOwned>(
        &self,
        table: Table,
    ) -> Result<BTreeMap<AppId, T>, StoreError> {
        let values = self.values_by_key(table)?;
        let by_id = |(key, value): (String, T)| match key.parse() {
            Ok(id) => Ok((id, value)),
            Err(bad) => Err(StoreError::Entry {
                path: self.path.clone(),
                table: redb::TableHandle::name(&table).to_owned(),
                key,
                source: serde::de::Error::custom::<crate::app::BadAppId>(bad),
            }),
        };
        values.into_iter().map(by_id).collect()
    }

    fn values_by_key<T: DeserializeOwned>(
        &self,
        table: Table,
    ) -> Result<BTreeMap<String, T>, StoreError> {
        let read = || -> Result<Vec<(String, Vec<u8>)>, redb::Error> {
            let table = self.database.begin_read()?.open_table(table)?;
            table
                .iter()?
                .map(|entry| {
                    let (key, value) = entry?;
                    Ok((key.value().to_owned(), value.value().to_vec()))
                })
                .collect()
        };
        let entries = read().map_err(|source| self.unreadable(source))?;
        let name = redb::TableHandle::name(&table);
        entries
            .into_iter()
            .map(|(key, value)| Ok((key.clone(), self.value(name, key, &value)?)))
            .collect()
    }

    fn versions(&self) -> Result<Vec<Arc<Revision>>, StoreError> {
        let read = || -> Result<Vec<(String, Vec<u8>)>, redb::Error> {
            let table = self.database.begin_read()?.open_table(VERSIONS)?;
            table
                .iter()?
                .map(|entry| {
                    let (key, value) = entry?;
                    let (app, version) = key.value();
                    Ok((format!("{app} {version}"), value.value().to_vec()))
                })
                .collect()
        };
        let entries = read().map_err(|source| self.unreadable(source))?;
        entries
            .into_iter()
            .map(|(key, value)| self.value("versions", key, &value))
            .collect()
    }

    fn value<T: DeserializeOwned>(
        &self,
        table: &str,
        key: String,
        value: &[u8],
    ) -> Result<T, StoreError> {
        serde_json::from_slice(value).map_err(|source| StoreError::Entry {
            path: self.path.clone(),
            table: table.to_owned(),
            key,
            source,
        })
    }

    fn unreadable(&self, source: redb::Error) -> StoreError {
        let path = self.path.clone();
        match is_damage(&source) {
            true => damaged(path, source),
            false => StoreError::Read {
                path,
                source: Box::new(source),
            },
        }
    }
}

/// Whether the file could be read, but not understood.
fn is_damage(error: &redb::Error) -> bool {
    match error {
        redb::Error::Io(error) => matches!(
            error.kind(),
            ErrorKind::InvalidData | ErrorKind::UnexpectedEof
        ),
        _ => true,
    }
}

fn damaged(path: PathBuf, source: redb::Error) -> StoreError {
    StoreError::Damaged {
        path,
        source: Some(Box::new(source)),
    }
}

fn apply_one(transaction: &redb::WriteTransaction, write: &Write) -> Result<(), redb::Error> {
    match write {
        Write::FrameworkId(Some(id)) => put(transaction, FACTS, FRAMEWORK_ID, id),
        Write::FrameworkId(None) => forget(transaction, FACTS, FRAMEWORK_ID),
        Write::App(revision) => {
            let id = revision.app.id.as_str();
            put(transaction, APPS, id, revision)?;
            let version = revision.version.to_string();
            let value = json(revision)?;
            transaction
                .open_table(VERSIONS)?
                .insert((id, version.as_str()), value.as_slice())?;
            Ok(())
        }
        Write::ForgetApp(id) => {
            forget(transaction, APPS, id.as_str())?;
            let of_app = (id.as_str(), "")..=(id.as_str(), "\u{7f}");
            transaction
                .open_table(VERSIONS)?
                .retain_in(of_app, |_, _| false)?;
            Ok(())
        }
        Write::ForgetVersion(id, version) => {
            let version = version.to_string();
            transaction
                .open_table(VERSIONS)?
                .remove((id.as_str(), version.as_str()))?;
            Ok(())
        }
        Write::Group(id, group) => put(transaction, GROUPS, id.as_str(), group),
        Write::ForgetGroup(id) => forget(transaction, GROUPS, id.as_str()),
        Write::Change(change) => put(transaction, CHANGES, &change.version.to_string(), change),
        Write::ForgetChange(version) => forget(transaction, CHANGES, &version.to_string()),
        Write::Backoff(id, Some(backoff)) => put(transaction, BACKOFFS, id.as_str(), backoff),
        Write::Backoff(id, None) => forget(transaction, BACKOFFS, id.as_str()),
        Write::Failure(id, Some(failure)) => put(transaction, FAILURES, id.as_str(), failure),
        Write::Failure(id, None) => forget(transaction, FAILURES, id.as_str()),
        Write::Deployment(deployment) => put(
            transaction,
            DEPLOYMENTS,
            &deployment.id.to_string(),
            deployment,
        ),
        Write::ForgetDeployment(id) => forget(transaction, DEPLOYMENTS, &id.to_string()),
        Write::Instance(instance) => put(transaction, INSTANCES, instance.id.as_str(), instance),
        Write::ForgetInstance(id) => forget(transaction, INSTANCES, id.as_str()),
    }
}

fn put(
    transaction: &redb::WriteTransaction,
    table: Table,
    key: &str,
    value: &impl Serialize,
) -> Result<(), redb::Error> {
    transaction
        .open_table(table)?
        .insert(key, json(value)?.as_slice())?;
    Ok(())
}

fn forget(
    transaction: &redb::WriteTransaction,
    table: Table,
    key: &str,
) -> Result<(), redb::Error> {
    transaction.open_table(table)?.remove(key)?;
    Ok(())
}

/// Our own types always have a JSON form; were one ever not to, nothing may be written.
fn json(value: &impl Serialize) -> Result<Vec<u8>, redb::Error> {
    serde_json::to_vec(value).map_err(|e| redb::Error::Io(e.into()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::app::{App, Timestamp};

    fn revision(path: &str, second: i64) -> Arc<Revision> {
        let app = App::create(&json!({"id": path, "cmd": "true"})).unwrap();
        Arc::new(Revision::first(
            app,
            Timestamp::from_millis(1_700_000_000_000 + second * 1000),
        ))
    }

    fn id(text: &str) -> AppId {
        text.parse().unwrap()
    }

    #[test]
    fn what_was_written_is_there_after_reopening() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let (old, new) = (revision("/a", 1), revision("/a", 2));
        let writes = [
            Write::FrameworkId(Some("f-0000".into())),
            Write::App(old.clone()),
            Write::App(new.clone()),
            Write::App(revision("/a/b", 3)),
        ];
        store.apply(&writes).unwrap();
        drop(store);
        let snapshot = Store::open(directory.path()).unwrap().load().unwrap();
        assert_eq!(snapshot.framework_id.as_deref(), Some("f-0000"));
        assert_eq!(snapshot.root.apps[&id("/a")], new);
        assert_eq!(snapshot.history[&id("/a")], [old, new]);
        assert_eq!(snapshot.root.apps.len(), 2);
    }

    #[test]
    fn a_forgotten_app_takes_its_versions_along_and_no_others() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let writes = ["/a", "/a/b", "/ab"].map(|path| Write::App(revision(path, 1)));
        store.apply(&writes).unwrap();
        store.apply(&[Write::ForgetApp(id("/a"))]).unwrap();
        let snapshot = store.load().unwrap();
        let left: Vec<_> = snapshot.history.keys().map(AppId::as_str).collect();
        assert_eq!(left, ["/a/b", "/ab"]);
        assert_eq!(snapshot.root.apps.len(), 2);
    }

    async fn failure(directory: &Path) -> String {
        let recovered = Store::recover(directory).await;
        proto::error::chain(&recovered.err().unwrap())
    }

    #[tokio::test]
    async fn a_damaged_store_is_not_taken_for_one_in_use() {
        let directory = tempfile::tempdir().unwrap();
        drop(Store::open(directory.path()).unwrap());
        let path = Store::path(directory.path());
        let whole = std::fs::read(&path).unwrap();
        for (what, bad) in [
            ("cut off in the middle", &whole[..whole.len() / 2]),
            ("cut off in its header", &whole[..100]),
            ("overwritten", b"no database at all"),
        ] {
            std::fs::write(&path, bad).unwrap();
            let told = failure(directory.path()).await;
            let remedy = "is damaged (put back a copy of it, or move it away";
            assert!(told.contains(remedy), "{what}: {told}");
        }
    }

    #[tokio::test]
    async fn a_store_in_use_or_out_of_reach_is_told_with_its_remedy() {
        let directory = tempfile::tempdir().unwrap();
        let first = Store::open(directory.path()).unwrap();
        let told = failure(directory.path()).await;
        assert!(told.ends_with("choose another --work_dir)"), "{told}");
        drop(first);
        let path = Store::path(directory.path());
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        let told = failure(directory.path()).await;
        assert!(told.contains("may this user read and write it?"), "{told}");
    }
}
