//! What a client gets of an instance's answer.

use hyper::header::{CONNECTION, HeaderValue, UPGRADE};
use hyper::http::response::Parts;
use hyper::upgrade::OnUpgrade;
use hyper::{Response, StatusCode, Version};
use tokio::sync::watch;
use tracing::debug;

use super::body::{Arriving, Body, Ending};
use super::connections::Connection;
use super::headers::{add_via, has_token, kept_for, remove_hop_by_hop};
use super::length::{Unclear, clarify};
use super::problem::Problem;
use super::routes::{Route, Routes};
use super::sending::Received;
use super::service::Chosen;
use super::tunnel::Tunnel;

/// An answer whose head is there.
pub(super) struct Answer {
    pub(super) response: Response<Arriving>,
    pub(super) connection: Connection,
    pub(super) chosen: Chosen,
}

impl Answer {
    /// Makes of it what the client gets.
    pub(super) fn pass(
        self,
        routes: &Routes,
        route: &Route,
        upload: Option<Received>,
    ) -> Result<Response<Body>, Problem> {
        let Self { response, mut connection, mut chosen } = self;
        let (mut parts, arriving) = response.into_parts();
        match clarify(parts.status, &mut parts.headers) {
            Ok(true) => connection.kept_for = kept_for(&parts.headers),
            Ok(false) => connection.is_last_use(),
            Err(Unclear) => {
                debug!(instance = %chosen.id(), "the length of an answer is unclear");
                chosen.failed();
                return Err(Problem::unclear(&route.service.name));
            }
        }
        clean(&mut parts);
        parts.version = Version::HTTP_11;
        let chosen = if routes.rules.ejection.statuses.contains(&parts.status.as_u16()) {
            chosen.failed();
            None
        } else {
            chosen.answered();
            Some(chosen)
        };
        let ending = Ending { service: route.service.clone(), connection, upload, chosen };
        let body = Body::passing(arriving, route.rule.limits.idle, ending);
        Ok(Response::from_parts(parts, body))
    }

    /// Makes a tunnel of the connections at both sides.
    pub(super) fn tunnel(
        self,
        route: &Route,
        upgrade: Option<OnUpgrade>,
        over: &watch::Sender<bool>,
    ) -> Result<Response<Body>, Problem> {
        let Self { response, mut connection, mut chosen } = self;
        let (mut parts, _) = response.into_parts();
        let agreed = has_token(&parts.headers, &UPGRADE, "websocket");
        let instance = parts.extensions.remove::<OnUpgrade>();
        let (Some(client), Some(instance), true) = (upgrade, instance, agreed) else {
            // Nobody asked for that.
            debug!(instance = %chosen.id(), "an answer upgrades what was not asked to be");
            chosen.failed();
            return Err(Problem::broken(&route.service.name));
        };
        chosen.answered();
        connection.leave_to_task();
        let tunnel = Tunnel { client, instance, connection, chosen, idle: route.rule.limits.tunnel };
        tokio::spawn(tunnel.run(over.subscribe()));
        clean(&mut parts);
        parts.headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        parts.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        Ok(Response::from_parts(parts, Body::whole(bytes::Bytes::new())))
    }

    pub(super) fn is_upgrade(&self) -> bool {
        self.response.status() == StatusCode::SWITCHING_PROTOCOLS
    }
}

fn clean(parts: &mut Parts) {
    remove_hop_by_hop(&mut parts.headers);
    add_via(&mut parts.headers, parts.version);
}
