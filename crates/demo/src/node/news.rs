//! What a node says.

use cli::output::chain;
use cluster::{Answer, Arrival, Node, Trouble, Turned};
use serde_json::{Value, json};

use crate::output::{brief, shown};

/// Something that happened, for whoever watches.
#[derive(Debug)]
pub(super) enum News {
    Listens(Node),
    Master,
    Joined(Answer),
    Arrived { arrival: Arrival, members: usize },
}

impl News {
    pub(super) fn text(&self) -> String {
        match self {
            Self::Listens(me) => format!("node {} listens on {}", me.id(), me.address()),
            Self::Master => "starts as the master".to_owned(),
            Self::Joined(Answer { from, message, .. }) => {
                format!("joined the cluster by {from}: {}", brief(message))
            }
            Self::Arrived { arrival: Arrival { node, replaced }, members } => {
                let place = replaced.as_ref().map(|gone| format!(" in place of node {}", gone.id()));
                format!("{node} joined{}; {members} members are known here", place.unwrap_or_default())
            }
        }
    }

    pub(super) fn json(&self) -> Value {
        match self {
            Self::Listens(me) => with(me, json!({ "kind": "listens" })),
            Self::Master => json!({ "kind": "master" }),
            Self::Joined(Answer { from, message, .. }) => {
                with(from, json!({ "kind": "joined-by", "message": message }))
            }
            Self::Arrived { arrival: Arrival { node, replaced }, members } => with(
                node,
                json!({ "kind": "joined", "replaced": replaced.as_ref().map(Node::id), "members": members }),
            ),
        }
    }
}

/// One row of the members.
pub(super) fn member_as_json(node: &Node, how: &str) -> Value {
    with(node, json!({ "kind": "member", "how": how }))
}

fn with(node: &Node, mut object: Value) -> Value {
    object["nodeId"] = json!(node.id());
    object["address"] = json!(node.address().to_string());
    object
}

/// A connection that made nobody a member, and how many of them were not told.
pub(super) fn turned_away(Turned { peer, why, untold, .. }: &Turned) -> String {
    let done = match why {
        Trouble::Refused { .. } | Trouble::Unanswered { .. } => "from",
        _ => "dropped",
    };
    let more = if *untold > 0 { format!(" ({untold} before it were not told)") } else { String::new() };
    format!("{done} {peer}: {}{more}", shown(&chain(why)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: u32, address: &str) -> Node {
        Node::new(id, address.parse().unwrap()).unwrap()
    }

    #[test]
    fn each_piece_of_news_is_a_line_for_people_and_an_object_for_scripts() {
        let (a, b) = (node(1, "127.0.0.1:1"), node(2, "127.0.0.1:2"));
        let replaced = Some(node(3, "127.0.0.1:1"));
        let answer = Answer { from: b.clone(), to: a.clone(), message: "hi\x1b[2J".to_owned() };
        for (news, text, json) in [
            (
                News::Listens(a.clone()),
                "node 1 listens on 127.0.0.1:1",
                json!({"kind": "listens", "nodeId": 1, "address": "127.0.0.1:1"}),
            ),
            (News::Master, "starts as the master", json!({"kind": "master"})),
            (
                News::Joined(answer),
                "joined the cluster by node 2 at 127.0.0.1:2: hi\\u{1b}[2J",
                json!({"kind": "joined-by", "nodeId": 2, "address": "127.0.0.1:2", "message": "hi\u{1b}[2J"}),
            ),
            (
                News::Arrived { arrival: Arrival { node: b, replaced: None }, members: 2 },
                "node 2 at 127.0.0.1:2 joined; 2 members are known here",
                json!({"kind": "joined", "nodeId": 2, "address": "127.0.0.1:2", "replaced": null, "members": 2}),
            ),
            (
                News::Arrived { arrival: Arrival { node: a, replaced }, members: 5 },
                "node 1 at 127.0.0.1:1 joined in place of node 3; 5 members are known here",
                json!({"kind": "joined", "nodeId": 1, "address": "127.0.0.1:1", "replaced": 3, "members": 5}),
            ),
        ] {
            assert_eq!((news.text().as_str(), news.json()), (text, json));
        }
    }
}
