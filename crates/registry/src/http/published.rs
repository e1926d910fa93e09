//! The channels of a service that is followed over HTTP.

use std::error::Error as StdError;
use std::sync::atomic::{AtomicBool, Ordering};

use proto::ServiceName;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::document::Told;
use super::problem::{Kind, Problem};
use crate::{Instances, Source, View};

/// Where a service is published.
#[derive(Debug)]
pub(super) struct Publisher {
    pub(super) service: ServiceName,
    pub(super) view: watch::Sender<Option<View>>,
    pub(super) entries: watch::Sender<Option<Instances>>,
    pub(super) problem: watch::Sender<Option<Problem>>,
    /// What was logged since the list was last vouched for: that gateways are lost, that they refuse.
    pub(super) logged: [AtomicBool; 2],
}

impl Publisher {
    /// The view first: whoever has a list finds its source.
    pub(super) fn send(&self, Told { entries, bad, .. }: Told, source: Source) {
        self.view.send_if_modified(|now| {
            let differs =
                |now: &View| now.source != source || now.bad != bad || !now.entries.is_same(&entries);
            let differ = now.as_ref().is_none_or(differs);
            if differ {
                *now = Some(View { entries: entries.clone(), source, bad });
            }
            differ
        });
        self.entries.send_if_modified(|now| {
            let differ = now.as_ref().is_none_or(|now| !now.is_same(&entries));
            if differ {
                *now = Some(entries);
            }
            differ
        });
    }

    /// The list is what it was said to be before its stream ended.
    pub(super) fn trust(&self, source: Source) {
        self.view.send_if_modified(|now| match now {
            Some(view) if view.source != source => {
                view.source = source;
                true
            }
            _ => false,
        });
    }

    /// The list is not known to be the truth any more.
    fn doubt(&self, since: Instant) {
        self.view.send_if_modified(|now| match now {
            Some(View { source: source @ Source::Live, .. }) => {
                *source = Source::Stale { since };
                true
            }
            _ => false,
        });
    }

    /// A gateway serves us.
    pub(super) fn served(&self, gateway: &str) {
        let logged = self.logged.iter().filter(|logged| logged.swap(false, Ordering::Relaxed)).count();
        if logged > 0 {
            info!(service = %self.service, gateway, "followed again");
        }
        self.problem.send_if_modified(|now| now.take().is_some());
    }

    /// Logged once for each kind of trouble, until a gateway serves us.
    pub(super) fn report(&self, problem: &Problem) {
        let logged = match problem.kind() {
            Kind::Lost => &self.logged[0],
            Kind::Refused => &self.logged[1],
        };
        let error = problem as &dyn StdError;
        let service = &self.service;
        if logged.swap(true, Ordering::Relaxed) {
            debug!(error, %service, "cannot follow the service");
        } else {
            warn!(error, %service, "cannot follow the service");
        }
        self.problem.send_if_modified(|now| {
            let differ = now.as_ref().map(Problem::to_string) != Some(problem.to_string());
            if differ {
                *now = Some(problem.clone());
            }
            differ
        });
    }
}

/// While a stream lasts, its list counts as known; when it ends, however it does, the list is doubted since something was last heard.
pub(super) struct Vouch<'a> {
    publisher: &'a Publisher,
    pub(super) heard: Instant,
}

impl<'a> Vouch<'a> {
    pub(super) fn now(publisher: &'a Publisher) -> Self {
        Self { publisher, heard: Instant::now() }
    }
}

impl Drop for Vouch<'_> {
    fn drop(&mut self) {
        self.publisher.doubt(self.heard);
    }
}
