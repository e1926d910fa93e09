//! Bodies of requests, within limits.

use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::time::{sleep, timeout};

use super::App;
use crate::Problem;

/// The most bytes of a body.
const MOST: usize = 128 * 1024;

/// How long a body may take.
const IN_TIME: Duration = Duration::from_secs(10);

/// How long it may take once the gateway is about to end.
const AT_THE_END: Duration = Duration::from_secs(1);

/// Reads a body that says that it is JSON. A browser sends none that says so to another site without asking it first.
pub(crate) async fn json(app: &App, headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        return Err(Problem::not_json("accepted: the header Content-Type: application/json"));
    }
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > MOST as u64) {
        return Err(Problem::too_large(MOST));
    }
    match in_time(app, Limited::new(body, MOST).collect()).await? {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Problem::too_large(MOST)),
        Err(error) => Err(Problem::bad_request(format_args!("the body cannot be read: {error}"))),
    }
}

/// Refuses a body that has anything in it: what somebody says is not to be ignored as if it had been heard.
pub(crate) async fn none(app: &App, mut body: Body, refusal: &str) -> Result<(), Problem> {
    let ended = async {
        while let Some(piece) = body.frame().await {
            let piece = piece
                .map_err(|error| Problem::bad_request(format_args!("the body cannot be read: {error}")))?;
            if piece.data_ref().is_some_and(|data| !data.is_empty()) {
                return Err(Problem::bad_request(refusal));
            }
        }
        Ok(())
    };
    in_time(app, ended).await?
}

/// What comes of a body, if it comes in time.
async fn in_time<T>(app: &App, body: impl Future<Output = T>) -> Result<T, Problem> {
    let over = async {
        app.closing().await;
        sleep(AT_THE_END).await;
    };
    tokio::select! {
        // First: most are there at once, and for those nothing else is waited for.
        biased;
        body = timeout(IN_TIME, body) => body.map_err(|_| Problem::too_slow(IN_TIME.as_secs())),
        () = over => Err(Problem::closing()),
    }
}
