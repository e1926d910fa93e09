//! Joins a cluster by any of its members.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::admission::is_id_taken;
use crate::reading::{ObjectError, ReadError, read_object};
use crate::{Address, Answer, MessageError, Node, Request};

/// Asks the member that listens at `at` to let `me` in, and waits for its answer: `within` in all, usually
/// [`PATIENCE`](crate::PATIENCE).
///
/// Asking twice is no harm: a member knows who has joined. A member elsewhere that says that it is at the loopback address is
/// told as where it was reached, as a member tells of joiners.
///
/// # Errors
///
/// See [`JoinError`], which tells what to do next.
///
/// # Cancel safety
///
/// May be dropped at any time. Whoever gives up so, or after `within`, resets the connection: a member that has not read the request
/// by then lets nobody in. It may have let us in before, all the same.
pub async fn join(me: &Node, at: &Address, within: Duration) -> Result<Answer, JoinError> {
    let begin = Instant::now();
    let rest = || within.saturating_sub(begin.elapsed());
    let late = || io::Error::new(io::ErrorKind::TimedOut, format!("no connection within {within:?}"));
    let connected = timeout(rest(), TcpStream::connect((at.host(), at.port()))).await;
    let stream =
        connected.unwrap_or_else(|_| Err(late())).map_err(|source| JoinError::Unreachable { source })?;
    let mut asking = Asking { stream, answered: false };
    let stream = &mut asking.stream;

    let failed = |source| ReadError::Connection { bytes: 0, source };
    // Now: nobody is at the other end any more once that has reset the connection.
    let peer = stream.peer_addr().map_err(failed)?.ip();
    let request = Request::new(me, at).line();
    let sent = timeout(rest(), stream.write_all(request.as_bytes())).await;
    let sent = sent.unwrap_or_else(|_| Err(late()));
    sent.map_err(failed)?;
    // It stays open in this direction: there are programs that take a half-closed connection for a closed one.
    let answer = Answer::parse(&read_object(stream, rest()).await?)?;
    asking.answered = true;
    judge(me, answer, peer)
}

/// A connection whose end tells the member whether we still want to be let in: a reset says for certain that nobody waits for its
/// answer any more.
struct Asking {
    stream: TcpStream,
    answered: bool,
}

impl Drop for Asking {
    fn drop(&mut self) {
        if !self.answered {
            // Nothing can be done about an error, and nothing is lost: it is closed like any other.
            let _ = self.stream.set_zero_linger();
        }
    }
}

/// Why a node did not join, named for what it does next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// Nobody listens there, or the way there is broken. Try again later.
    #[error("no connection")]
    Unreachable {
        /// What the system says.
        #[source]
        source: io::Error,
    },

    /// Whoever listens there did not answer. We may be a member all the same: try again, as the same node.
    #[error("no answer")]
    Unanswered {
        /// What came instead.
        #[source]
        source: ReadError,
    },

    /// What answers there does not speak as members do. Look who listens there.
    #[error("what answers is no member of a cluster: {what}")]
    NotAMember {
        /// What is wrong with its answer.
        what: String,
    },

    /// We asked ourselves: there is no other member at that address.
    #[error("that is this node itself")]
    Ourselves,

    /// The member knows another node by our id. Draw another one, and ask again.
    #[error("{by} refused: {why}")]
    IdTaken {
        /// The member.
        by: Node,
        /// What it says, as in [`JoinError::Refused`].
        why: String,
    },

    /// The member lets us not in. Do what it says; the cluster is there, so do not start another one.
    #[error("{by} refused: {why}")]
    Refused {
        /// The member.
        by: Node,
        /// What it says, which may be long and is for nobody's terminal as it is.
        why: String,
    },
}

impl From<ReadError> for JoinError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Object(wrong @ (ObjectError::NotAnObject { .. } | ObjectError::TooLarge)) => {
                Self::NotAMember { what: wrong.to_string() }
            }
            source => Self::Unanswered { source },
        }
    }
}

impl From<MessageError> for JoinError {
    fn from(error: MessageError) -> Self {
        Self::NotAMember { what: error.to_string() }
    }
}

/// Whether an answer of the member that was reached at `peer` lets us in.
fn judge(me: &Node, answer: Answer, peer: IpAddr) -> Result<Answer, JoinError> {
    if answer.from.id() == me.id() && answer.from.address() == me.address() {
        return Err(JoinError::Ourselves);
    }
    // By its id alone: that is unique, and not every member repeats an address as we wrote it.
    if answer.to.id() != me.id() {
        let (to, me) = (answer.to.id(), me.id());
        let what = format!("dest.nodeId: it answers node {to}; accepted: {me}, which asked");
        return Err(JoinError::NotAMember { what });
    }
    let answer = Answer { from: answer.from.seen_from(peer), ..answer };
    match answer.refusal() {
        None => Ok(answer),
        Some(why) if is_id_taken(why) => Err(JoinError::IdTaken { why: why.to_owned(), by: answer.from }),
        Some(why) => Err(JoinError::Refused { why: why.to_owned(), by: answer.from }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn node(id: u32, address: &str) -> Node {
        Node::new(id, address.parse().unwrap()).unwrap()
    }

    #[test]
    fn an_answer_counts_when_somebody_else_lets_us_in_by_our_id() {
        let (me, member) = (node(1, "a:1"), node(2, "b:1"));
        let welcome = |from: &Node, to: &Node| judge(&me, Answer::welcome(from, to), HERE);
        assert_eq!(welcome(&member, &me).unwrap().from, member);
        assert!(welcome(&member, &node(1, "a.example:1")).is_ok(), "as it sees our address");
        assert!(matches!(welcome(&me, &me), Err(JoinError::Ourselves)));
        let error = welcome(&member, &node(3, "a:1")).unwrap_err().to_string();
        assert!(error.ends_with("dest.nodeId: it answers node 3; accepted: 1, which asked"), "{error}");
        let refused = judge(&me, Answer::refuse(&member, &me, "full"), HERE);
        assert!(matches!(refused, Err(JoinError::Refused { by, why }) if by == member && why == "full"));
    }

    #[test]
    fn a_member_elsewhere_that_says_it_is_here_is_where_it_was_reached() {
        let (me, member) = (node(1, "127.0.0.1:8001"), node(2, "127.0.0.1:8001"));
        let there: IpAddr = "10.0.0.7".parse().unwrap();
        for (peer, at) in [(HERE, "127.0.0.1:8001"), (there, "10.0.0.7:8001")] {
            let answer = judge(&me, Answer::welcome(&member, &me), peer).unwrap();
            assert_eq!(answer.from, node(2, at));
            let refused = judge(&me, Answer::refuse(&member, &me, "full"), peer);
            assert!(matches!(refused, Err(JoinError::Refused { by, .. }) if by == node(2, at)));
        }
    }
}
