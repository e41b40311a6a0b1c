//! The work itself: several downloads at a time, and in the order of the URIs what becomes of them.

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use serde_json::json;
use tokio::sync::mpsc;

use crate::archive::{ArchiveError, Limits, decompress, unpack};
use crate::beneath::{Beneath, Staging, WriteError};
use crate::budget::Budget;
use crate::download::{DownloadError, Http, Sink, download};
use crate::log::Log;
use crate::plan::{Item, Refused, Then, plan};
use crate::redact::redacted;
use crate::{Policy, Request, Uri};

/// Downloads at a time.
const PARALLEL: usize = 4;

#[derive(Debug, thiserror::Error)]
pub enum FetchingError {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error(transparent)]
    Staging(WriteError),
    #[error("failed to fetch '{uri}'")]
    Item { uri: String, source: ItemError },
}

#[derive(Debug, thiserror::Error)]
pub enum ItemError {
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error(transparent)]
    Download(#[from] DownloadError),
    #[error("cannot set the mode of the file")]
    Mode(#[source] io::Error),
    #[error("cannot unpack it")]
    Unpack(#[from] ArchiveError),
    #[error("it was interrupted")]
    Interrupted(#[from] tokio::task::JoinError),
}

/// One request under way.
pub struct Fetching {
    pub sandbox: Arc<Beneath>,
    pub http: Http,
    pub limits: Limits,
    pub budget: Budget,
    pub log: Log,
}

impl Fetching {
    pub async fn all(&self, request: &Request, policy: &Policy) -> Result<(), FetchingError> {
        self.log.line(&format!("Fetcher Info: {}", info(request)));
        let items = plan(request, policy)?;
        let staging = Staging::make(&self.sandbox).map_err(FetchingError::Staging)?;
        let staging = Arc::new(staging);
        let (tell, mut told) = mpsc::channel(items.len().max(1));
        let downloads = async {
            let one = |(index, item)| self.download(index, item, request, &staging);
            let mut files = stream::iter(items.iter().enumerate())
                .map(one)
                .buffer_unordered(PARALLEL);
            while let Some(file) = files.next().await {
                // There is room for all.
                let _ = tell.send(file?).await;
            }
            Ok::<(), FetchingError>(())
        };
        let placing = async {
            let mut files: Vec<Option<File>> = items.iter().map(|_| None).collect();
            for (index, item) in items.iter().enumerate() {
                let file = loop {
                    if let Some(file) = files[index].take() {
                        break file;
                    }
                    match told.recv().await {
                        Some((other, file)) => files[other] = Some(file),
                        // Without all of them the other half has failed.
                        None => return Ok(()),
                    }
                };
                self.place(index, item, request, file, &staging).await?;
            }
            Ok(())
        };
        tokio::try_join!(downloads, placing)?;
        let directory = request.sandbox.display();
        self.log
            .line(&format!("Successfully fetched all URIs into '{directory}'"));
        Ok(())
    }

    async fn download(
        &self,
        index: usize,
        item: &Item,
        request: &Request,
        staging: &Staging,
    ) -> Result<(usize, File), FetchingError> {
        let (uri, path) = (&item.uri, shown(request, item));
        for line in [
            format!("Fetching URI '{uri}'"),
            "Fetching directly into the sandbox directory".to_owned(),
            format!("Downloading resource from '{uri}' to '{path}'"),
        ] {
            self.log.line(&line);
        }
        let checksum = item.checksum.as_ref();
        let downloaded = async {
            let mut sink = Sink::new(staging.file(index)?, self.budget.clone(), checksum);
            download(&item.source, &self.http, &self.log, &mut sink).await?;
            Ok(sink.finish(checksum)?)
        };
        match downloaded.await {
            Ok(file) => Ok((index, file)),
            Err(source) => Err(failed(item, source)),
        }
    }

    async fn place(
        &self,
        index: usize,
        item: &Item,
        request: &Request,
        file: File,
        staging: &Arc<Staging>,
    ) -> Result<(), FetchingError> {
        let placing = Placing {
            index,
            item: item.clone(),
            file,
            staging: Arc::clone(staging),
            sandbox: Arc::clone(&self.sandbox),
            limits: self.limits,
            budget: self.budget.clone(),
            log: self.log.clone(),
        };
        // On a thread of its own, so that downloads go on.
        let placed = tokio::task::spawn_blocking(move || placing.run()).await;
        let placed = placed.map_err(ItemError::from).and_then(|placed| placed);
        placed.map_err(|source| failed(item, source))?;
        let path = shown(request, item);
        self.log
            .line(&format!("Fetched '{}' to '{path}'", item.uri));
        Ok(())
    }
}

/// What becomes of one file that has come. Blocks.
struct Placing {
    index: usize,
    item: Item,
    file: File,
    staging: Arc<Staging>,
    sandbox: Arc<Beneath>,
    limits: Limits,
    budget: Budget,
    log: Log,
}

impl Placing {
    fn run(self) -> Result<(), ItemError> {
        let Item { target, then, .. } = &self.item;
        let mode = match then {
            Then::MakeExecutable => 0o755,
            Then::Keep | Then::KeepWithWarning | Then::Unpack(_) | Then::Decompress(..) => 0o644,
        };
        let set = self.file.set_permissions(Permissions::from_mode(mode));
        set.map_err(ItemError::Mode)?;
        let (sandbox, limits, budget) = (&*self.sandbox, self.limits, &self.budget);
        let mut batch = sandbox.batch();
        self.staging.place(self.index, &mut batch, target)?;
        match then {
            Then::Keep | Then::MakeExecutable => {}
            Then::KeepWithWarning => self.log.line(&format!(
                "Copying instead of extracting resource from URI with 'extract' flag, because it \
                 does not seem to be an archive: {}",
                self.item.uri
            )),
            Then::Unpack(format) => {
                let name = redacted(&target.to_string());
                self.log
                    .line(&format!("Extracting '{name}' into the sandbox directory"));
                unpack(sandbox, self.file, *format, limits, budget)?;
            }
            Then::Decompress(codec, to) => {
                self.log
                    .line(&format!("Decompressing '{target}' to '{to}'"));
                decompress(sandbox, *codec, self.file, to, limits, budget)?;
            }
        }
        // Last, so that an archive that does not unpack goes away too.
        batch.commit();
        Ok(())
    }
}

/// A name that was taken from a URI may hold what that must not tell.
fn shown(request: &Request, item: &Item) -> String {
    let path = request.sandbox.join(item.target.as_path());
    redacted(&path.display().to_string())
}

fn failed(item: &Item, source: ItemError) -> FetchingError {
    FetchingError::Item {
        uri: item.uri.clone(),
        source,
    }
}

/// The request in the form that readers of Mesos' logs know.
fn info(request: &Request) -> serde_json::Value {
    let items: Vec<_> = request
        .uris
        .iter()
        .map(|uri| Uri {
            value: redacted(&uri.value),
            ..uri.clone()
        })
        .map(|uri| json!({ "action": "BYPASS_CACHE", "uri": uri }))
        .collect();
    let home: Option<&PathBuf> = request.frameworks_home.as_ref();
    json!({
        "sandbox_directory": request.sandbox,
        "items": items,
        "uid": request.user.as_ref().map(|(uid, _, _)| uid),
        "frameworks_home": home,
    })
}
