//! Which member of an ensemble leads, asked of all of them at the same time.

use std::net::SocketAddr;
use std::time::Duration;

use futures::future::join_all;
use futures::stream::{self, Stream, StreamExt};
use tokio::time::{Instant, sleep, timeout_at};

use crate::error::Error;
use crate::server::{QUESTION, QUESTION_MOST};
use crate::words::{self, Role};

/// An election takes a second; the rest is for a loaded machine.
const ELECTION: Duration = Duration::from_secs(180);
const BETWEEN_QUESTIONS: Duration = Duration::from_millis(20);

/// Waits until one leads, and none beside it.
pub(crate) async fn leader_among(members: &[SocketAddr]) -> Result<usize, Error> {
    let give_up = Instant::now() + ELECTION;
    let mut answers = vec![None; members.len()];
    // Each at its own pace: one that is paused holds up none of the others.
    let asked =
        members.iter().enumerate().map(|(index, member)| roles(*member).map(move |role| (index, role)));
    let mut said = stream::select_all(asked.map(StreamExt::boxed));
    while let Ok(Some((index, role))) = timeout_at(give_up, said.next()).await {
        answers[index] = Some(role);
        if let Some(leader) = only_leader(&answers) {
            return Ok(leader);
        }
    }
    let leaders = answers.iter().filter(|answer| **answer == Some(Some(Role::Leader))).count();
    let awaited = format!("one leader of the ensemble, where now {leaders} say they lead");
    Err(Error::TimedOut { awaited, limit: ELECTION })
}

/// Those who say so, each within this time.
pub(crate) async fn leaders_among(members: &[SocketAddr], patience: Duration) -> Vec<usize> {
    let roles = join_all(members.iter().map(|member| words::role_within(*member, patience))).await;
    let said = roles.into_iter().enumerate();
    said.filter(|(_, role)| *role == Some(Role::Leader)).map(|(index, _)| index).collect()
}

/// What a server says it is, asked again and again; nothing where it does not answer.
fn roles(of: SocketAddr) -> impl Stream<Item = Option<Role>> {
    stream::unfold(None, move |earlier: Option<Duration>| async move {
        let patience = match earlier {
            None => QUESTION,
            Some(earlier) => {
                sleep(BETWEEN_QUESTIONS).await;
                (2 * earlier).min(QUESTION_MOST)
            }
        };
        Some((words::role_within(of, patience).await, Some(patience)))
    })
}

/// Who leads alone, once all were asked; each was given the time for an answer, or gave one.
fn only_leader(answers: &[Option<Option<Role>>]) -> Option<usize> {
    let roles: Vec<_> = answers.iter().copied().collect::<Option<_>>()?;
    let mut leaders = (0..).zip(roles).filter(|(_, role)| *role == Some(Role::Leader));
    let (first, second) = (leaders.next(), leaders.next());
    first.filter(|_| second.is_none()).map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::sync::Barrier;
    use tokio::time::timeout;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    /// A member that answers when all are asked, and leads after so many questions.
    async fn member(all: Arc<Barrier>, searches: usize) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            for question in 0.. {
                let (mut stream, _) = listener.accept().await.unwrap();
                if question == 0 {
                    all.wait().await;
                }
                // Who has asked may be gone by now.
                let _ = stream.read_exact(&mut [0; 4]).await;
                let answer: &[u8] = if question < searches { b"not serving" } else { b"Mode: leader" };
                let _ = stream.write_all(answer).await;
            }
        });
        address
    }

    #[tokio::test]
    async fn a_member_that_says_nothing_holds_up_no_other() {
        let paused = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        // If each question to it waited for the other's answer, that would be twice as long as we wait.
        let elected = member(Arc::new(Barrier::new(1)), 25).await;
        let members = [paused.local_addr().unwrap(), elected];
        assert_eq!(timeout(LONG, leader_among(&members)).await.unwrap().unwrap(), 1);
    }

    #[tokio::test]
    async fn all_members_are_asked_at_once_who_leads() {
        let all = Arc::new(Barrier::new(2));
        let members = [member(all.clone(), 0).await, member(all, 0).await];
        assert_eq!(timeout(LONG, leaders_among(&members, LONG)).await.unwrap(), [0, 1]);
    }

    #[test]
    fn one_leads_when_all_were_asked_and_no_other_says_so() {
        let (leads, follows) = (Some(Some(Role::Leader)), Some(Some(Role::Follower)));
        let (silent, not_asked) = (Some(None), None);
        assert_eq!(only_leader(&[follows, leads, follows]), Some(1));
        assert_eq!(only_leader(&[silent, silent, leads]), Some(2));
        assert_eq!(only_leader(&[leads, leads, follows]), None);
        assert_eq!(only_leader(&[leads, not_asked, follows]), None);
        assert_eq!(only_leader(&[follows, silent, follows]), None);
        assert_eq!(only_leader(&[]), None);
    }
}
