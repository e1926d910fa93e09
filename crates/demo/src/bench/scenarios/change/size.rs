//! The figures of a service of one size.

use super::FEW;
use super::crowd::CROWD;
use super::follower::{Cost, Times};
use crate::bench::report::{Figure, median};

const BARE: &str = "bare client, recursive watch and one get";
const BARE_DELETED: &str = "bare client, told by the recursive watch, from the writer's call";

/// What is measured on a service of one size.
pub(super) struct Size {
    pub(super) count: u32,
    /// Whether many watch it as well, and what it costs is counted.
    pub(super) with_crowd: bool,
    pub(super) added: Figure,
    raw_added: Figure,
    pub(super) added_from_call: Figure,
    raw_added_from_call: Figure,
    deleted: Figure,
    raw_deleted: Figure,
    crowd: Figure,
    raw_crowd: Figure,
    crowd_deleted: Figure,
    raw_crowd_deleted: Figure,
    apart: Figure,
    farthest: Figure,
    pub(super) add_requests: Figure,
    raw_add_requests: Figure,
    pub(super) add_received: Figure,
    raw_add_received: Figure,
    add_sent: Figure,
    raw_add_sent: Figure,
    pub(super) delete_requests: Figure,
    pub(super) delete_received: Figure,
}

/// What one round found.
pub(super) struct Round {
    pub(super) watched: Times,
    pub(super) crowd: Option<Times>,
    pub(super) cost: Option<Cost>,
    /// How far apart the two notifications of one transaction were told, in microseconds, each time.
    pub(super) apart: Vec<f64>,
}

impl Size {
    pub(super) fn new(count: u32) -> Self {
        Self::named(count, "", true)
    }

    /// The small service that is measured in the same rounds as a larger one, as far as the two are compared.
    pub(super) fn beside(count: u32) -> Self {
        Self::named(count, &format!("among {FEW} in the same rounds: "), false)
    }

    fn named(count: u32, prefix: &str, with_crowd: bool) -> Self {
        let figure = |what: &str, unit| Figure::new(format!("{prefix}{what}"), unit);
        let pair = |what: &str, bare: &str, unit| {
            let bare = figure(bare, unit).bare();
            (figure(what, unit).beside(bare.what.clone()), bare)
        };
        let (added, raw_added) = pair("one added", BARE, "us");
        let (added_from_call, raw_added_from_call) =
            pair("one added, from the writer's call", &format!("{BARE}, from the writer's call"), "us");
        let (crowd, raw_crowd) = pair(
            &format!("one added, until the last of {CROWD} watchers has it"),
            &format!("{CROWD} bare clients, the same"),
            "us",
        );
        let (deleted, raw_deleted) = pair("one deleted, from the writer's call", BARE_DELETED, "us");
        let (crowd_deleted, raw_crowd_deleted) = pair(
            &format!("one deleted, from the writer's call until the last of {CROWD} watchers knows"),
            &format!("{CROWD} bare clients, told by their watches, the same"),
            "us",
        );
        let (add_requests, raw_add_requests) =
            pair("requests of the follower for one added", "requests of the bare client", "");
        let (add_received, raw_add_received) =
            pair("bytes received for one added", "bytes that the bare client receives", "B");
        let (add_sent, raw_add_sent) =
            pair("bytes sent for one added", "bytes that the bare client sends", "B");
        Self {
            count,
            with_crowd,
            added,
            raw_added,
            added_from_call,
            raw_added_from_call,
            deleted,
            raw_deleted,
            crowd,
            raw_crowd,
            crowd_deleted,
            raw_crowd_deleted,
            apart: figure("replaced in one transaction: from the first notification to the second", "us"),
            farthest: figure("the same, the farthest apart in a round", "us"),
            add_requests,
            raw_add_requests,
            add_received,
            raw_add_received,
            add_sent,
            raw_add_sent,
            delete_requests: figure("requests of the follower for one deleted", ""),
            delete_received: figure("bytes received for one deleted", "B"),
        }
    }

    pub(super) fn push(&mut self, round: Round) {
        let Times { ours, raw } = round.watched;
        self.added.push(ours.added.from_answer);
        self.raw_added.push(raw.added.from_answer);
        self.added_from_call.push(ours.added.from_call);
        self.raw_added_from_call.push(raw.added.from_call);
        self.deleted.push(ours.deleted.from_call);
        self.raw_deleted.push(raw.deleted.from_call);
        if let Some(Times { ours, raw }) = round.crowd {
            self.crowd.push(ours.added.from_answer);
            self.raw_crowd.push(raw.added.from_answer);
            self.crowd_deleted.push(ours.deleted.from_call);
            self.raw_crowd_deleted.push(raw.deleted.from_call);
        }
        if let Some(farthest) = round.apart.iter().copied().reduce(f64::max) {
            self.apart.push(median(&round.apart));
            self.farthest.push(farthest);
        }
        if let Some(Cost { added, raw_added, deleted }) = round.cost {
            self.add_requests.push(added.requests);
            self.raw_add_requests.push(raw_added.requests);
            self.add_received.push(added.received);
            self.raw_add_received.push(raw_added.received);
            self.add_sent.push(added.sent);
            self.raw_add_sent.push(raw_added.sent);
            self.delete_requests.push(deleted.requests);
            self.delete_received.push(deleted.received);
        }
    }

    pub(super) fn figures(self) -> Vec<Figure> {
        if !self.with_crowd {
            // What the size asked for is compared with; the bare client's are beside that one.
            let alone = |figure| Figure { beside: None, ..figure };
            return vec![alone(self.added), alone(self.added_from_call)];
        }
        vec![
            self.added,
            self.raw_added,
            self.added_from_call,
            self.raw_added_from_call,
            self.crowd,
            self.raw_crowd,
            self.deleted,
            self.raw_deleted,
            self.crowd_deleted,
            self.raw_crowd_deleted,
            self.apart,
            self.farthest,
            self.add_requests,
            self.raw_add_requests,
            self.add_received,
            self.raw_add_received,
            self.add_sent,
            self.raw_add_sent,
            self.delete_requests,
            self.delete_received,
        ]
    }
}
