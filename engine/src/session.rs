//! Commands beside a container's own that somebody talks with: the connection becomes their streams.

use bytes::{Bytes, BytesMut};
use reqwest::{StatusCode, Upgraded};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};

use crate::call::{Call, segment};
use crate::client::Engine;
use crate::error::EngineError;
use crate::exec::{Made, Told};
use crate::frames::{Decoder, Frame, Source};

/// What is to run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Talk {
    pub command: Vec<String>,
    /// `NAME=value`, beside the container's own.
    pub env: Vec<String>,
    /// Instead of the container's own.
    pub working_dir: Option<String>,
    /// On a terminal of its own: rows and columns.
    pub terminal: Option<(u16, u16)>,
}

/// One that runs.
#[derive(Debug)]
pub struct Session {
    engine: Engine,
    id: String,
    what: String,
}

/// What it reads. Dropped, it is at its end.
#[derive(Debug)]
pub struct Input(WriteHalf<Upgraded>);

/// What it writes.
#[derive(Debug)]
pub struct Output {
    from: ReadHalf<Upgraded>,
    what: String,
    /// `None` of a terminal, which has one stream.
    frames: Option<Decoder>,
}

impl Engine {
    /// Returns once it has begun, or the engine has said of it why not in its output.
    pub async fn talk(
        &self,
        container: &str,
        talk: &Talk,
    ) -> Result<(Session, Input, Output), EngineError> {
        let what = format!("run a command in container {container}");
        let terminal = talk.terminal.is_some();
        let mut body = json!({
            "Cmd": talk.command, "Env": talk.env, "Tty": terminal,
            "AttachStdin": true, "AttachStdout": true, "AttachStderr": true,
        });
        if let Some(directory) = &talk.working_dir {
            body["WorkingDir"] = json!(directory);
        }
        let path = format!("containers/{}/exec", segment(container));
        let made: Made = self
            .json(&Call::post(what.as_str(), path).body(body))
            .await?;
        let id = segment(&made.id);
        let start = Call::post(what.as_str(), format!("exec/{id}/start")).upgraded();
        let start = start.body(json!({"Detach": false, "Tty": terminal}));
        let response = self.send(&start).await?;
        let bad = |why| EngineError::BadStream {
            what: what.clone(),
            why,
        };
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(bad("it does not become the command's streams"));
        }
        let streams = response.upgrade().await;
        let streams = streams.map_err(|source| EngineError::Broken {
            what: what.clone(),
            source,
        })?;
        let (from, to) = tokio::io::split(streams);
        let output = Output {
            from,
            what: what.clone(),
            frames: (!terminal).then(Decoder::default),
        };
        let session = Session {
            engine: self.clone(),
            id,
            what,
        };
        if let Some((rows, columns)) = talk.terminal {
            session.resize(rows, columns).await?;
        }
        Ok((session, Input(to), output))
    }
}

impl Session {
    /// Its terminal.
    pub async fn resize(&self, rows: u16, columns: u16) -> Result<(), EngineError> {
        let path = format!("exec/{}/resize", self.id);
        let call = Call::post("resize a command's terminal", path);
        let call = call.with("h", rows).with("w", columns);
        match self.engine.done(&call).await {
            // It has ended, or has never begun, which its output tells.
            Err(EngineError::Refused { .. }) | Ok(_) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The host's number of its process while it runs.
    pub async fn pid(&self) -> Result<Option<i32>, EngineError> {
        let told = self.told().await?;
        Ok(told.running.then_some(told.pid).filter(|pid| *pid > 0))
    }

    /// To be asked when its output has ended.
    pub async fn exit_code(&self) -> Result<i64, EngineError> {
        let told = self.told().await?;
        match (told.running, told.exit_code) {
            (false, Some(code)) => Ok(code),
            _ => Err(EngineError::BadStream {
                what: self.what.clone(),
                why: "the command has no end",
            }),
        }
    }

    async fn told(&self) -> Result<Told, EngineError> {
        let path = format!("exec/{}/json", self.id);
        self.engine.json(&Call::get(self.what.as_str(), path)).await
    }
}

impl Input {
    pub async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.write_all(bytes).await?;
        self.0.flush().await
    }

    /// There is no more.
    pub async fn end(mut self) -> std::io::Result<()> {
        self.0.shutdown().await
    }
}

impl Output {
    /// `None` at the end. Cancel safe.
    pub async fn next(&mut self) -> Result<Option<Frame>, EngineError> {
        let mut buffer = BytesMut::with_capacity(16 << 10);
        loop {
            if let Some(decoder) = &mut self.frames {
                let next = decoder.next().map_err(|why| EngineError::BadStream {
                    what: self.what.clone(),
                    why,
                })?;
                if next.is_some() {
                    return Ok(next);
                }
            }
            buffer.clear();
            // A connection that breaks has nothing more to say either: how it ended is asked for.
            let read = self.from.read_buf(&mut buffer).await.unwrap_or(0);
            if read == 0 {
                return Ok(None);
            }
            match &mut self.frames {
                Some(decoder) => decoder.add(&buffer),
                None => {
                    return Ok(Some(Frame {
                        source: Source::Stdout,
                        bytes: Bytes::copy_from_slice(&buffer),
                    }));
                }
            }
        }
    }
}
