//! What a server says of itself, for people and for programs.

use leader::{Lost, Term};
use proto::{Address, ServiceName};
use serde_json::{Value, json};
use zk_session::SessionId;

/// Something that whoever watches a server wants to know.
#[derive(Debug)]
pub(super) enum News<'a> {
    /// It answers at this address.
    Listening {
        at: &'a Address,
    },
    /// Others find it, by this node.
    Registered {
        path: &'a str,
        session: SessionId,
    },
    Leads {
        term: Term,
    },
    LeadsNoMore {
        why: Lost,
    },
    /// Its node is gone, which was told to be there, and clients have learnt of that or will.
    Deregistered,
    Stopped,
}

impl News<'_> {
    pub(super) fn text(&self, service: &ServiceName) -> String {
        match self {
            Self::Listening { at } => format!("listening on {at}"),
            Self::Registered { path, session } => format!("registered at {path} in session {session}"),
            Self::Leads { term } => format!("leads {service} in term {term}"),
            Self::LeadsNoMore { why } => format!("leads {service} no more: {why}"),
            Self::Deregistered => format!("deregistered from {service}"),
            Self::Stopped => "stopped".to_owned(),
        }
    }

    pub(super) fn json(&self, service: &ServiceName) -> Value {
        match self {
            Self::Listening { at } => json!({ "kind": "listening", "at": at.to_string() }),
            Self::Registered { path, session } => {
                json!({ "kind": "registered", "service": service, "path": path, "session": session.to_string() })
            }
            Self::Leads { term } => json!({ "kind": "leads", "service": service, "term": term.0 }),
            Self::LeadsNoMore { why } => {
                json!({ "kind": "leads-no-more", "service": service, "why": why.to_string() })
            }
            Self::Deregistered => json!({ "kind": "deregistered", "service": service }),
            Self::Stopped => json!({ "kind": "stopped" }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_are_told_to_people_and_to_programs() {
        let (service, at) = (ServiceName::parse("time").unwrap(), "127.0.0.1:80".parse().unwrap());
        let why = Lost::Resigned;
        let lost = why.to_string();
        for (news, text, told) in [
            (
                News::Listening { at: &at },
                "listening on 127.0.0.1:80".to_owned(),
                json!({"kind": "listening", "at": "127.0.0.1:80"}),
            ),
            (
                News::Registered { path: "/p", session: SessionId(1) },
                "registered at /p in session 0x1".to_owned(),
                json!({"kind": "registered", "service": "time", "path": "/p", "session": "0x1"}),
            ),
            (
                News::Leads { term: Term(7) },
                "leads time in term 7".to_owned(),
                json!({"kind": "leads", "service": "time", "term": 7}),
            ),
            (
                News::LeadsNoMore { why },
                format!("leads time no more: {lost}"),
                json!({"kind": "leads-no-more", "service": "time", "why": lost}),
            ),
            (
                News::Deregistered,
                "deregistered from time".to_owned(),
                json!({"kind": "deregistered", "service": "time"}),
            ),
            (News::Stopped, "stopped".to_owned(), json!({"kind": "stopped"})),
        ] {
            assert_eq!((news.text(&service), news.json(&service)), (text, told), "{news:?}");
        }
    }
}
