//! The work itself: several downloads at a time, and in the order of the URIs what becomes of them.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::cached::{CachedFiles, KeptFile};
use super::placing::Placing;
use super::say;
use crate::archive::{ArchiveError, Limits};
use crate::beneath::{Beneath, Staging, WriteError};
use crate::budget::{Budget, OverLimit};
use crate::cache::Validators;
use crate::download::{Came, DownloadError, Http, Sink, download};
use crate::log::Log;
use crate::order::Said;
use crate::plan::{Item, Refused, plan};
use crate::progress::{Meter, Part};
use crate::redact::redacted;
use crate::{Policy, Request, Uri};

/// Downloads at a time.
const PARALLEL: usize = 4;
/// Between two words about how far it has come.
const WORDS: Duration = Duration::from_millis(500);

#[derive(Debug, thiserror::Error)]
pub enum FetchingError {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error(
        "fetching took longer than {} s, which is all that a fetch may take (this agent's --fetcher_timeout)",
        .0.as_secs()
    )]
    TooSlow(Duration),
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
    #[error("cannot copy it from the cache into the sandbox")]
    HandOut(#[source] io::Error),
    #[error("the file is too large")]
    TooLarge(#[from] OverLimit),
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
    /// The agent.
    pub tell: Log,
    /// Of the files of the request.
    pub meter: Meter,
}

/// A file whose content is there, and verified.
#[derive(Debug)]
pub enum Arrival {
    /// In the staging directory.
    Staged(File),
    /// Of the cache, which keeps it.
    Kept(File),
    /// Likewise, and staged as a link.
    Linked(File),
}

impl Fetching {
    /// `cached` has one for each URI.
    pub async fn all(
        &self,
        request: &Request,
        cached: Vec<Option<CachedFiles>>,
        policy: &Policy,
    ) -> Result<(), FetchingError> {
        let info = info(request, &cached);
        self.log.line(&format!("Fetcher Info: {info}"));
        let items = plan(request, policy)?;
        let staging = Staging::make(&self.sandbox).map_err(FetchingError::Staging)?;
        for (index, cached) in cached.iter().enumerate() {
            let kept = cached.as_ref().and_then(|cached| cached.kept.as_ref());
            if kept.is_some_and(|kept| kept.linked) {
                staging.adopt(index);
            }
        }
        let staging = Arc::new(staging);
        let (tell, mut told) = mpsc::channel(items.len().max(1));
        let downloads = async {
            let one =
                |(index, (item, cached))| self.arrival(index, item, cached, request, &staging);
            let each = items.iter().zip(cached).enumerate();
            let mut files = stream::iter(each).map(one).buffer_unordered(PARALLEL);
            while let Some(file) = files.next().await {
                // There is room for all.
                let _ = tell.send(file?).await;
            }
            Ok::<(), FetchingError>(())
        };
        let placing = async {
            let mut files: Vec<Option<Arrival>> = items.iter().map(|_| None).collect();
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
        let work = async { tokio::try_join!(downloads, placing) };
        tokio::select! {
            done = work => drop(done?),
            () = self.tell_progress() => {}
        }
        self.progress();
        let directory = request.sandbox.display();
        self.log
            .line(&format!("Successfully fetched all URIs into '{directory}'"));
        Ok(())
    }

    async fn tell_progress(&self) {
        let mut words = interval(WORDS);
        words.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = None;
        loop {
            words.tick().await;
            if told != Some(self.meter.read()) {
                told = Some(self.progress());
            }
        }
    }

    fn progress(&self) -> (u64, Option<u64>) {
        let (bytes, total) = self.meter.read();
        say(&self.tell, &Said::Progress { bytes, total });
        (bytes, total)
    }

    async fn arrival(
        &self,
        index: usize,
        item: &Item,
        cached: Option<CachedFiles>,
        request: &Request,
        staging: &Staging,
    ) -> Result<(usize, Arrival), FetchingError> {
        let (uri, part) = (&item.uri, self.meter.part());
        self.log.line(&format!("Fetching URI '{uri}'"));
        let arrived = match cached {
            None => {
                let path = shown(request, item);
                self.log
                    .line("Fetching directly into the sandbox directory");
                self.log
                    .line(&format!("Downloading resource from '{uri}' to '{path}'"));
                self.staged(index, item, staging, part)
                    .await
                    .map(Arrival::Staged)
            }
            Some(cached) => self.kept(index, item, cached, part).await,
        };
        let arrived = arrived.map_err(|source| failed(item, source))?;
        Ok((index, arrived))
    }

    async fn staged(
        &self,
        index: usize,
        item: &Item,
        staging: &Staging,
        part: Part,
    ) -> Result<File, ItemError> {
        let checksum = item.checksum.as_ref();
        let mut sink = Sink::new(staging.file(index)?, self.budget.clone(), checksum, part);
        download(&item.source, &self.http, None, &self.log, &mut sink).await?;
        Ok(sink.finish(checksum)?)
    }

    /// What the cache has, as long as it is what the server has; else what it will have.
    async fn kept(
        &self,
        index: usize,
        item: &Item,
        cached: CachedFiles,
        part: Part,
    ) -> Result<Arrival, ItemError> {
        let uri = &item.uri;
        let from_cache = |kept: KeptFile| {
            say(&self.tell, &Said::Kept { index });
            self.log.line(&format!("Fetching URI '{uri}' from cache"));
            Ok(match kept.linked {
                true => Arrival::Linked(kept.file),
                false => Arrival::Kept(kept.file),
            })
        };
        let kept = match cached.kept {
            Some(kept) if kept.fresh => return from_cache(kept),
            kept => kept,
        };
        let known = kept.as_ref().map(|kept| &kept.validators);
        let checksum = item.checksum.as_ref();
        let mut sink = Sink::new(cached.fill, self.budget.clone(), checksum, part);
        let came = download(&item.source, &self.http, known, &self.log, &mut sink).await;
        let validators = match (came, kept) {
            (Ok(Came::NotModified), Some(kept)) => return from_cache(kept),
            (Ok(Came::Content(validators)), _) => validators,
            (Ok(Came::NotModified), None) => Validators::default(),
            // Whoever asks for the cache would rather have what was there than nothing.
            (Err(error), Some(kept)) if error.passes() => {
                let why = crate::chain(&error);
                self.log
                    .line(&format!("Whether '{uri}' has changed is not known: {why}"));
                return from_cache(kept);
            }
            (Err(error), _) => return Err(error.into()),
        };
        let (content, length) = (sink.content(), sink.length());
        let file = sink.finish(checksum)?;
        // The sandbox does not have it.
        self.budget.give_back(length);
        self.log
            .line(&format!("Downloaded resource from '{uri}' into the cache"));
        let said = Said::Filled {
            index,
            content,
            length,
            validators,
        };
        say(&self.tell, &said);
        Ok(Arrival::Kept(file))
    }

    async fn place(
        &self,
        index: usize,
        item: &Item,
        request: &Request,
        arrival: Arrival,
        staging: &Arc<Staging>,
    ) -> Result<(), FetchingError> {
        let placing = Placing {
            index,
            item: item.clone(),
            arrival,
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
fn info(request: &Request, cached: &[Option<CachedFiles>]) -> serde_json::Value {
    let action = |cached: &Option<CachedFiles>| match cached {
        None => "BYPASS_CACHE",
        Some(CachedFiles { kept: None, .. }) => "DOWNLOAD_AND_CACHE",
        Some(CachedFiles { kept: Some(_), .. }) => "RETRIEVE_FROM_CACHE",
    };
    let shown = |uri: &Uri| Uri {
        value: redacted(&uri.value),
        ..uri.clone()
    };
    let items: Vec<_> = request
        .uris
        .iter()
        .zip(cached)
        .map(|(uri, cached)| json!({ "action": action(cached), "uri": shown(uri) }))
        .collect();
    json!({
        "sandbox_directory": request.sandbox,
        "items": items,
        "uid": request.user.as_ref().map(|(uid, _, _)| uid),
        "frameworks_home": request.frameworks_home,
    })
}
