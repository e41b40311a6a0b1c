//! Downloads from HDFS. What a name node knows of a file tells whether a part that is there already is still one of
//! it: where the rest comes from, a data node, has no validator.

use reqwest::{Response, StatusCode, Url};

use super::webhdfs::{FileStatus, exception, open, status};
use super::{Came, DownloadError, Http, Sink};
use crate::cache::Validators;
use crate::log::Log;

/// Of what a name node says.
const ANSWER_BYTES: usize = 64 << 10;

impl Http {
    /// `nodes` have the file's URL each, of which the first is asked that can say it.
    pub async fn get_hdfs(
        &self,
        nodes: &[Url],
        known: Option<&Validators>,
        log: &Log,
        into: &mut Sink,
    ) -> Result<Came, DownloadError> {
        let mut begun = None;
        let attempt = async |into: &mut Sink| {
            let mut nodes = nodes.iter().peekable();
            while let Some(file) = nodes.next() {
                let host = file.host_str().unwrap_or_default();
                self.policy.host(host)?;
                match self.attempt_hdfs(file, known, &mut begun, into).await {
                    Err(error) if error.is_of_this_server() && nodes.peek().is_some() => {
                        let why = crate::chain(&error);
                        log.line(&format!("Asking another name node than {host}: {why}"));
                    }
                    came => return came,
                }
            }
            Err(DownloadError::Standby)
        };
        self.patience.persist(log, into, attempt).await
    }

    /// `begun` is what was known of the file of which a part is there.
    async fn attempt_hdfs(
        &self,
        file: &Url,
        known: Option<&Validators>,
        begun: &mut Option<FileStatus>,
        into: &mut Sink,
    ) -> Result<Came, DownloadError> {
        let answer = self.ask_name_node(status(file)).await?;
        let found = self.said(answer).await?;
        let found = FileStatus::parse(&found).ok_or(DownloadError::NotHadoop)?;
        let came = Came::Content(found.validators());
        if known == Some(&found.validators()) {
            return Ok(Came::NotModified);
        }
        if *begun != Some(found) {
            into.restart()?;
        }
        *begun = Some(found);
        let missing = found.length.checked_sub(into.length());
        into.announce(missing.ok_or(DownloadError::WrongPart)?)?;
        if missing == Some(0) && into.length() > 0 {
            return Ok(came);
        }
        let mut answer = self.ask_name_node(open(file, into.length())).await?;
        while let Some(piece) = answer.chunk().await.map_err(|error| self.failed(error))? {
            into.write(&piece)?;
        }
        // It was written to meanwhile, or the data node did not heed where to begin.
        if into.length() != found.length {
            into.restart()?;
            return Err(DownloadError::WrongPart);
        }
        Ok(came)
    }

    /// Where it sends on to is followed.
    async fn ask_name_node(&self, url: Url) -> Result<Response, DownloadError> {
        let answer = self.follower.get(url).send().await;
        let answer = answer.map_err(|error| self.failed(error))?;
        let status = answer.status();
        if status == StatusCode::OK {
            return Ok(answer);
        }
        // What may pass is not said by the file system.
        let refused = match status.is_server_error() {
            true => None,
            false => self.said(answer).await.ok().and_then(|it| exception(&it)),
        };
        Err(refused.unwrap_or(DownloadError::Status(status)))
    }

    async fn said(&self, mut answer: Response) -> Result<Vec<u8>, DownloadError> {
        let mut text = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|error| self.failed(error))? {
            text.extend_from_slice(&piece);
            if text.len() > ANSWER_BYTES {
                return Err(DownloadError::NotHadoop);
            }
        }
        Ok(text)
    }
}
