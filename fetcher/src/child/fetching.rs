//! The work itself: several downloads at a time, and in the order of the URIs what becomes of them.

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use proto::redact::redacted;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::cached::{CachedFiles, KeptFile};
use super::placing::Placing;
use super::say;
use crate::archive::{ArchiveError, Limits};
use crate::beneath::{Beneath, Staging, WriteError};
use crate::budget::{Budget, OverLimit};
use crate::cache::Validators;
use crate::download::{Came, DownloadError, Http, Sink, download};
use crate::growth::{Growing, Growth};
use crate::log::Log;
use crate::order::Said;
use crate::plan::{Format, Item, Refused, Then, plan};
use crate::progress::{Meter, Part};
use crate::{Policy, Request, Uri};

/// Downloads at a time.
const PARALLEL: usize = 4;
/// Between two words about how far it has come.
const WORDS: Duration = Duration::from_millis(500);

#[derive(Debug, thiserror::Error)]
pub enum FetchingError {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("cannot prepare the sandbox")]
    Staging(#[source] WriteError),
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
    #[error("its download has failed")]
    Gone,
    #[error(
        "fetching took longer than {} s, which is all that a fetch may take (this agent's --fetcher_timeout)",
        .0.as_secs_f32()
    )]
    TooSlow(Duration),
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

/// A file whose content is there, and verified; or about to be, where nothing says what it must be.
#[derive(Debug)]
pub enum Arrival {
    /// In the staging directory.
    Staged(File),
    /// Likewise, and it grows.
    Coming(File, Growth),
    /// Of the cache, which keeps it.
    Kept(File),
    /// Likewise, and staged as a link.
    Linked(File),
    /// Of the cache, what an archive unpacks to.
    Tree(File),
    /// An archive that is staged, and goes once the cache has what it unpacks to.
    ForTree(File, Tree),
}

/// What the cache is to have instead of an archive.
#[derive(Debug)]
pub struct Tree {
    pub fill: File,
    /// Of the archive.
    pub content: String,
    pub validators: Validators,
}

impl Arrival {
    pub fn file(&self) -> &File {
        match self {
            Self::Staged(file)
            | Self::Coming(file, _)
            | Self::Kept(file)
            | Self::Linked(file)
            | Self::Tree(file)
            | Self::ForTree(file, _) => file,
        }
    }
}

/// What others are told by: that a file is there, or comes.
type Tell = mpsc::Sender<(usize, Arrival)>;

impl Fetching {
    /// `cached` has one for each URI.
    pub async fn all(
        &self,
        request: &Request,
        cached: Vec<Option<CachedFiles>>,
        policy: &Policy,
        time_limit: Option<Duration>,
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
        let (busy, mut idle) = mpsc::channel(1);
        let downloads = async {
            let tell = tell;
            let one = |(index, (item, cached))| {
                self.arrival(index, item, cached, request, &staging, &tell)
            };
            let each = items.iter().zip(cached).enumerate();
            let mut files = stream::iter(each).map(one).buffer_unordered(PARALLEL);
            while let Some(came) = files.next().await {
                came?;
            }
            Ok::<(), FetchingError>(())
        };
        let placed = Cell::new(0);
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
                let place = self.place(index, item, request, file, &staging, &busy);
                match place.await {
                    Err(FetchingError::Item {
                        source: ItemError::Gone,
                        ..
                    }) => return Ok(()),
                    done => done?,
                }
                placed.set(index + 1);
            }
            Ok(())
        };
        let work = async { tokio::try_join!(downloads, placing) };
        let too_long = async {
            match time_limit {
                Some(limit) => sleep(limit).await,
                None => std::future::pending().await,
            }
        };
        let done = tokio::select! {
            done = work => done.map(drop),
            () = self.tell_progress() => Ok(()),
            () = too_long => match items.get(placed.get()) {
                Some(item) => Err(failed(item, ItemError::TooSlow(time_limit.unwrap_or_default()))),
                None => Ok(()),
            },
        };
        if done.is_err() {
            // Who still unpacks removes what was made.
            self.budget.close();
            drop(busy);
            let _all_dropped: Option<()> = idle.recv().await;
        }
        done?;
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
        tell: &Tell,
    ) -> Result<(), FetchingError> {
        let (uri, part) = (&item.uri, self.meter.part());
        self.log.line(&format!("Fetching URI '{uri}'"));
        let arrived = match cached {
            None => {
                let path = shown(request, item);
                self.log
                    .line("Fetching directly into the sandbox directory");
                self.log
                    .line(&format!("Downloading resource from '{uri}' to '{path}'"));
                match comes_unpacked(item) {
                    true => self.coming(index, item, staging, part, tell).await,
                    false => self.staged(index, item, staging, part).await.map(Some),
                }
            }
            Some(cached) => {
                let kept = self.kept(index, item, cached, staging, part);
                kept.await.map(Some)
            }
        };
        if let Some(arrived) = arrived.map_err(|source| failed(item, source))? {
            // There is room for all.
            let _ = tell.send((index, arrived)).await;
        }
        Ok(())
    }

    async fn staged(
        &self,
        index: usize,
        item: &Item,
        staging: &Staging,
        part: Part,
    ) -> Result<Arrival, ItemError> {
        let mut sink = Sink::new(staging.file(index)?, self.budget.clone(), part);
        if let Some(checksum) = &item.checksum {
            sink = sink.known_by(Some(checksum));
        }
        download(&item.source, &self.http, None, &self.log, &mut sink).await?;
        Ok(Arrival::Staged(sink.finish()?))
    }

    /// Tells of it while it comes.
    async fn coming(
        &self,
        index: usize,
        item: &Item,
        staging: &Staging,
        part: Part,
        tell: &Tell,
    ) -> Result<Option<Arrival>, ItemError> {
        let file = staging.file(index)?;
        let (growing, growth) = Growing::new();
        let read = file.try_clone().map_err(ItemError::HandOut)?;
        let mut sink = Sink::new(file, self.budget.clone(), part).read_meanwhile(growing);
        // There is room for all.
        let _ = tell.send((index, Arrival::Coming(read, growth))).await;
        download(&item.source, &self.http, None, &self.log, &mut sink).await?;
        sink.finish()?;
        Ok(None)
    }

    /// What the cache has, as long as it is what the server has; else what it will have.
    async fn kept(
        &self,
        index: usize,
        item: &Item,
        cached: CachedFiles,
        staging: &Staging,
        part: Part,
    ) -> Result<Arrival, ItemError> {
        let uri = &item.uri;
        let from_cache = |kept: KeptFile| {
            say(&self.tell, &Said::Kept { index });
            self.log.line(&format!("Fetching URI '{uri}' from cache"));
            Ok(match kept.linked {
                _ if item.unpacked => Arrival::Tree(kept.file),
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
        let (into, fill) = match item.unpacked {
            true => (staging.file(index)?, Some(cached.fill)),
            false => (cached.fill, None),
        };
        let mut sink = Sink::new(into, self.budget.clone(), part).known_by(checksum);
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
        let (content, length) = (sink.content().unwrap_or_default(), sink.length());
        let file = sink.finish()?;
        if let Some(fill) = fill {
            let tree = Tree {
                fill,
                content,
                validators,
            };
            return Ok(Arrival::ForTree(file, tree));
        }
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
        busy: &mpsc::Sender<()>,
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
            tell: self.tell.clone(),
        };
        // On a thread of its own, so that downloads go on.
        let busy = busy.clone();
        let placed = tokio::task::spawn_blocking(move || {
            let placed = placing.run();
            drop(busy);
            placed
        });
        let placed = placed.await;
        let placed = placed.map_err(ItemError::from).and_then(|placed| placed);
        placed.map_err(|source| failed(item, source))?;
        let path = shown(request, item);
        self.log
            .line(&format!("Fetched '{}' to '{path}'", item.uri));
        Ok(())
    }
}

/// Whether it is unpacked while it comes. Where its content must be something, that is known first; the end of a
/// zip comes first, too.
fn comes_unpacked(item: &Item) -> bool {
    let streams = matches!(
        item.then,
        Then::Unpack(Format::Tar(_)) | Then::Decompress(..)
    );
    streams && item.checksum.is_none()
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
