//! A process that follows one service and tells of it: started by the benches, so that what it uses can be told apart.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use proto::{Root, ServiceName};
use registry::{Discovery, Instances, Native, Registry};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::sync::watch;
use zk_session::{Keeper, ZooKeeper};

use crate::bench::processes::look::{Fingerprint, Look, Memory, now_ns, used, used_by_thread};
use crate::bench::processes::raw_follower::RawFollower;
use crate::bench::stage::{ROOT, SESSION, raw};
use crate::output::print;

/// One line for each line on stdin, and one for the first list; the end of stdin is its end.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where ZooKeeper is.
    #[arg(long)]
    zk: String,
    /// What to follow, below the root of the benches.
    #[arg(long)]
    service: String,
    /// By the bare client.
    #[arg(long)]
    raw: bool,
}

/// What is followed.
pub(crate) trait Followed {
    /// Waits until the list changed.
    ///
    /// # Cancel safety
    ///
    /// Nothing is missed when this is dropped before it is ready.
    async fn changed(&mut self) -> anyhow::Result<()>;

    fn size(&self) -> usize;

    fn fingerprint(&self) -> anyhow::Result<Fingerprint>;
}

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    // As the benches themselves: not by `block_on`.
    tokio::spawn(follow(args)).await.context("the follower ended early")?
}

async fn follow(args: Args) -> anyhow::Result<ExitCode> {
    let (root, service) = (Root::parse(ROOT)?, ServiceName::parse(&args.service)?);
    if args.raw {
        let follower = RawFollower::start(raw(&args.zk).await?, &root.instances_dir(&service)).await?;
        tell(follower).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let keeper = Keeper::start(ZooKeeper::builder(&args.zk).session_timeout(SESSION).build()?);
    let discovery = Registry::new(keeper.sessions(), Native { root }).follow(&service);
    discovery.ready().await?;
    let mut lists = discovery.instances();
    lists.mark_unchanged();
    tell(Ours { lists, _discovery: discovery }).await?;
    keeper.close().await;
    Ok(ExitCode::SUCCESS)
}

/// A list as the registry publishes it.
struct Ours {
    lists: watch::Receiver<Option<Instances>>,
    _discovery: Discovery,
}

impl Followed for Ours {
    async fn changed(&mut self) -> anyhow::Result<()> {
        self.lists.changed().await.context("the list ended")
    }

    fn size(&self) -> usize {
        self.lists.borrow().as_ref().map_or(0, zk_session::List::len)
    }

    fn fingerprint(&self) -> anyhow::Result<Fingerprint> {
        let list = self.lists.borrow().clone();
        let mut fingerprint = Fingerprint::default();
        for instance in list.iter().flat_map(|list| list.iter()) {
            fingerprint.add(instance.id.as_str(), &instance.data);
        }
        Ok(fingerprint)
    }
}

/// Answers each line on stdin: `look`, or `mark` that also forgets what was before.
async fn tell(mut followed: impl Followed) -> anyhow::Result<()> {
    let mut seen = Seen::new(followed.size());
    print(serde_json::to_string(&seen.look(&followed)?)?)?;
    let mut questions = BufReader::new(tokio::io::stdin()).lines();
    loop {
        tokio::select! {
            // In this order: what is new is in the answer.
            biased;
            changed = followed.changed() => {
                changed?;
                seen.list(followed.size());
            }
            question = questions.next_line() => match question?.as_deref() {
                Some("look") => print(serde_json::to_string(&seen.look(&followed)?)?)?,
                Some("mark") => {
                    print(serde_json::to_string(&seen.look(&followed)?)?)?;
                    seen.mark(followed.size());
                }
                Some(other) => bail!("not a question: {other}"),
                None => return Ok(()),
            },
        }
    }
}

/// What was seen of the lists.
struct Seen {
    changed_ns: u64,
    lowest: usize,
    lists: u64,
    looking: std::time::Duration,
}

impl Seen {
    fn new(size: usize) -> Self {
        Self { changed_ns: now_ns(), lowest: size, lists: 0, looking: std::time::Duration::ZERO }
    }

    fn list(&mut self, size: usize) {
        self.changed_ns = now_ns();
        self.lowest = self.lowest.min(size);
        self.lists += 1;
    }

    fn mark(&mut self, size: usize) {
        (self.lowest, self.lists) = (size, 0);
    }

    fn look(&mut self, followed: &impl Followed) -> anyhow::Result<Look> {
        // All of it in one poll, so by one thread.
        let begun = used_by_thread();
        let cpu = used().saturating_sub(self.looking);
        let fingerprint = followed.fingerprint()?;
        let look = Look {
            size: followed.size(),
            fingerprint: fingerprint.0,
            changed_ns: self.changed_ns,
            lowest: self.lowest,
            lists: self.lists,
            cpu_us: cpu.as_micros().try_into()?,
            memory: Memory::own()?,
        };
        self.looking += used_by_thread().saturating_sub(begun);
        Ok(look)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(usize);

    impl Followed for Fixed {
        async fn changed(&mut self) -> anyhow::Result<()> {
            std::future::pending().await
        }

        fn size(&self) -> usize {
            self.0
        }

        fn fingerprint(&self) -> anyhow::Result<Fingerprint> {
            Ok(Fingerprint(7))
        }
    }

    #[test]
    fn a_look_tells_of_the_lists_since_the_mark() {
        let mut seen = Seen::new(10);
        for size in [7, 3, 9] {
            seen.list(size);
        }
        let look = seen.look(&Fixed(9)).unwrap();
        assert_eq!((look.size, look.fingerprint, look.lowest, look.lists), (9, 7, 3, 3));
        seen.mark(9);
        seen.list(8);
        let look = seen.look(&Fixed(8)).unwrap();
        assert_eq!((look.lowest, look.lists), (8, 1));
        assert!(look.changed_ns <= now_ns());
    }
}
