//! Where the names of hosts lead: each is looked up once at a time, and only so many at once.
//!
//! The system looks names up on a thread, and that cannot be broken off: where no name server answers it takes longer than a request waits. Were
//! each request to begin one of its own, they would take all threads of the runtime's pool, and other work of the program would wait for them.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::net::lookup_host;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

/// How many names are looked up at once. The pool has 512 threads, unless it is told otherwise.
const MOST: usize = 32;

/// An error that took longer is told as one of time: name servers that answer have said by then that there is no such name, and the system
/// waits for one that does not for a second at least.
const SAID_BY: Duration = Duration::from_millis(500);

/// The lookups that are under way. What they find is not kept.
pub(super) struct Lookups {
    resolve: Box<Resolve>,
    /// By name, those that are under way or wait for their turn.
    asked: Mutex<HashMap<Arc<str>, watch::Receiver<Option<Answer>>>>,
    turns: Semaphore,
}

/// Looks up a name; what it finds has the port 0.
type Resolve = dyn Fn(Arc<str>) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync;

/// What all are told who asked.
type Answer = Result<Vec<SocketAddr>, Arc<io::Error>>;

impl Default for Lookups {
    fn default() -> Self {
        Self::by(|name| by_the_system(name).boxed())
    }
}

impl Lookups {
    pub(super) fn by(
        resolve: impl Fn(Arc<str>) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync + 'static,
    ) -> Self {
        Self { resolve: Box::new(resolve), asked: Mutex::default(), turns: Semaphore::new(MOST) }
    }

    /// All addresses of a host, with this port. Takes as long as it takes, and as long as others take whose turn is before.
    ///
    /// # Errors
    ///
    /// What the system says, to all who waited for it; [`io::ErrorKind::TimedOut`] where no name server answered it.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time: what is looked up goes on, for those who ask meanwhile.
    pub(super) async fn look_up(self: &Arc<Self>, name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let mut answer = self.ask(name);
        let told = answer.wait_for(Option::is_some).await.ok().and_then(|answer| answer.clone());
        match told {
            Some(Ok(mut addresses)) => {
                addresses.iter_mut().for_each(|address| address.set_port(port));
                Ok(addresses)
            }
            Some(Err(error)) => Err(again(error)),
            None => Err(io::Error::other("the lookup broke off")),
        }
    }

    /// Joins the lookup of this name that is under way, or begins it.
    fn ask(self: &Arc<Self>, name: &str) -> watch::Receiver<Option<Answer>> {
        let mut asked = self.lock();
        // One whose task broke off will tell nothing.
        if let Some(answer) = asked.get(name).filter(|answer| answer.has_changed().is_ok()) {
            return answer.clone();
        }
        let name = Arc::<str>::from(name);
        let (told, answer) = watch::channel(None);
        asked.insert(name.clone(), answer.clone());
        let all = self.clone();
        tokio::spawn(async move { all.tell(&name, &told).await });
        answer
    }

    /// Looks a name up when its turn comes, unless nobody waits for that any more.
    async fn tell(&self, name: &Arc<str>, told: &watch::Sender<Option<Answer>>) {
        let Ok(_turn) = self.turns.acquire().await else { return };
        if self.is_given_up(name, told) {
            return;
        }
        let begun = Instant::now();
        let found = (self.resolve)(name.clone()).await;
        let found = found.map_err(|error| match begun.elapsed() < SAID_BY {
            true => error,
            false => io::Error::new(io::ErrorKind::TimedOut, error),
        });
        told.send_replace(Some(found.map_err(Arc::new)));
        self.lock().remove(name);
    }

    /// Whether nobody waits for a name any more; then it is asked for anew by whoever comes next.
    fn is_given_up(&self, name: &Arc<str>, told: &watch::Sender<Option<Answer>>) -> bool {
        let mut asked = self.lock();
        // One receiver is there for those who come.
        let is_given_up = told.receiver_count() == 1;
        if is_given_up {
            asked.remove(name);
        }
        is_given_up
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, watch::Receiver<Option<Answer>>>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn by_the_system(name: Arc<str>) -> io::Result<Vec<SocketAddr>> {
    Ok(lookup_host((&*name, 0)).await?.collect())
}

/// The same error once more: its number says whether there was no room here.
fn again(error: Arc<io::Error>) -> io::Error {
    match error.raw_os_error() {
        Some(number) => io::Error::from_raw_os_error(number),
        None => io::Error::new(error.kind(), error),
    }
}

impl fmt::Debug for Lookups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lookups").field("asked", &self.lock().keys()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;
    use rustix::io::Errno;
    use tokio::time::{sleep, timeout};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(2);

    /// A resolver that answers as often as a test says, what it was asked, and in what order.
    struct Resolver {
        lookups: Arc<Lookups>,
        asked: Arc<Mutex<Vec<String>>>,
        answers: Arc<Semaphore>,
    }

    impl Resolver {
        fn new() -> Self {
            let (asked, answers) = (Arc::<Mutex<Vec<String>>>::default(), Arc::new(Semaphore::new(0)));
            let (noted, may_answer) = (asked.clone(), answers.clone());
            let lookups = Lookups::by(move |name| {
                noted.lock().unwrap().push(name.to_string());
                let may_answer = may_answer.clone();
                async move {
                    may_answer.acquire().await.unwrap().forget();
                    resolved(&name)
                }
                .boxed()
            });
            Self { lookups: Arc::new(lookups), asked, answers }
        }

        /// What was asked so far.
        fn asked(&self) -> Vec<String> {
            self.asked.lock().unwrap().clone()
        }

        /// Asks as a request does, which does not wait for ever.
        async fn ask(&self, name: &str) -> Option<io::Result<Vec<SocketAddr>>> {
            timeout(PATIENCE, self.lookups.look_up(name, 80)).await.ok()
        }

        /// Lets so many lookups end, and those go on who wait for that.
        async fn answer(&self, count: usize) {
            self.answers.add_permits(count);
            sleep(Duration::from_millis(1)).await;
        }
    }

    fn resolved(name: &str) -> io::Result<Vec<SocketAddr>> {
        match name {
            "nobody" => Err(io::Error::new(io::ErrorKind::NotFound, "there is none")),
            "no-files" => Err(Errno::MFILE.into()),
            "panics" => panic!("it is asked to"),
            _ => Ok(vec![([10, 0, 0, 1], 0).into(), ([10, 0, 0, 2], 0).into()]),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_is_looked_up_once_at_a_time_however_many_ask() {
        let resolver = Resolver::new();
        let told = join_all((0..600).map(|_| resolver.ask("a"))).await;
        assert!(told.iter().all(Option::is_none));
        assert_eq!(resolver.asked(), ["a"]);
        // It is still under way when those who asked have left.
        let next = async { join_all((0..600).map(|_| resolver.ask("a"))).await };
        let (told, ()) = tokio::join!(next, async {
            sleep(PATIENCE / 2).await;
            resolver.answer(1).await;
        });
        let addresses: [SocketAddr; 2] =
            ["10.0.0.1:80", "10.0.0.2:80"].map(|address| address.parse().unwrap());
        assert!(told.into_iter().all(|told| told.unwrap().unwrap() == addresses));
        assert_eq!(resolver.asked(), ["a"]);
        // What it told is not kept.
        resolver.answer(1).await;
        assert!(resolver.ask("a").await.unwrap().is_ok());
        assert_eq!(resolver.asked(), ["a", "a"]);
        assert!(resolver.lookups.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_are_looked_up_at_once_and_another_name_has_its_turn_when_one_ends() {
        let resolver = Resolver::new();
        let names: Vec<_> = (0..40).map(|number| format!("name-{number}")).collect();
        let all = join_all(names.iter().map(|name| resolver.ask(name)));
        tokio::join!(all, async {
            sleep(Duration::from_millis(1)).await;
            assert_eq!(resolver.asked(), names[..MOST]);
            resolver.answer(1).await;
            assert_eq!(resolver.asked(), names[..=MOST]);
            resolver.answer(2).await;
            assert_eq!(resolver.asked(), names[..MOST + 3]);
        });
        // Whose turn comes when nobody waits any more is not looked up.
        resolver.answer(100).await;
        assert_eq!(resolver.asked(), names[..MOST + 3]);
        assert!(resolver.lookups.lock().is_empty());
        assert!(resolver.ask(&names[39]).await.unwrap().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn all_are_told_why_a_name_leads_nowhere() {
        let resolver = Resolver::new();
        resolver.answer(10).await;
        for told in join_all([(); 2].map(|()| resolver.ask("nobody"))).await {
            let error = told.unwrap().unwrap_err();
            assert_eq!(
                (error.kind(), error.to_string().as_str()),
                (io::ErrorKind::NotFound, "there is none")
            );
        }
        for told in join_all([(); 2].map(|()| resolver.ask("no-files"))).await {
            assert_eq!(Errno::from_io_error(&told.unwrap().unwrap_err()), Some(Errno::MFILE));
        }
        assert_eq!(resolver.asked(), ["nobody", "no-files"]);
        // A lookup that breaks off is not waited for by those who come next.
        for _ in 0..2 {
            assert!(resolver.ask("panics").await.unwrap().is_err());
        }
        assert_eq!(resolver.asked().len(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_keeps_its_place_in_the_line_for_those_who_ask_next() {
        let resolver = Resolver::new();
        let names: Vec<_> = (0..MOST).map(|number| format!("name-{number}")).collect();
        join_all(names.iter().map(|name| resolver.ask(name))).await;
        assert!(resolver.ask("late").await.is_none());
        // Its turn has not come: nobody waits, and then somebody does again.
        let (told, ()) = tokio::join!(resolver.ask("late"), async {
            sleep(PATIENCE / 2).await;
            resolver.answer(MOST + 1).await;
        });
        assert!(told.unwrap().is_ok());
        assert_eq!(resolver.asked()[MOST..], ["late"]);
    }

    #[tokio::test]
    async fn the_system_knows_this_machine() {
        let lookups = Arc::new(Lookups::default());
        let addresses = lookups.look_up("localhost", 80).await.unwrap();
        assert!(addresses.iter().any(|address| address.ip().is_loopback() && address.port() == 80));
    }
}
