//! The way to the broker, made anew whenever it ends.

mod connection;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cli::output::complain;
use rumqttc::NetworkOptions;
use rumqttc::v5::mqttbytes::v5::ConnectProperties;
use rumqttc::v5::{AsyncClient, MqttOptions};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use self::connection::{Receiving, send};
use super::at::{Broker, Login};
use super::code::made_up;
use super::message::MAX_MESSAGE;

/// So much of a packet is not the message. What is larger the broker keeps from us, as MQTT 5 wants it.
const WRAPPING: usize = 16 * 1024;

/// So many messages may wait for us, and ours for the broker.
const WAITING: usize = 256;

/// So many messages of ours may wait for the broker's word; it may say less.
const UNTAKEN: u16 = 64;

/// How often the broker is asked whether it is there: as often as the library can.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// How long saying goodbye may take.
const GOODBYE: Duration = Duration::from_millis(500);

/// The first pause between two connections, and the longest.
const PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(2)];

/// How long others may take longer than we to be back at a broker: the longest pause, and the time to connect.
const SETTLING: Duration = Duration::from_secs(3);

/// Whether messages reach us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// They do not, for this reason; `None` before anything was tried.
    Away { why: Option<String>, refused: Option<Refused> },
    /// The broker has acknowledged all subscriptions on this connection.
    Listening {
        since: Instant,
        /// Whether it was away before.
        returned: bool,
    },
}

impl State {
    pub(crate) fn is_listening(&self) -> bool {
        matches!(self, Self::Listening { .. })
    }

    /// Whether others, who lost the broker with us, may still be on their way back to it: what they should hear is lost.
    pub(crate) fn is_settling(&self, now: Instant) -> bool {
        matches!(self, Self::Listening { since, returned: true } if now.duration_since(*since) < SETTLING)
    }
}

/// What the broker does not let us do, as we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Come in.
    Login,
    /// Hear what is to be heard.
    Subscription,
}

/// A message that came.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) topic: String,
    pub(crate) bytes: Vec<u8>,
}

/// What became of a message of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Published {
    /// The broker has it.
    Taken,
    /// The broker had it, and nobody listens on that topic.
    NobodyListens,
    /// The broker does not want it.
    Refused(String),
    /// The connection ended before the broker's word came.
    Interrupted,
}

/// A way to the broker. Each of its connections is a new one, with the same subscriptions and nothing left of the one before.
#[derive(Debug)]
pub(crate) struct Link {
    sender: Sender,
    filters: watch::Sender<Vec<String>>,
    state: watch::Receiver<State>,
    came: mpsc::Receiver<Message>,
    overrun: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

/// Sends messages over a link.
#[derive(Clone, Debug)]
pub(crate) struct Sender(mpsc::Sender<Order>);

#[derive(Debug)]
enum Order {
    Publish { topic: String, bytes: Vec<u8>, fate: Option<oneshot::Sender<Published>> },
    Unsubscribe(String),
    Goodbye,
}

impl Link {
    /// Begins to connect; returns at once. Says on stderr when the broker cannot be reached, and when it can again.
    pub(crate) fn start(broker: &Broker, login: Option<Login>, filters: Vec<String>) -> Self {
        let (orders, ordered) = mpsc::channel(WAITING);
        let (filters, subscribed) = watch::channel(filters);
        let (tell_state, state) = watch::channel(State::Away { why: None, refused: None });
        let (tell_message, came) = mpsc::channel(WAITING);
        let overrun = Arc::new(AtomicU64::new(0));
        let task = Task {
            broker: broker.clone(),
            login,
            filters: subscribed,
            ordered,
            state: tell_state,
            came: tell_message,
            overrun: overrun.clone(),
        };
        Self { sender: Sender(orders), filters, state, came, overrun, task: tokio::spawn(task.run()) }
    }

    pub(crate) fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    pub(crate) fn sender(&self) -> Sender {
        self.sender.clone()
    }

    /// Waits until messages reach us.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time.
    pub(crate) async fn listening(&mut self) {
        if self.state.wait_for(State::is_listening).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until messages reach us, or the broker does not let us in: the reason.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time.
    pub(crate) async fn let_in(&mut self) -> Result<(), String> {
        let known =
            |state: &State| matches!(state, State::Listening { .. } | State::Away { refused: Some(_), .. });
        match self.state.wait_for(known).await.as_deref() {
            Ok(State::Away { why, .. }) => Err(why.clone().unwrap_or_default()),
            Ok(State::Listening { .. }) => Ok(()),
            Err(_) => std::future::pending().await,
        }
    }

    /// Wants no more of these messages, neither on this connection nor on later ones. Some may come still.
    pub(crate) fn forget(&self, filter: &str) {
        self.filters.send_modify(|filters| filters.retain(|it| it != filter));
        self.sender.unsubscribe(filter.to_owned());
    }

    /// The next message.
    ///
    /// # Cancel safety
    ///
    /// No message is lost when this is dropped before it is ready.
    pub(crate) async fn next(&mut self) -> Message {
        match self.came.recv().await {
            Some(message) => message,
            None => std::future::pending().await,
        }
    }

    /// The messages that are here already: no more than may wait for us, however fast others come meanwhile.
    pub(crate) fn ready(&mut self) -> Vec<Message> {
        std::iter::from_fn(|| self.came.try_recv().ok()).take(WAITING).collect()
    }

    /// How many messages came faster than they were taken, and are lost.
    pub(crate) fn overrun(&self) -> u64 {
        self.overrun.load(Ordering::Relaxed)
    }

    /// Sends what is to be sent and disconnects, unless that takes long.
    pub(crate) async fn close(mut self) {
        if !self.state.borrow().is_listening() {
            return;
        }
        // Where a broker takes nothing, there may never be room for it.
        let goodbye = async {
            if self.sender.0.send(Order::Goodbye).await.is_ok() {
                let _ = (&mut self.task).await;
            }
        };
        let _ = timeout(GOODBYE, goodbye).await;
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Sender {
    /// Sends a message as soon as that is possible: what became of it.
    ///
    /// # Cancel safety
    ///
    /// Dropped before the message was given to a connection, it is not sent.
    pub(crate) async fn publish(&self, topic: String, bytes: Vec<u8>) -> Published {
        let (tell, fate) = oneshot::channel();
        let _ = self.0.send(Order::Publish { topic, bytes, fate: Some(tell) }).await;
        fate.await.unwrap_or(Published::Interrupted)
    }

    /// Sends a message by and by, and asks no more of it: whether there was room for it.
    pub(crate) fn post(&self, topic: String, bytes: Vec<u8>) -> bool {
        self.0.try_send(Order::Publish { topic, bytes, fate: None }).is_ok()
    }

    /// Wants no more of these messages on this connection.
    pub(crate) fn unsubscribe(&self, filter: String) {
        // Without room for it they still come, and may be passed over.
        let _ = self.0.try_send(Order::Unsubscribe(filter));
    }
}

/// Why a connection ended.
#[derive(Debug)]
enum Ended {
    Asked,
    Lost(String),
    /// The broker does not let us do this.
    Refused(Refused, String),
}

struct Task {
    broker: Broker,
    login: Option<Login>,
    filters: watch::Receiver<Vec<String>>,
    ordered: mpsc::Receiver<Order>,
    state: watch::Sender<State>,
    came: mpsc::Sender<Message>,
    overrun: Arc<AtomicU64>,
}

impl Task {
    async fn run(mut self) {
        let (mut tries, mut told) = (0, None);
        loop {
            let (why, refused) = match self.connection(&mut told).await {
                Ended::Asked => return,
                Ended::Lost(why) => (why, None),
                Ended::Refused(what, why) => (why, Some(what)),
            };
            let lasted = match *self.state.borrow() {
                State::Listening { since, .. } => Some(since.elapsed()),
                State::Away { .. } => None,
            };
            if told.as_ref() != Some(&why) {
                // Not behind one that was there a moment ago, or that says something.
                let never = told.is_none() && lasted.is_none() && refused.is_none();
                let tip = if never { "\n  tip: is it running there? --broker names another one" } else { "" };
                complain(&format!("away from the broker at {}: {why}{tip}", self.broker));
                told = Some(why.clone());
            }
            self.state.send_replace(State::Away { why: Some(why), refused });
            // One that is ended again and again as soon as it listens is not a calm one.
            tries = if lasted.is_some_and(|lasted| lasted > SETTLING) { 0 } else { tries + 1 };
            sleep(pause(tries, rand::random())).await;
        }
    }

    /// One connection, from its beginning to its end. Nothing of the library's outlives it: neither what it would send again, nor
    /// an acknowledgement that somebody could take for one of the next connection's.
    async fn connection(&mut self, told: &mut Option<String>) -> Ended {
        let (client, events) = AsyncClient::new(self.options(), WAITING);
        let untaken = Mutex::default();
        let listening = self.state.subscribe();
        let Self { broker, filters, ordered, state, came, overrun, .. } = self;
        let receiving = Receiving { client: &client, filters, untaken: &untaken, came, overrun };
        let listens = || {
            let returned = told.take().is_some();
            if returned {
                complain(&format!("back at the broker at {broker}"));
            }
            state.send_replace(State::Listening { since: Instant::now(), returned });
        };
        // Side by side, and each to its end: the library's next event must not be given up half way.
        tokio::select! {
            ended = receiving.run(events, listens) => ended,
            () = send(ordered, listening, &client, &untaken) => Ended::Asked,
        }
    }

    fn options(&self) -> MqttOptions {
        let (host, port) = self.broker.host_and_port();
        let mut options = MqttOptions::new(format!("headkeeper-{}", made_up()), host, port);
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        let properties = ConnectProperties {
            max_packet_size: Some((MAX_MESSAGE + WRAPPING) as u32),
            ..ConnectProperties::new()
        };
        options
            .set_keep_alive(KEEP_ALIVE)
            .set_clean_start(true)
            .set_outgoing_inflight_upper_limit(UNTAKEN)
            .set_connect_properties(properties)
            .set_network_options(network);
        if let Some(Login { username, password }) = &self.login {
            options.set_credentials(username, password);
        }
        options
    }
}

/// How long to wait before the next connection, after so many that did not last. `random` is from 0 to 1: processes that lost the
/// broker together do not come back together.
fn pause(tries: u32, random: f64) -> Duration {
    let [first, most] = PAUSES;
    first.saturating_mul(1 << tries.min(16)).min(most).mul_f64(0.5 + random / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_keep_to_the_upper_half() {
        let ms = Duration::from_millis;
        for (tries, random, expected) in [
            (0, 0.0, ms(50)),
            (0, 1.0, ms(100)),
            (1, 1.0, ms(200)),
            (3, 0.5, ms(600)),
            (5, 0.0, ms(1000)),
            (5, 1.0, ms(2000)),
            (u32::MAX, 1.0, ms(2000)),
        ] {
            assert_eq!(pause(tries, random), expected, "{tries} {random}");
        }
    }

    #[test]
    fn others_are_waited_for_after_the_broker_was_away_and_not_at_the_beginning() {
        let since = Instant::now();
        for (returned, after, settling) in
            [(true, 0, true), (true, 2, true), (true, 3, false), (false, 0, false)]
        {
            let state = State::Listening { since, returned };
            assert_eq!(state.is_settling(since + Duration::from_secs(after)), settling, "{returned} {after}");
        }
        assert!(!State::Away { why: None, refused: None }.is_settling(since));
    }

    /// A link whose broker takes nothing, and its queue of orders and of messages.
    fn stuck(room: usize) -> (Link, mpsc::Receiver<Order>, mpsc::Sender<Message>) {
        let (orders, ordered) = mpsc::channel(room);
        let (_, state) = watch::channel(State::Listening { since: Instant::now(), returned: false });
        let (tell_message, came) = mpsc::channel(2 * WAITING);
        let (filters, _) = watch::channel(Vec::new());
        let task = tokio::spawn(std::future::pending());
        let link = Link { sender: Sender(orders), filters, state, came, overrun: Arc::default(), task };
        (link, ordered, tell_message)
    }

    #[tokio::test]
    async fn a_goodbye_that_there_is_no_room_for_is_not_waited_for_for_ever() {
        let (link, _ordered, _) = stuck(1);
        assert!(link.sender().post("t".to_owned(), Vec::new()));
        timeout(Duration::from_secs(20), link.close()).await.unwrap();
    }

    #[tokio::test]
    async fn no_more_is_taken_at_once_than_may_wait() {
        let (mut link, _ordered, tell) = stuck(1);
        for _ in 0..2 * WAITING {
            tell.try_send(Message { topic: "t".to_owned(), bytes: Vec::new() }).unwrap();
        }
        assert_eq!(link.ready().len(), WAITING);
        assert_eq!(link.ready().len(), WAITING);
        assert_eq!(link.ready().len(), 0);
    }

    #[tokio::test]
    async fn a_message_that_nobody_waits_for_any_more_is_not_kept_for_a_later_connection() {
        let (orders, mut ordered) = mpsc::channel(4);
        let sender = Sender(orders);
        let given_up = timeout(Duration::ZERO, sender.publish("t".to_owned(), Vec::new())).await;
        assert!(given_up.is_err());
        let order = ordered.recv().await.unwrap();
        assert!(matches!(order, Order::Publish { fate: Some(fate), .. } if fate.is_closed()));
    }
}
