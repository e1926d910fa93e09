//! One message to the broker, and the answer to it.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use super::super::link::{Link, Message, Published, Sender, State};
use super::super::message::{Answer, Hello, Request, read, write};
use super::super::topics::Topics;
use super::answers::{Answers, Asked, Ignored};
use super::sticking::{Blame, blame};

/// While nobody listens on a topic, the next try: after a restart of the broker others are as quick as we are, or not quite.
const AGAIN: Duration = Duration::from_millis(100);

/// While others may still be on their way back to the broker, and somebody listens already, but perhaps not the one who is asked,
/// the next try. Whoever takes longer for an answer does it twice.
const ONCE_MORE: Duration = Duration::from_millis(500);

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// The request never got to anybody, or the answer not to us.
    Broker(String),
    /// Whom we asked said nothing.
    Instance(String),
}

/// How far a question got.
#[derive(Debug, Default)]
struct Course {
    /// How messages reached us when the broker took it first, and when that was.
    taken: Option<(State, Instant)>,
    /// Whether nobody listened when the broker took it last.
    nobody_listens: bool,
}

/// Our side of the topics.
#[derive(Debug)]
pub(super) struct Exchange {
    link: Link,
    sender: Sender,
    state: watch::Receiver<State>,
    topics: Topics,
    reply_to: String,
    answers: Answers,
    patience: Duration,
}

impl Exchange {
    /// `client`: who we are among the clients. The link is subscribed to its replies.
    pub(super) fn new(link: Link, topics: Topics, client: String, patience: Duration) -> Self {
        let (sender, state, reply_to) = (link.sender(), link.state(), topics.replies(&client));
        Self { link, sender, state, topics, reply_to, answers: Answers::new(client), patience }
    }

    /// What the instance with this code says to a request.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time. An answer that comes all the same counts as late.
    pub(super) async fn ask(&mut self, code: &str, body: &str) -> Result<Answer, Why> {
        let request = Request {
            code: code.to_owned(),
            id: self.answers.next_id(),
            reply_to: self.reply_to.clone(),
            body: body.to_owned(),
        };
        let bytes = write(&request).map_err(Why::Instance)?;
        self.answered(self.topics.requests(), bytes, Asked::Instance(code)).await
    }

    /// Who says hello.
    pub(super) async fn greet(&mut self) -> Result<Answer, Why> {
        let hello = Hello { id: self.answers.next_id(), reply_to: self.reply_to.clone() };
        let bytes = write(&hello).map_err(Why::Instance)?;
        self.answered(self.topics.hello(), bytes, Asked::Anybody).await
    }

    /// Counts what comes although nobody waits for it, until something else is done.
    pub(super) async fn meanwhile<T>(&mut self, done: impl Future<Output = T>) -> T {
        let mut done = std::pin::pin!(done);
        loop {
            tokio::select! {
                done = &mut done => return done,
                message = self.link.next() => drop(self.take(&message, Asked::Nobody)),
            }
        }
    }

    /// Counts what is here already, and disconnects.
    pub(super) async fn close(mut self) -> Ignored {
        for message in self.link.ready() {
            self.take(&message, Asked::Nobody);
        }
        self.link.close().await;
        self.answers.ignored()
    }

    /// Sends it, and waits as long for the answer as it may take to be sent. It is sent again when the
    /// connection ends meanwhile, for either of them can have been lost with it, and while others may not be back yet.
    async fn answered(&mut self, topic: String, bytes: Vec<u8>, asked: Asked<'_>) -> Result<Answer, Why> {
        let mut deadline = Instant::now() + self.patience;
        let mut course = Course::default();
        loop {
            let sent = timeout_at(deadline, self.sent(&topic, &bytes, &mut course.nobody_listens)).await;
            let on = match sent {
                Ok(Ok(on)) => on,
                Ok(Err(why)) => return Err(Why::Broker(why)),
                Err(_) => return Err(self.too_late(&course)),
            };
            let now = Instant::now();
            if course.taken.is_none() {
                course.taken = Some((on.clone(), now));
                deadline = now + self.patience;
            }
            let until = if on.is_settling(now) { deadline.min(now + ONCE_MORE) } else { deadline };
            match timeout_at(until, self.answer(asked, &on)).await {
                Ok(Some(answer)) => return Ok(answer),
                // The connection ended.
                Ok(None) => {}
                Err(_) if until < deadline => {}
                Err(_) => return Err(self.too_late(&course)),
            }
        }
    }

    /// Sends it until the broker has it and somebody listens: how messages reached us when it was sent. `nobody_listens` is what the
    /// broker said last.
    async fn sent(&mut self, topic: &str, bytes: &[u8], nobody_listens: &mut bool) -> Result<State, String> {
        loop {
            self.link.listening().await;
            let on = self.state.borrow().clone();
            let published = self.sender.publish(topic.to_owned(), bytes.to_vec()).await;
            *nobody_listens = published == Published::NobodyListens;
            match published {
                Published::Taken => return Ok(on),
                Published::NobodyListens => sleep(AGAIN).await,
                Published::Interrupted => {}
                Published::Refused(why) => return Err(why),
            }
        }
    }

    /// Waits for the answer, or for the end of the connection that the question was sent on: also when another one has followed it.
    async fn answer(&mut self, asked: Asked<'_>, on: &State) -> Option<Answer> {
        let mut state = self.state.clone();
        let away = async move {
            let _ = state.wait_for(|state| state != on).await;
        };
        let mut away = std::pin::pin!(away);
        loop {
            tokio::select! {
                // What came before the end counts.
                biased;
                message = self.link.next() => if let Some(answer) = self.take(&message, asked) {
                    return Some(answer);
                },
                () = &mut away => return None,
            }
        }
    }

    fn take(&mut self, message: &Message, asked: Asked<'_>) -> Option<Answer> {
        match read::<Answer>(&message.bytes) {
            Ok(answer) => self.answers.take(&answer, asked).then_some(answer),
            Err(_) => {
                self.answers.not_understood();
                None
            }
        }
    }

    fn too_late(&self, course: &Course) -> Why {
        let (state, patience) = (self.state.borrow().clone(), self.patience);
        match (blame(course.taken.as_ref(), &state), state) {
            (Blame::Instance, _) => Why::Instance(format!("no answer within {patience:?}")),
            (Blame::Broker, State::Away { why: Some(why), .. }) => {
                Why::Broker(format!("the broker is away for more than {patience:?}: {why}"))
            }
            (Blame::Broker, State::Away { why: None, .. }) => {
                Why::Broker(format!("no connection to the broker within {patience:?}"))
            }
            // All instances of the service listen there.
            (Blame::Broker, State::Listening { .. }) if course.nobody_listens => {
                Why::Broker(format!("nobody listens on the topic for {patience:?}"))
            }
            (Blame::Broker, State::Listening { .. }) if course.taken.is_none() => {
                Why::Broker(format!("the broker did not take it within {patience:?}"))
            }
            (Blame::Broker, State::Listening { .. }) => {
                Why::Broker(format!("no answer within {patience:?}, and the broker was away"))
            }
        }
    }
}
