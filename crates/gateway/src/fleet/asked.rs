//! Answers that many ask for at the same time are asked for once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};

/// For how long an answer is good enough, and how long nobody asks again after there was none.
const FRESH: Duration = Duration::from_secs(1);

/// After an answer that is not good enough for somebody it is not asked again for so long, whoever needs another one: they wait for the same.
const PAUSE: Duration = Duration::from_millis(100);

/// An answer of ZooKeeper, and how old it is.
#[derive(Debug)]
pub(super) struct Asked<T> {
    known: Arc<Mutex<Known<T>>>,
}

#[derive(Debug)]
struct Known<T> {
    answer: Option<Arc<T>>,
    /// When the last question ended, answered or not; `None` as well when something has changed since it was asked.
    tried: Option<Instant>,
    /// Since when there was no answer.
    silent: Option<Instant>,
    /// Closed when the question that is under way has ended.
    under_way: Option<watch::Receiver<()>>,
    /// The number of the last question; they are numbered from 1.
    last: u64,
    /// The number of the last question whose end was taken note of.
    ended: u64,
    /// What was asked before this one may not show what has changed since.
    first_valid: u64,
}

impl<T> Default for Asked<T> {
    fn default() -> Self {
        Self { known: Arc::default() }
    }
}

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self { answer: None, tried: None, silent: None, under_way: None, last: 0, ended: 0, first_valid: 0 }
    }
}

/// The last answer, and since when it is not known to be true.
#[derive(Debug)]
pub struct Answer<T> {
    /// What was answered.
    pub value: Arc<T>,
    /// Since when no answer came, if the last try gave none.
    pub stale_since: Option<Instant>,
}

impl<T: Send + Sync + 'static> Asked<T> {
    /// What was answered is not good enough any more, nor what was only asked: something has changed.
    pub(super) fn forget(&self) {
        let mut known = lock(&self.known);
        known.tried = None;
        known.under_way = None;
        known.first_valid = known.last + 1;
    }

    /// The last answer, however old.
    pub(super) fn last(&self) -> Option<Arc<T>> {
        lock(&self.known).answer.clone()
    }

    /// The answer, asked for unless it was a moment ago; `None` when there never was one. Takes no longer than `patience`.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time: what was asked is asked in a task of its own, for all who come meanwhile.
    pub(super) async fn get<E>(
        &self,
        patience: Duration,
        ask: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Option<Answer<T>> {
        self.get_within(patience, patience, ask).await
    }

    /// The same, and this one waits no longer than `wait`; what was asked goes on for those who ask next.
    pub(super) async fn get_within<E>(
        &self,
        wait: Duration,
        patience: Duration,
        ask: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Option<Answer<T>> {
        self.get_of(|_| true, wait, patience, ask).await
    }

    /// The same as [`get`](Self::get), and where what was asked for before this began does not `suffice`, it is asked again: all who need that
    /// share one question in [`PAUSE`] at most. While there is no answer nobody asks more often for that.
    pub(super) async fn get_sufficient<E>(
        &self,
        patience: Duration,
        suffice: impl Fn(&T) -> bool,
        ask: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Option<Answer<T>> {
        self.get_of(suffice, patience, patience, ask).await
    }

    async fn get_of<E>(
        &self,
        suffice: impl Fn(&T) -> bool,
        wait: Duration,
        patience: Duration,
        ask: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Option<Answer<T>> {
        let begun = Instant::now();
        let until = begun + wait;
        let mut ask = Some(ask);
        let first = lock(&self.known).last + 1;
        loop {
            let next = {
                let mut known = lock(&self.known);
                if known.ended >= first || known.is_fresh() && known.suffices(&suffice) {
                    return known.told();
                }
                match (known.under_way(), known.may_ask_from()) {
                    (Some(under_way), _) => Next::Ends(under_way),
                    (None, Some(from)) if from > Instant::now() => Next::MayAsk(from),
                    // A question that is begun here is answered, or not, by its end: there is one at most.
                    (None, _) => match ask.take() {
                        Some(ask) => Next::Ends(self.begin(&mut known, patience, ask)),
                        None => return known.told(),
                    },
                }
            };
            let in_time = match next {
                Next::Ends(mut under_way) => timeout_at(until, under_way.changed()).await.is_ok(),
                Next::MayAsk(from) => timeout_at(until, sleep_until(from)).await.is_ok(),
            };
            if !in_time {
                let mut told = lock(&self.known).told()?;
                told.stale_since = told.stale_since.or(Some(begun));
                return Some(told);
            }
        }
    }

    fn begin<E>(
        &self,
        known: &mut Known<T>,
        patience: Duration,
        ask: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> watch::Receiver<()> {
        let (ended, under_way) = watch::channel(());
        known.last += 1;
        known.under_way = Some(under_way.clone());
        let (number, begun, all) = (known.last, Instant::now(), self.known.clone());
        tokio::spawn(async move {
            let outcome = timeout_at(begun + patience, ask).await;
            let answer = outcome.ok().and_then(Result::ok);
            lock(&all).end(number, begun, answer);
            drop(ended);
        });
        under_way
    }
}

/// What somebody waits for.
enum Next {
    /// The end of a question.
    Ends(watch::Receiver<()>),
    /// That there may be another one.
    MayAsk(Instant),
}

impl<T> Known<T> {
    fn is_fresh(&self) -> bool {
        self.tried.is_some_and(|tried| tried.elapsed() < FRESH)
    }

    /// Whether the last answer is enough for somebody who came after it was asked for. That there was none is known for as long as any.
    fn suffices(&self, suffice: impl Fn(&T) -> bool) -> bool {
        self.silent.is_some() || self.answer.as_ref().is_none_or(|answer| suffice(answer))
    }

    /// From when on it may be asked once more, if not at once.
    fn may_ask_from(&self) -> Option<Instant> {
        self.tried.map(|tried| tried + PAUSE)
    }

    /// The question that is under way; one whose task has ended is not.
    fn under_way(&self) -> Option<watch::Receiver<()>> {
        self.under_way.clone().filter(|under_way| under_way.has_changed().is_ok())
    }

    fn told(&self) -> Option<Answer<T>> {
        let value = self.answer.clone()?;
        Some(Answer { value, stale_since: self.silent })
    }

    /// Takes note of how a question ended, unless one that was asked later has ended already.
    fn end(&mut self, number: u64, begun: Instant, answer: Option<T>) {
        if number < self.ended {
            return;
        }
        self.ended = number;
        match answer {
            Some(answer) => (self.answer, self.silent) = (Some(Arc::new(answer)), None),
            None => self.silent = self.silent.or(Some(begun)),
        }
        if number >= self.first_valid {
            self.tried = Some(Instant::now());
        }
    }
}

fn lock<T>(known: &Mutex<Known<T>>) -> MutexGuard<'_, Known<T>> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures::FutureExt;
    use futures::future::join_all;
    use tokio::sync::oneshot;
    use tokio::time::{advance, sleep};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(2);

    /// Counts how often ZooKeeper is asked, and answers with that after a while.
    #[derive(Clone, Default)]
    struct Count(Arc<AtomicU32>);

    impl Count {
        async fn ask(self) -> Result<u32, ()> {
            let count = self.0.fetch_add(1, Ordering::Relaxed) + 1;
            sleep(Duration::from_millis(100)).await;
            Ok(count)
        }

        fn asked(&self) -> u32 {
            self.0.load(Ordering::Relaxed)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_less_long_leaves_the_question_to_those_who_come_next() {
        let (asked, count) = (Asked::default(), Count::default());
        let hurried = asked.get_within(Duration::from_millis(40), PATIENCE, count.clone().ask()).await;
        assert!(hurried.is_none());
        let next = asked.get_within(PATIENCE, PATIENCE, count.clone().ask()).await.unwrap();
        assert_eq!((*next.value, next.stale_since, count.asked()), (1, None, 1));
        // The answer of before, which is not known to be true any more.
        advance(FRESH).await;
        let since = Instant::now();
        let old = asked.get_within(Duration::from_millis(40), PATIENCE, count.clone().ask()).await.unwrap();
        assert_eq!((*old.value, old.stale_since), (1, Some(since)));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_asked_for_once_and_kept_while_there_is_no_other() {
        let (asked, count) = (Asked::default(), Count::default());
        for _ in 0..3 {
            assert_eq!(*asked.get(PATIENCE, count.clone().ask()).await.unwrap().value, 1);
        }
        advance(FRESH).await;
        let again = asked.get(PATIENCE, count.clone().ask()).await.unwrap();
        assert_eq!((*again.value, again.stale_since), (2, None));

        advance(FRESH).await;
        let since = Instant::now();
        let silent = asked.get(PATIENCE, pending::<Result<_, ()>>()).await.unwrap();
        assert_eq!((*silent.value, silent.stale_since), (2, Some(since)));
        assert_eq!(since.elapsed(), PATIENCE);
        // Nobody waits again at once, and it is still that long ago.
        let still = asked.get(PATIENCE, pending::<Result<_, ()>>()).await.unwrap();
        assert_eq!((still.stale_since, since.elapsed()), (Some(since), PATIENCE));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_never_answered_is_not_known() {
        assert!(Asked::<u8>::default().get(PATIENCE, ready(Err::<u8, _>(()))).await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn many_who_ask_at_the_same_time_get_one_answer() {
        let (asked, count) = (Asked::default(), Count::default());
        let answers = join_all((0..50).map(|_| asked.get(PATIENCE, count.clone().ask()))).await;
        assert!(answers.into_iter().all(|answer| *answer.unwrap().value == 1));
        assert_eq!(count.asked(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_takes_no_answer_away() {
        let (asked, count) = (Asked::default(), Count::default());
        for _ in 0..10 {
            // Each has asked, and is gone before there is an answer.
            assert!(asked.get(PATIENCE, count.clone().ask()).now_or_never().is_none());
        }
        assert_eq!(*asked.get(PATIENCE, count.clone().ask()).await.unwrap().value, 1);
        assert_eq!(count.asked(), 1);
        // Nor is it forgotten that there was none.
        advance(FRESH).await;
        let since = Instant::now();
        assert!(asked.get(PATIENCE, pending::<Result<_, ()>>()).now_or_never().is_none());
        sleep(PATIENCE + Duration::from_millis(1)).await;
        let stale = asked.get(PATIENCE, pending::<Result<_, ()>>()).now_or_never().unwrap().unwrap();
        assert_eq!(stale.stale_since, Some(since));
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_late_waits_no_longer_than_who_asked() {
        let asked = Arc::new(Asked::<u8>::default());
        let begin = Instant::now();
        assert!(asked.get(PATIENCE, pending::<Result<_, ()>>()).now_or_never().is_none());
        advance(PATIENCE / 2).await;
        assert!(asked.get(PATIENCE, pending::<Result<_, ()>>()).await.is_none());
        assert_eq!(begin.elapsed(), PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_suffice_is_asked_again_by_all_together_and_not_too_often() {
        let (asked, count) = (Asked::default(), Count::default());
        let at_least = async |least| {
            asked.get_sufficient(PATIENCE, move |count| *count >= least, count.clone().ask()).await.unwrap()
        };
        assert_eq!(*at_least(1).await.value, 1);
        assert_eq!((*at_least(1).await.value, count.asked()), (1, 1), "it is good enough for a while");
        let begin = Instant::now();
        let answers = join_all((0..50).map(|_| at_least(99))).await;
        assert!(answers.iter().all(|answer| *answer.value == 2 && answer.stale_since.is_none()));
        assert_eq!((count.asked(), begin.elapsed()), (2, 2 * PAUSE), "a pause, and what an answer takes");

        // Who comes while somebody asks may not be told by that what is true now.
        let (early, late) = tokio::join!(at_least(99), async {
            sleep(PAUSE + PAUSE / 2).await;
            at_least(99).await
        });
        assert_eq!((*early.value, *late.value, count.asked()), (3, 4, 4));

        // However many ask, and however long.
        let begin = Instant::now();
        let crowd = (0..200).map(async |number| {
            sleep(Duration::from_millis(10 * number)).await;
            at_least(99).await
        });
        join_all(crowd).await;
        let most = begin.elapsed().as_millis() / PAUSE.as_millis();
        assert!(u128::from(count.asked() - 4) <= most, "{} in {:?}", count.asked() - 4, begin.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn while_nobody_answers_what_does_not_suffice_is_asked_no_more_often() {
        let (asked, count) = (Asked::default(), Count::default());
        let never = |_: &u32| false;
        assert!(asked.get_sufficient(PATIENCE, never, count.clone().ask()).await.is_some());
        let since = Instant::now();
        let silent = asked.get_sufficient(PATIENCE, never, pending::<Result<_, ()>>()).await.unwrap();
        assert_eq!((silent.stale_since.is_some(), since.elapsed()), (true, PATIENCE));
        sleep(PAUSE).await;
        let tried = Instant::now();
        for _ in 0..3 {
            let still = asked.get_sufficient(PATIENCE, never, count.clone().ask()).await.unwrap();
            assert_eq!((*still.value, still.stale_since.is_some()), (1, true));
        }
        assert_eq!((tried.elapsed(), count.asked()), (Duration::ZERO, 1), "that there is no answer is known");
        advance(FRESH).await;
        let again = asked.get_sufficient(PATIENCE, never, count.clone().ask()).await.unwrap();
        assert_eq!((*again.value, again.stale_since), (2, None));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_asked_before_a_change_is_no_answer_to_who_asks_after_it() {
        let asked = Asked::default();
        let (answer, answered) = oneshot::channel();
        let before = asked.get(PATIENCE, answered);
        let mut before = std::pin::pin!(before);
        assert!((&mut before).now_or_never().is_none());
        asked.forget();
        assert_eq!(*asked.get(PATIENCE, ready(Ok::<_, ()>("new"))).await.unwrap().value, "new");
        // The older answer comes in later, and is not taken for the newer.
        answer.send("old").unwrap();
        assert_eq!(*before.await.unwrap().value, "new");
        assert_eq!(*asked.get(PATIENCE, ready(Ok::<_, ()>("newer"))).await.unwrap().value, "new");

        // Nor is it good enough when it comes in before anybody has asked anew.
        advance(FRESH).await;
        let (answer, answered) = oneshot::channel();
        let mut before = std::pin::pin!(asked.get(PATIENCE, answered));
        assert!((&mut before).now_or_never().is_none());
        asked.forget();
        answer.send("old").unwrap();
        assert_eq!(*before.await.unwrap().value, "old");
        assert_eq!(*asked.get(PATIENCE, ready(Ok::<_, ()>("new"))).await.unwrap().value, "new");
    }
}
