//! A resource that leaders act on: it knows the greatest token so far, and refuses smaller ones.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::history::What;
use crate::recorder::Recorder;
use crate::who::Who;

#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) at: SocketAddr,
    serving: JoinHandle<()>,
}

#[derive(Deserialize)]
struct Act {
    who: Who,
    token: i64,
}

#[derive(Serialize)]
struct Answer {
    ok: bool,
    max: i64,
}

impl Ledger {
    /// Takes down every act.
    pub(crate) async fn open(recorder: Arc<Recorder>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("cannot listen for acts")?;
        let at = listener.local_addr()?;
        let max = Arc::new(Mutex::new(0));
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (recorder, max) = (Arc::clone(&recorder), Arc::clone(&max));
                tokio::spawn(async move {
                    // Whoever breaks the connection off has nothing to be told.
                    let _ = converse(stream, &recorder, &max).await;
                });
            }
        });
        Ok(Self { at, serving })
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn converse(stream: TcpStream, recorder: &Recorder, max: &Mutex<i64>) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let (input, mut output) = stream.into_split();
    let mut input = BufReader::new(input);
    let mut line = String::new();
    // A line without an end is no act: whoever began it thought better of it.
    while input.read_line(&mut line).await? > 0 && line.ends_with('\n') {
        let Act { who, token } = serde_json::from_str(&line)?;
        let answer = {
            let mut max = max.lock().unwrap_or_else(PoisonError::into_inner);
            let ok = token >= *max;
            *max = token.max(*max);
            // In the order in which it was decided.
            recorder.note(What::Acted { who, token, ok });
            Answer { ok, max: *max }
        };
        output.write_all((serde_json::to_string(&answer)? + "\n").as_bytes()).await?;
        line.clear();
    }
    Ok(())
}
