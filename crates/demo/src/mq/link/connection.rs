//! One connection to the broker, from its beginning to its end.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnectReturnCode, Filter, Packet, PubAckReason, RetainForwardRule, SubscribeReasonCode,
};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, StateError};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::{Ended, Message, Order, Published, Refused, State};
use crate::output::brief;

/// After so long without anything, not even the answer to a ping, nothing will come any more; where the broker wants fewer pings,
/// after the time of so many of them.
const SILENCE: Duration = Duration::from_secs(15);
const PINGS: u32 = 3;

/// Messages of ours that the broker has not taken yet.
#[derive(Default)]
pub(super) struct Untaken {
    /// Given to the library, in this order, and not yet numbered by it.
    given: VecDeque<Option<oneshot::Sender<Published>>>,
    /// By their numbers.
    sent: HashMap<u16, Option<oneshot::Sender<Published>>>,
}

/// What a connection needs for what comes.
pub(super) struct Receiving<'a> {
    pub(super) client: &'a AsyncClient,
    pub(super) filters: &'a watch::Receiver<Vec<String>>,
    pub(super) untaken: &'a Mutex<Untaken>,
    pub(super) came: &'a mpsc::Sender<Message>,
    pub(super) overrun: &'a AtomicU64,
}

impl Receiving<'_> {
    pub(super) async fn run(&self, mut events: EventLoop, mut listens: impl FnMut()) -> Ended {
        let (mut silence, mut subscribed) = (SILENCE, Vec::new());
        loop {
            let event = match timeout(silence, events.poll()).await {
                Ok(Ok(event)) => event,
                Ok(Err(error)) if is_refusal(&error) => {
                    return Ended::Refused(Refused::Login, reason(&error));
                }
                Ok(Err(error)) => return Ended::Lost(reason(&error)),
                Err(_) => return Ended::Lost("it says nothing any more".to_owned()),
            };
            match event {
                Event::Incoming(Packet::ConnAck(accepted)) => {
                    let keep_alive = accepted.properties.and_then(|properties| properties.server_keep_alive);
                    match longest_silence(keep_alive) {
                        Some(longest) => silence = longest,
                        None => return Ended::Lost("it wants no pings, which this program needs".to_owned()),
                    }
                    subscribed = self.filters.borrow().clone();
                    if self.client.try_subscribe_many(subscribed.iter().map(filter)).is_err() {
                        return Ended::Lost("the subscriptions cannot be sent".to_owned());
                    }
                }
                Event::Incoming(Packet::SubAck(acknowledged)) => {
                    match refused(&subscribed, &acknowledged.return_codes) {
                        None => listens(),
                        Some(ended) => return ended,
                    }
                }
                Event::Incoming(Packet::Publish(publish)) => {
                    let topic = String::from_utf8_lossy(&publish.topic).into_owned();
                    let message = Message { topic, bytes: publish.payload.into() };
                    // To wait here would keep answers from being sent.
                    if self.came.try_send(message).is_err() {
                        self.overrun.fetch_add(1, Ordering::Relaxed);
                    }
                }
                Event::Outgoing(Outgoing::Publish(number)) => {
                    let mut untaken = lock(self.untaken);
                    if let Some(fate) = untaken.given.pop_front() {
                        untaken.sent.insert(number, fate);
                    }
                }
                Event::Incoming(Packet::PubAck(acknowledged)) => {
                    let fate = lock(self.untaken).sent.remove(&acknowledged.pkid);
                    if let Some(fate) = fate.flatten() {
                        let _ = fate.send(match acknowledged.reason {
                            PubAckReason::Success => Published::Taken,
                            PubAckReason::NoMatchingSubscribers => Published::NobodyListens,
                            other => Published::Refused(format!("the broker refuses the message: {other:?}")),
                        });
                    }
                }
                Event::Outgoing(Outgoing::Disconnect) => return Ended::Asked,
                _ => {}
            }
        }
    }
}

/// Gives what is to be sent to the library, in order, once messages reach us. Ends when nobody can ask for anything any more.
pub(super) async fn send(
    ordered: &mut mpsc::Receiver<Order>,
    mut listening: watch::Receiver<State>,
    client: &AsyncClient,
    untaken: &Mutex<Untaken>,
) {
    // It is away when a connection begins.
    if listening.wait_for(State::is_listening).await.is_err() {
        return;
    }
    while let Some(order) = ordered.recv().await {
        // An error would mean that the connection is over, which its other half tells.
        let _ = match order {
            // Whoever wanted it does not any more.
            Order::Publish { fate: Some(fate), .. } if fate.is_closed() => continue,
            Order::Publish { topic, bytes, fate } => {
                lock(untaken).given.push_back(fate);
                let given = client.publish(topic, QoS::AtLeastOnce, false, bytes).await;
                if given.is_err() {
                    lock(untaken).given.pop_back();
                }
                given
            }
            Order::Unsubscribe(filter) => client.unsubscribe(filter).await,
            Order::Goodbye => client.disconnect().await,
        };
    }
}

fn lock(untaken: &Mutex<Untaken>) -> std::sync::MutexGuard<'_, Untaken> {
    untaken.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long nothing at all may come from a broker that wants a ping so often, in seconds; `None`: it wants none, and then nobody would
/// notice when it is gone.
fn longest_silence(keep_alive: Option<u16>) -> Option<Duration> {
    match keep_alive {
        None => Some(SILENCE),
        Some(0) => None,
        Some(seconds) => Some((PINGS * Duration::from_secs(seconds.into())).max(SILENCE)),
    }
}

/// A subscription to what is said from now on. What a broker retained somebody said to others, long ago perhaps.
fn filter(path: &String) -> Filter {
    Filter { retain_forward_rule: RetainForwardRule::Never, ..Filter::new(path, QoS::AtLeastOnce) }
}

/// How the connection ends where one of these subscriptions is refused. That we are not allowed to goes before any other reason: no other
/// try mends it.
fn refused(filters: &[String], codes: &[SubscribeReasonCode]) -> Option<Ended> {
    use SubscribeReasonCode::{NotAuthorized, Success};
    let forbidden = filters.iter().zip(codes).find(|(_, code)| matches!(code, NotAuthorized));
    if let Some((filter, _)) = forbidden {
        let why = format!(
            "it does not let us subscribe to {filter}: have that allowed there, or use another login (MQTT_USERNAME, MQTT_PASSWORD) or --topic"
        );
        return Some(Ended::Refused(Refused::Subscription, why));
    }
    let code = codes.iter().find(|code| !matches!(code, Success(_)))?;
    Some(Ended::Lost(format!("it refuses a subscription: {code:?}")))
}

/// Whether the broker knows who we are, or wants to, and does not let us in.
fn is_refusal(error: &ConnectionError) -> bool {
    use ConnectReturnCode::{BadUserNamePassword, NotAuthorized};
    matches!(error, ConnectionError::ConnectionRefused(BadUserNamePassword | NotAuthorized))
}

/// What ended a connection, on one line.
fn reason(error: &ConnectionError) -> String {
    match error {
        ConnectionError::Io(error) | ConnectionError::MqttState(StateError::Io(error)) => {
            brief(&error.to_string())
        }
        ConnectionError::Timeout(_) => "no answer".to_owned(),
        refusal if is_refusal(refusal) => {
            "it refuses us: MQTT_USERNAME and MQTT_PASSWORD are not what it wants".to_owned()
        }
        ConnectionError::ConnectionRefused(code) => format!("it refuses us: {code:?}"),
        ConnectionError::MqttState(StateError::ConnectionAborted) => "it hung up".to_owned(),
        ConnectionError::NotConnAck(_) => "what listens there is no broker of MQTT 5".to_owned(),
        other => brief(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_may_not_hear_is_named_and_goes_before_another_refusal() {
        use SubscribeReasonCode::{NotAuthorized, QuotaExceeded, Success};
        let done = Success(QoS::AtLeastOnce);
        let filters = ["jobs", "$share/g/jobs/hello"].map(str::to_owned);
        for (codes, expected) in [
            ([done, done], None),
            ([NotAuthorized, done], Some((true, "subscribe to jobs: "))),
            ([QuotaExceeded, NotAuthorized], Some((true, "subscribe to $share/g/jobs/hello: "))),
            ([done, QuotaExceeded], Some((false, "QuotaExceeded"))),
        ] {
            let ended = match refused(&filters, &codes) {
                Some(Ended::Refused(Refused::Subscription, why)) => Some((true, why)),
                Some(Ended::Lost(why)) => Some((false, why)),
                other => {
                    assert!(other.is_none(), "{other:?}");
                    None
                }
            };
            let is_it = match (&ended, expected) {
                (Some((for_good, why)), Some((expected, part))) => {
                    *for_good == expected && why.contains(part)
                }
                (ended, expected) => ended.is_none() && expected.is_none(),
            };
            assert!(is_it, "{codes:?}: {ended:?}");
        }
    }

    #[test]
    fn a_broker_that_wants_fewer_pings_may_be_silent_for_longer() {
        for (keep_alive, expected) in [
            (None, Some(15)),
            (Some(0), None),
            (Some(1), Some(15)),
            (Some(5), Some(15)),
            (Some(60), Some(180)),
        ] {
            assert_eq!(longest_silence(keep_alive), expected.map(Duration::from_secs), "{keep_alive:?}");
        }
    }
}
