//! Acting only as the leader: the guard is asked right before each act, and the term goes along, on a fake ZooKeeper.
//!
//! `cargo run -p examples --example leader_guard`

use leader::{Election, Leadership, Root, Term};
use proto::{NodeData, ServiceName};
use zk_session::Keeper;
use zk_session::fake::FakeZk;

/// What is written to by the leader alone. It keeps the greatest term, so that one who was stopped between the guard and
/// the write does no harm when it goes on.
#[derive(Default)]
struct Resource {
    greatest: Option<Term>,
    written: Vec<String>,
}

impl Resource {
    fn write(&mut self, term: Term, what: &str) -> bool {
        let accepted = self.greatest.is_none_or(|greatest| greatest <= term);
        if accepted {
            self.greatest = Some(term);
            self.written.push(what.to_owned());
        }
        accepted
    }
}

fn act(leadership: &Leadership, resource: &mut Resource, what: &str) {
    // The guard is the last thing before the act: what was true a moment ago says nothing.
    if !leadership.holds() {
        println!("{what}: not done, we do not lead");
    } else if resource.write(leadership.term(), what) {
        println!("{what}: done");
    } else {
        // Somebody leads in a later term: whatever we believe, we do not.
        println!("{what}: refused, our term is an old one");
        leadership.resign();
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let zk = FakeZk::default();
    let keeper = Keeper::start(zk.client());
    let election = Election::new(keeper.sessions(), Root::default());
    let ledger = ServiceName::parse("ledger")?;
    let mut resource = Resource::default();

    let candidacy = election.campaign(&ledger, NodeData::at("127.0.0.1:8897".parse()?))?;
    let first = candidacy.elected().await?;
    act(&first, &mut resource, "the first write");

    // The session ends: so does the leadership, by itself. The candidacy stands again, and wins, for it is alone.
    zk.expire(first.session());
    println!("lost: {}", first.lost().await);
    act(&first, &mut resource, "a late write");
    let second = candidacy.elected().await?;
    println!("the term grows: {}", first.term() < second.term());
    act(&second, &mut resource, "the second write");

    println!("a write past the guard is accepted: {}", resource.write(first.term(), "a stale write"));
    println!("written: {:?}", resource.written);
    candidacy.resign().await;
    keeper.close().await;
    Ok(())
}
