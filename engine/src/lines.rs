//! JSON values one after the other over one connection, as an engine tells of what goes on.

use bytes::{Buf as _, BytesMut};
use reqwest::Response;
use serde::de::DeserializeOwned;

use crate::call::Call;
use crate::client::decode;
use crate::error::EngineError;

/// Of one value.
const MOST: usize = 1 << 20;

/// A stream of values, until its end.
#[derive(Debug)]
pub struct Lines {
    call: Call,
    response: Response,
    read: BytesMut,
    is_over: bool,
}

impl Lines {
    pub(crate) fn of(call: &Call, response: Response) -> Self {
        Self {
            call: call.clone(),
            response,
            read: BytesMut::new(),
            is_over: false,
        }
    }

    /// `None` at the end. Cancel safe. Errors: a value that is not what is asked for is taken, and the next one
    /// may well be.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, EngineError> {
        loop {
            if let Some(line) = take_line(&mut self.read, self.is_over) {
                return decode(&self.call, &line).map(Some);
            }
            if self.is_over {
                return Ok(None);
            }
            if self.read.len() > MOST {
                return Err(EngineError::TooLong {
                    what: self.call.what.clone(),
                    limit: MOST,
                });
            }
            let chunk = self.response.chunk().await;
            let chunk = chunk.map_err(|source| EngineError::Broken {
                what: self.call.what.clone(),
                source,
            })?;
            match chunk {
                Some(chunk) => self.read.extend_from_slice(&chunk),
                None => self.is_over = true,
            }
        }
    }
}

/// The next that says something; the last one may come without an end.
fn take_line(read: &mut BytesMut, is_over: bool) -> Option<BytesMut> {
    loop {
        let end = read.iter().position(|byte| *byte == b'\n');
        let line = match end {
            Some(end) => {
                let line = read.split_to(end);
                read.advance(1);
                line
            }
            None if is_over && !read.is_empty() => read.split(),
            None => return None,
        };
        if !line.trim_ascii().is_empty() {
            return Some(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_once_they_are_whole() {
        let mut read = BytesMut::from(&b"{\"a\":1}\r\n\n \n{\"b\""[..]);
        let line = take_line(&mut read, false);
        assert_eq!(line.as_deref(), Some(&b"{\"a\":1}\r"[..]));
        assert_eq!(take_line(&mut read, false), None);
        read.extend_from_slice(b":2}");
        assert_eq!(take_line(&mut read, false), None);
        assert_eq!(
            take_line(&mut read, true).as_deref(),
            Some(&b"{\"b\":2}"[..])
        );
        assert_eq!(take_line(&mut read, true), None);
    }
}
