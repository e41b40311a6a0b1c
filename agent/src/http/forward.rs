//! After an upgrade: what is asked on connections that were there before is passed on to the process that
//! is the agent now.

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::{CONNECTION, HOST, TRANSFER_ENCODING};
use axum::response::{IntoResponse as _, Response};
use proto::error::chain;

use super::Site;

/// The way to that process.
#[derive(Debug)]
pub struct Successor {
    client: reqwest::Client,
    address: SocketAddr,
}

impl Site {
    /// Another process, reached at `address`, is the agent from now on.
    pub fn lead_on(&self, address: SocketAddr) {
        match Successor::new(address) {
            Ok(successor) => drop(self.successor.set(successor)),
            Err(error) => {
                let error = chain(&error);
                tracing::warn!(error, "answers for the agent as it was before the upgrade");
            }
        }
        self.hands.send_replace(());
    }
}

impl Successor {
    fn new(address: SocketAddr) -> Result<Successor, reqwest::Error> {
        let client = endpoint::client().build()?;
        Ok(Successor { client, address })
    }

    pub async fn answer(&self, request: Request) -> Response {
        let (head, body) = request.into_parts();
        let path = head.uri.path_and_query().map_or("/", |it| it.as_str());
        let mut headers = head.headers;
        // Of this connection, and of no other.
        for header in [CONNECTION, HOST, TRANSFER_ENCODING] {
            headers.remove(header);
        }
        let url = format!("http://{}{path}", self.address);
        let asked = self.client.request(head.method, url).headers(headers);
        let body = reqwest::Body::wrap_stream(body.into_data_stream());
        match asked.body(body).send().await {
            Ok(answer) => {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = answer.status();
                *response.headers_mut() = answer.headers().clone();
                response.headers_mut().remove(CONNECTION);
                response.headers_mut().remove(TRANSFER_ENCODING);
                *response.body_mut() = Body::from_stream(answer.bytes_stream());
                response
            }
            Err(error) => {
                let why = chain(&error);
                let text =
                    format!("another process is the agent now, and does not answer: {why}\n");
                (StatusCode::BAD_GATEWAY, text).into_response()
            }
        }
    }
}
