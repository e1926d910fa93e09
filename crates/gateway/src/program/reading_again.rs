//! What is read again when somebody asks for it.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use cli::output::chain;
use gateway::guard::{Sites, Tokens};
use gateway::proxy::Proxy;
use gateway::serve::Replaceable;
use gateway::tls::Tls;
use gateway::{App, Guard, api};
use tokio::task::spawn_blocking;
use tracing::{error, info};

use super::hangup::ReadAgain;
use super::proxying::RulesFile;

/// The files that are read again, and what is made of them. What is wrong is told, and stays as it was; the others are taken all the same.
pub(crate) struct Reading {
    pub(crate) tokens: Option<TokensFile>,
    pub(crate) rules: Option<(RulesFile, Proxy)>,
    pub(crate) tls: Vec<Tls>,
}

/// Where tokens are, and what lets pass by them.
pub(crate) struct TokensFile {
    pub(crate) path: PathBuf,
    pub(crate) sites: Sites,
    pub(crate) app: Arc<App>,
    pub(crate) api: Replaceable<Router>,
}

impl Reading {
    /// Reads whenever somebody asks.
    pub(crate) async fn run(self, mut asked: ReadAgain) -> Infallible {
        let this = Arc::new(self);
        loop {
            asked.requested().await;
            info!("asked to read files again");
            let this = this.clone();
            // A file can be slow to come.
            let runtime = tokio::runtime::Handle::current();
            let read = spawn_blocking(move || {
                let _runtime = runtime.enter();
                this.read();
            });
            if let Err(error) = read.await {
                error!(%error, "files could not be read again; what they said before stays in place");
            }
        }
    }

    fn read(&self) {
        if self.tokens.is_none() && self.rules.is_none() && self.tls.is_empty() {
            info!("no file is named that could be read again");
        }
        if let Some((file, proxy)) = &self.rules {
            match file.read() {
                Ok(rules) => proxy.replace(rules),
                Err(faults) => {
                    for fault in faults {
                        error!(fault, "wrong rules; those of before stay in place");
                    }
                }
            }
        }
        if let Some(file) = &self.tokens {
            match Tokens::load(&file.path) {
                Ok(tokens) => {
                    let guard = Guard { tokens: Some(tokens), sites: file.sites.clone() };
                    file.api.replace(api::router(file.app.clone(), guard));
                    info!(file = %file.path.display(), "tokens are in place");
                }
                Err(error) => {
                    let fault = format!("{}: {}", file.path.display(), chain(&error));
                    error!(fault, "wrong tokens; those of before stay in place");
                }
            }
        }
        for tls in &self.tls {
            match tls.reload() {
                Ok(()) => info!(file = %tls.files().chain.display(), "certificates are in place"),
                Err(error) => {
                    error!(fault = chain(&error), "wrong certificates; those of before stay in place");
                }
            }
        }
    }
}
