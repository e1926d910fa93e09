//! Lines that a thread of its own writes, so that a reader who stalls holds up no task.

use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use tokio::sync::{mpsc, oneshot};

use crate::output::complain;

/// How many lines may wait for a reader. One who stalls for longer misses some: a process must not stop its work, nor grow without
/// bound, because nobody reads what it says.
const WAITING: usize = 4096;

/// No line is added to so many bytes that wait already: what comes from elsewhere can be long.
const MOST_BYTES: usize = 16 << 20;

/// Where lines wait to be written, in their order.
#[derive(Debug)]
pub(crate) struct Lines {
    queue: mpsc::Sender<Line>,
    tally: Arc<Tally>,
}

#[derive(Debug, Default)]
struct Tally {
    /// How many bytes wait to be written.
    waiting: AtomicUsize,
    /// How many lines there was no room for, or were not written, since that was told.
    missed: AtomicU64,
}

#[derive(Debug)]
struct Line {
    text: String,
    /// Who waits for it to be written.
    written: Option<oneshot::Sender<io::Result<()>>>,
}

impl Lines {
    /// Lines that are written to `out`, each flushed at once. `lost` is told by the same thread how many were missed, as soon as somebody
    /// reads again.
    pub(crate) fn to(out: impl Write + Send + 'static, lost: impl Fn(u64) + Send + 'static) -> Self {
        let (queue, next) = mpsc::channel(WAITING);
        let tally = Arc::new(Tally::default());
        let told = Arc::clone(&tally);
        let writer = std::thread::Builder::new().name("lines".into());
        if let Err(error) = writer.spawn(move || write(out, next, &told, lost)) {
            complain(&format!("nothing can be printed: {error}"));
        }
        Self { queue, tally }
    }

    /// Adds text with the end of its line, if there is room for it.
    pub(crate) fn say(&self, text: String) {
        let is_room = self.tally.waiting.load(Ordering::Relaxed) < MOST_BYTES;
        match self.queue.try_reserve() {
            Ok(room) if is_room => self.add(room, Line { text, written: None }),
            // Nobody is told of it any more when the reader is gone.
            _ => {
                self.tally.missed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Adds text with the end of its line, and waits until it is written, and all before it.
    ///
    /// # Cancel safety
    ///
    /// When this is dropped the text may be written all the same.
    pub(crate) async fn tell(&self, text: String) -> io::Result<()> {
        let gone = || io::Error::from(ErrorKind::BrokenPipe);
        let (tell, written) = oneshot::channel();
        let room = self.queue.reserve().await.map_err(|_| gone())?;
        self.add(room, Line { text, written: Some(tell) });
        written.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Waits until all is written that was said, or will never be.
    pub(crate) async fn all_written(&self) {
        let _ = self.tell(String::new()).await;
    }

    fn add(&self, room: mpsc::Permit<'_, Line>, line: Line) {
        self.tally.waiting.fetch_add(line.text.len(), Ordering::Relaxed);
        room.send(line);
    }
}

/// Writes one after the other, until nobody reads any more or there will be no more.
fn write(mut out: impl Write, mut next: mpsc::Receiver<Line>, tally: &Tally, lost: impl Fn(u64)) {
    while let Some(Line { text, written }) = next.blocking_recv() {
        let outcome = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        tally.waiting.fetch_sub(text.len(), Ordering::Relaxed);
        match &outcome {
            Ok(()) => match tally.missed.swap(0, Ordering::Relaxed) {
                0 => {}
                missed => lost(missed),
            },
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return,
            // A full disk perhaps, which has room again for a later one.
            Err(_) if written.is_none() => {
                tally.missed.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => {}
        }
        if let Some(written) = written {
            let _ = written.send(outcome);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Condvar, Mutex};
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    /// How long anything may take: the machine may be busy.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// A reader that keeps what it got, and can stop reading, be full, or go.
    #[derive(Clone, Default)]
    struct Reader(Arc<(Mutex<Got>, Condvar)>);

    #[derive(Default)]
    struct Got {
        bytes: Vec<u8>,
        stalled: bool,
        error: Option<ErrorKind>,
        told: Vec<u64>,
    }

    impl Reader {
        fn lines(&self) -> Lines {
            let reader = self.clone();
            Lines::to(self.clone(), move |missed| reader.with(|got| got.told.push(missed)))
        }

        fn with<T>(&self, work: impl FnOnce(&mut Got) -> T) -> T {
            let done = work(&mut self.0.0.lock().unwrap());
            self.0.1.notify_all();
            done
        }

        fn stall(&self, stalled: bool) {
            self.with(|got| got.stalled = stalled);
        }

        fn fails(&self, error: Option<ErrorKind>) {
            self.with(|got| got.error = error);
        }

        fn read(&self) -> Vec<String> {
            let text = self.with(|got| String::from_utf8(got.bytes.clone()).unwrap());
            text.lines().map(str::to_owned).collect()
        }

        fn told(&self) -> Vec<u64> {
            self.with(|got| got.told.clone())
        }
    }

    impl Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut got = self.0.1.wait_while(self.0.0.lock().unwrap(), |got| got.stalled).unwrap();
            if let Some(error) = got.error {
                return Err(error.into());
            }
            got.bytes.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    async fn written(lines: &Lines) {
        timeout(PATIENCE, lines.all_written()).await.unwrap();
    }

    #[tokio::test]
    async fn lines_arrive_in_order_whether_or_not_they_are_waited_for() {
        let reader = Reader::default();
        let lines = reader.lines();
        for number in 0..100 {
            if number % 3 == 0 {
                lines.tell(format!("{number}\n")).await.unwrap();
                assert_eq!(reader.read().len(), number + 1);
            } else {
                lines.say(format!("{number}\n"));
            }
        }
        written(&lines).await;
        assert_eq!(reader.read(), (0..100).map(|number| number.to_string()).collect::<Vec<_>>());
        assert!(reader.told().is_empty());
    }

    #[tokio::test]
    async fn a_reader_that_stalls_holds_up_nobody_and_what_it_missed_is_told_when_it_goes_on() {
        let reader = Reader::default();
        reader.stall(true);
        let lines = reader.lines();
        let said = WAITING * 2;
        for number in 0..said {
            lines.say(format!("{number}\n"));
        }
        let mut waits = Box::pin(lines.tell("last\n".to_owned()));
        timeout(Duration::ZERO, &mut waits).await.unwrap_err();
        assert!(reader.told().is_empty());
        reader.stall(false);
        timeout(PATIENCE, waits).await.unwrap().unwrap();
        let mut read = reader.read();
        assert_eq!(read.pop().as_deref(), Some("last"));
        // One more may have been taken from the queue before it was full.
        assert!((WAITING..=WAITING + 1).contains(&read.len()), "{}", read.len());
        let numbers = read.iter().map(|line| line.parse::<usize>().unwrap());
        assert!(numbers.is_sorted());
        assert_eq!(reader.told(), [(said - read.len()) as u64]);
    }

    #[tokio::test]
    async fn what_waits_for_a_stalled_reader_is_bounded_in_bytes_too() {
        let reader = Reader::default();
        reader.stall(true);
        let lines = reader.lines();
        let long = "x".repeat(1 << 20);
        for _ in 0..100 {
            lines.say(format!("{long}\n"));
        }
        reader.stall(false);
        written(&lines).await;
        let kept = reader.read().len();
        assert!((1..=MOST_BYTES >> 20).contains(&kept), "{kept} were kept");
        assert_eq!(reader.told(), [100 - kept as u64]);
        // However long a line is, it is said when little waits before it.
        lines.say("y".repeat(MOST_BYTES + 1) + "\n");
        written(&lines).await;
        assert_eq!(reader.read().len(), kept + 1);
    }

    #[tokio::test]
    async fn a_full_disk_loses_what_came_meanwhile_and_that_is_told() {
        let reader = Reader::default();
        reader.fails(Some(ErrorKind::StorageFull));
        let lines = reader.lines();
        lines.say("lost\n".to_owned());
        let refused = lines.tell("refused\n".to_owned()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::StorageFull);
        assert!(reader.told().is_empty());
        reader.fails(None);
        lines.say("there\n".to_owned());
        written(&lines).await;
        assert_eq!((reader.read(), reader.told()), (vec!["there".to_owned()], vec![1]));
    }

    #[tokio::test]
    async fn a_closed_reader_is_told_to_who_waits_and_stops_nobody_else() {
        let reader = Reader::default();
        reader.fails(Some(ErrorKind::BrokenPipe));
        let lines = reader.lines();
        for number in 0..WAITING * 2 {
            lines.say(format!("{number}\n"));
        }
        for _ in 0..2 {
            let gone = timeout(PATIENCE, lines.tell("x\n".to_owned())).await.unwrap().unwrap_err();
            assert_eq!(gone.kind(), ErrorKind::BrokenPipe);
        }
        written(&lines).await;
    }
}
