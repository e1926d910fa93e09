//! One state of a service, written down once for everybody who reads it.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use leader::Master;
use proto::ServiceName;
use registry::View;
use zk_session::Source;

use super::revision::Revision;
use crate::api::documents::ServiceDocument;
use crate::wall;

/// One state of a service: its instances and its master, and how far both can be trusted.
#[derive(Debug)]
pub struct Published {
    /// Which service.
    pub service: ServiceName,
    /// Which of its states.
    pub revision: Revision,
    /// Its instances.
    pub view: View,
    /// Who leads.
    pub leading: Leading,
    /// Whether whoever leads takes no requests that others may answer.
    pub roles: bool,
    /// Since when the list is not known to be the truth, in Unix milliseconds.
    pub stale_since: Option<u64>,
    /// The state as an event of a stream, and where the document is in it.
    event: OnceLock<(Bytes, std::ops::Range<usize>)>,
}

/// Who leads a service, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leading {
    /// Nobody can: the layout knows no elections.
    Never,
    /// ZooKeeper has not told yet.
    Unknown,
    /// Somebody or nobody.
    Known {
        /// Who; `None` when nobody stands for election.
        master: Option<Arc<Master>>,
        /// Whether that is what ZooKeeper says, or the last that was known.
        source: Source,
    },
}

impl Leading {
    /// Who leads, if anybody is known to.
    pub fn master(&self) -> Option<&Arc<Master>> {
        match self {
            Self::Known { master, .. } => master.as_ref(),
            Self::Never | Self::Unknown => None,
        }
    }
}

impl Published {
    pub(super) fn new(
        service: ServiceName,
        revision: Revision,
        view: View,
        leading: Leading,
        roles: bool,
    ) -> Self {
        let stale_since = match view.source {
            Source::Live => None,
            Source::Stale { since } => Some(wall::at(since)),
        };
        Self { service, revision, view, leading, roles, stale_since, event: OnceLock::new() }
    }

    /// Whether it says the same as what would be published now.
    pub(super) fn says(&self, view: &View, leading: &Leading) -> bool {
        self.view.source == view.source
            && self.view.entries.is_same(&view.entries)
            && self.view.bad == view.bad
            && self.leading == *leading
    }

    /// The state as JSON. All who ask get the same bytes.
    pub(crate) fn document(&self) -> Bytes {
        let (event, document) = self.written();
        event.slice(document.clone())
    }

    /// The state as a server-sent event. All streams send the same bytes.
    pub(crate) fn event(&self) -> Bytes {
        self.written().0.clone()
    }

    fn written(&self) -> &(Bytes, std::ops::Range<usize>) {
        self.event.get_or_init(|| {
            let mut event = format!("id: {}\ndata: ", self.revision).into_bytes();
            let start = event.len();
            // On one line: JSON escapes what would end one.
            serde_json::to_writer(&mut event, &ServiceDocument::of(self))
                .expect("text and numbers can always be written to memory");
            let document = start..event.len();
            event.extend_from_slice(b"\n\n");
            (event.into(), document)
        })
    }
}
