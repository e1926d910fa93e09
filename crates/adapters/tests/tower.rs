//! The service of tower, over services that tests steer.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::collections::HashSet;
use std::convert::Infallible;
use std::future::{Pending, Ready, pending, poll_fn, ready};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use adapters::tower::{AnsweredBy, Balance, CompleteOnBody, Discovered, Error, InFlight, Tried};
use bytes::Bytes;
use common::{instance, list, standing, until, within};
use futures::channel::mpsc;
use futures::{FutureExt, StreamExt};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, StreamBody};
use loadbalance::{Balancer, Hash, Instance, Key, LeastConnections, PickError, RoundRobin};
use tokio::sync::watch;
use tokio::time::Instant;
use tower::balance::p2c;
use tower::discover::Change;
use tower::load::Constant;
use tower::retry::{Policy, Retry};
use tower::timeout::Timeout;
use tower::util::BoxCloneService;
use tower::{BoxError, Service, ServiceExt, service_fn};

type Frames = mpsc::Receiver<io::Result<Frame<Bytes>>>;

/// Tells who was asked, and answers with the name.
type Names = BoxCloneService<String, String, io::Error>;

/// A service that answers with the name of the instance; `down` is refused.
fn named(instance: &Instance) -> Result<Names, BoxError> {
    let id = instance.id.to_string();
    Ok(BoxCloneService::new(service_fn(move |_: String| {
        ready(if id == "down" { Err(io::ErrorKind::ConnectionRefused.into()) } else { Ok(id.clone()) })
    })))
}

async fn ask(balance: &mut Balance<Names, String>, request: &str) -> Result<String, Error> {
    within("an answer", balance.ready().await.unwrap().call(request.to_owned())).await
}

type Web = BoxCloneService<Request<()>, Response<StreamBody<Frames>>, Infallible>;

/// A service of HTTP whose only answer has this status and this body.
fn answering(status: StatusCode, frames: Frames) -> (Balancer, Balance<Web, Request<()>, CompleteOnBody>) {
    let balancer = Balancer::fixed([instance("a", "a:1")], RoundRobin::default());
    let frames = Arc::new(Mutex::new(Some(frames)));
    let balance = Balance::http(balancer.clone(), move |_| {
        let frames = frames.clone();
        Ok(BoxCloneService::new(service_fn(move |_: Request<()>| {
            let frames = frames.lock().unwrap().take().unwrap();
            ready(Ok(Response::builder().status(status).body(StreamBody::new(frames)).unwrap()))
        })))
    });
    (balancer, balance)
}

fn data() -> io::Result<Frame<Bytes>> {
    Ok(Frame::data(Bytes::from_static(b"x")))
}

fn trailers(status: &'static str) -> io::Result<Frame<Bytes>> {
    let mut fields = HeaderMap::new();
    fields.insert("grpc-status", status.parse().unwrap());
    Ok(Frame::trailers(fields))
}

#[tokio::test]
async fn a_request_counts_until_its_body_has_come_to_its_end() {
    type Frames = Vec<io::Result<Frame<Bytes>>>;
    let broken = || Err(io::ErrorKind::ConnectionReset.into());
    let cases: [(&str, u16, Frames, bool, u32); 7] = [
        ("the end", 200, vec![data()], false, 0),
        ("trailers", 200, vec![data(), trailers("0")], false, 0),
        ("trailers of one who is away", 200, vec![data(), trailers("14")], true, 1),
        ("trailers mean nothing in plain HTTP", 200, vec![trailers("14")], false, 0),
        ("a break", 200, vec![data(), broken()], false, 1),
        ("a status that another would not have given", 503, vec![data()], false, 1),
        ("a status that anybody would have given", 500, vec![data()], false, 0),
    ];
    for (name, status, frames, is_grpc, failures) in cases {
        let (sender, receiver) = mpsc::channel(8);
        let (balancer, balance) = answering(StatusCode::from_u16(status).unwrap(), receiver);
        let completion = if is_grpc { CompleteOnBody::grpc() } else { CompleteOnBody::http() };
        let response = balance.complete(completion).oneshot(Request::new(())).await.unwrap();
        assert_eq!(response.extensions().get::<AnsweredBy>().unwrap().0.id.as_str(), "a");
        let mut body = response.into_body();
        let mut sender = Some(sender);
        let last = frames.len() - 1;
        for (at, frame) in frames.into_iter().enumerate() {
            assert_eq!(standing(&balancer, "a"), (1, 0), "{name}, before frame {at}");
            let ends = at == last;
            sender.as_mut().unwrap().try_send(frame).unwrap();
            let came = body.frame().await.unwrap();
            if ends && came.is_ok_and(|frame| frame.is_data()) {
                assert_eq!(standing(&balancer, "a"), (1, 0), "{name}, before the end");
                sender = None;
                assert!(body.frame().await.is_none());
            }
        }
        assert_eq!(standing(&balancer, "a"), (0, failures), "{name}");
    }
}

#[tokio::test]
async fn a_body_that_is_dropped_ends_the_request_and_is_no_failure() {
    let (_sender, receiver) = mpsc::channel(8);
    let (balancer, balance) = answering(StatusCode::OK, receiver);
    let response = balance.oneshot(Request::new(())).await.unwrap();
    assert_eq!(standing(&balancer, "a"), (1, 0));
    drop(response);
    assert_eq!(standing(&balancer, "a"), (0, 0));
}

#[tokio::test]
async fn a_body_that_was_whole_with_the_head_counts_no_more() {
    let balancer = Balancer::fixed([instance("a", "a:1")], RoundRobin::default());
    let balance = Balance::http(balancer.clone(), |_| {
        Ok(service_fn(|_: Request<()>| {
            ready(Ok::<_, Infallible>(Response::new(http_body_util::Empty::<Bytes>::new())))
        }))
    });
    let response = balance.oneshot(Request::new(())).await.unwrap();
    assert_eq!(standing(&balancer, "a"), (0, 0));
    assert!(response.body().is_end_stream());
}

#[tokio::test]
async fn who_fails_is_told_to_the_balancer_and_stays() {
    let instances = [instance("a", "a:1"), instance("down", "b:1")];
    let balancer = Balancer::fixed(instances, RoundRobin::default());
    let mut balance = Balance::new(balancer.clone(), named);
    assert_eq!(ask(&mut balance, "").await.unwrap(), "a");
    let error = ask(&mut balance, "").await.unwrap_err();
    assert!(matches!(&error, Error::Failed { id, .. } if id.as_str() == "down"), "{error:?}");
    assert_eq!(error.to_string(), "instance down did not answer");
    assert_eq!((standing(&balancer, "a"), standing(&balancer, "down")), ((0, 0), (0, 1)));
    assert_eq!((balance.endpoints(), balancer.candidates().len()), (2, 2));

    // An algorithm that minds passes over it.
    let mut balance = Balance::new(
        Balancer::fixed([instance("a", "a:1"), instance("down", "b:1")], LeastConnections),
        named,
    );
    let mut failed = 0;
    for _ in 0..50 {
        failed += usize::from(ask(&mut balance, "").await.is_err());
    }
    assert!((1..=8).contains(&failed), "{failed} of 50 failed");
}

#[tokio::test(start_paused = true)]
async fn who_does_not_answer_in_time_failed() {
    let balancer = Balancer::fixed([instance("a", "a:1")], RoundRobin::default());
    let balance =
        Balance::new(balancer.clone(), |_| Ok(service_fn(|()| pending::<Result<(), Infallible>>())));
    let asked = Timeout::new(balance, Duration::from_secs(1)).oneshot(());
    let counted = async {
        tokio::task::yield_now().await;
        standing(&balancer, "a")
    };
    let (answer, counted) = tokio::join!(asked, counted);
    assert!(answer.is_err());
    assert_eq!((counted, standing(&balancer, "a")), ((1, 0), (0, 1)));
}

/// Is never ready, and counts its clones.
struct NeverReady(Arc<AtomicUsize>);

impl Clone for NeverReady {
    fn clone(&self) -> Self {
        self.0.fetch_add(1, SeqCst);
        Self(self.0.clone())
    }
}

impl Drop for NeverReady {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

impl Service<()> for NeverReady {
    type Response = ();
    type Error = Infallible;
    type Future = Pending<Result<(), Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Pending
    }

    fn call(&mut self, (): ()) -> Self::Future {
        pending()
    }
}

#[derive(Clone)]
enum Either {
    Never(NeverReady),
    Always,
}

impl Service<()> for Either {
    type Response = ();
    type Error = Infallible;
    type Future = Ready<Result<(), Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        match self {
            Self::Never(never) => never.poll_ready(cx),
            Self::Always => Poll::Ready(Ok(())),
        }
    }

    fn call(&mut self, (): ()) -> Self::Future {
        ready(Ok(()))
    }
}

#[tokio::test]
async fn no_request_waits_for_an_instance_that_is_not_its_own() {
    let clones = Arc::new(AtomicUsize::new(0));
    let made = clones.clone();
    let instances = [instance("never", "a:1"), instance("always", "b:1")];
    let balancer = Balancer::fixed(instances, RoundRobin::default());
    let mut balance = Balance::new(balancer.clone(), move |instance| {
        if instance.id.as_str() == "always" {
            return Ok(Either::Always);
        }
        made.fetch_add(1, SeqCst);
        Ok(Either::Never(NeverReady(made.clone())))
    });
    let mut stuck = Box::pin(balance.ready().await.unwrap().call(()));
    assert!(stuck.as_mut().now_or_never().is_none());
    assert_eq!((standing(&balancer, "never"), clones.load(SeqCst)), ((1, 0), 2));

    // The place that the stuck one waits for is its own: others go on, through the same value and through clones.
    within("the other", balance.ready().await.unwrap().call(())).await.unwrap();
    let mut second = Box::pin(balance.clone().oneshot(()));
    assert!(second.as_mut().now_or_never().is_none());
    within("the other", balance.clone().oneshot(())).await.unwrap();

    // Who gives up gives its place back.
    drop((stuck, second));
    assert_eq!((standing(&balancer, "never"), clones.load(SeqCst)), ((0, 2), 1));
}

#[tokio::test(start_paused = true)]
async fn with_nobody_to_ask_a_request_fails_at_once_or_waits() {
    let (lists, receiver) = watch::channel(None);
    let balancer = Balancer::follow(receiver, RoundRobin::default());
    let mut balance = Balance::new(balancer, named);
    let start = Instant::now();
    let error = ask(&mut balance, "").await.unwrap_err();
    assert!(matches!(error, Error::Nobody(PickError::NotReady)), "{error:?}");
    assert_eq!((error.to_string().as_str(), start.elapsed()), ("no instance can be asked", Duration::ZERO));

    let mut patient = balance.clone().wait(Duration::from_secs(5));
    let error = ask(&mut patient, "").await.unwrap_err();
    assert!(matches!(error, Error::Nobody(PickError::NotReady)), "{error:?}");
    assert_eq!(start.elapsed(), Duration::from_secs(5));

    // An empty list is none that it waits for; the next one is.
    let (answer, ()) = tokio::join!(ask(&mut patient, ""), async {
        lists.send_replace(list([]));
        until("the empty list is here", || {
            balance.balancer().pick(&Default::default()).unwrap_err() == PickError::Empty
        })
        .await;
        lists.send_replace(list([instance("a", "a:1")]));
    });
    assert_eq!(answer.unwrap(), "a");
}

#[tokio::test]
async fn a_second_try_goes_to_somebody_who_was_not_tried() {
    #[derive(Clone)]
    struct Twice(u8);
    impl<B: Body> Policy<Request<()>, Response<B>, Error> for Twice {
        type Future = Ready<()>;

        fn retry(
            &mut self,
            _: &mut Request<()>,
            result: &mut Result<Response<B>, Error>,
        ) -> Option<Ready<()>> {
            let again = result.is_err() && self.0 > 0;
            self.0 = self.0.saturating_sub(1);
            again.then(|| ready(()))
        }

        fn clone_request(&mut self, request: &Request<()>) -> Option<Request<()>> {
            Some(request.clone())
        }
    }

    let instances = ["a", "b", "c"].map(|name| instance(name, format!("{name}:1")));
    // Always the same one, for the same key.
    let balancer = Balancer::fixed(instances, Hash::by_url());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heard = asked.clone();
    let balance = Balance::http(balancer.clone(), move |instance| {
        let (id, heard) = (instance.id.clone(), heard.clone());
        Ok(service_fn(move |_: Request<()>| {
            let mut heard = heard.lock().unwrap();
            heard.push(id.clone());
            let answers = heard.len() == 3;
            ready(if answers {
                Ok(Response::new(http_body_util::Empty::<Bytes>::new()))
            } else {
                Err(io::Error::other("no"))
            })
        }))
    })
    .key(|request: &Request<()>| Some(Key::Url(request.uri().path())));

    let tried = Tried::default();
    let request = Request::get("/x").extension(tried.clone()).body(()).unwrap();
    Retry::new(Twice(2), balance.clone()).oneshot(request.clone()).await.unwrap();
    let names: HashSet<_> = asked.lock().unwrap().iter().cloned().collect();
    assert_eq!((names.len(), tried.ids()), (3, names));

    // Nobody is left, and nobody is asked twice.
    let error = balance.clone().oneshot(request).await.unwrap_err();
    assert!(matches!(error, Error::Nobody(PickError::Tried { candidates: 3 })), "{error:?}");
    assert_eq!(asked.lock().unwrap().len(), 3);

    // Without one it is the same one again.
    let first = asked.lock().unwrap()[0].clone();
    let request = Request::get("/x").body(()).unwrap();
    let error = Retry::new(Twice(1), balance).oneshot(request).await.unwrap_err();
    assert_eq!(error.instance(), Some(&first));
    assert_eq!(asked.lock().unwrap()[3..], [first.clone(), first]);
}

#[tokio::test]
async fn a_key_is_found_in_the_request() {
    let instances = ["a", "b", "c"].map(|name| instance(name, format!("{name}:1")));
    let balancer = Balancer::fixed(instances, Hash::by_key());
    let mut balance =
        Balance::new(balancer.clone(), named).key(|request: &String| Some(Key::Bytes(request.as_bytes())));
    for user in 0..20 {
        let user = user.to_string();
        let expected = balancer.pick(&loadbalance::Request::keyed(&user)).unwrap().id.to_string();
        assert_eq!(ask(&mut balance, &user).await.unwrap(), expected);
    }
    let mut without = Balance::new(balancer, named);
    let error = ask(&mut without, "").await.unwrap_err();
    assert!(matches!(error, Error::Nobody(PickError::KeyMissing { .. })), "{error:?}");
}

/// Who was made something to be asked with, where, and how many of these are still there.
#[derive(Clone, Default)]
struct Made(Arc<Mutex<Vec<MadeOne>>>);

/// Where, and whether it is still there.
type MadeOne = (String, std::sync::Weak<()>);

impl Made {
    fn make(&self, instance: &Instance) -> BoxCloneService<(), Arc<()>, Infallible> {
        let alive = Arc::new(());
        let address = instance.data.address.as_ref().unwrap().to_string();
        self.0.lock().unwrap().push((address, Arc::downgrade(&alive)));
        BoxCloneService::new(service_fn(move |()| ready(Ok(alive.clone()))))
    }

    /// Where they were made, and whether they are still there.
    fn all(&self) -> Vec<(String, bool)> {
        let made = self.0.lock().unwrap();
        made.iter().map(|(address, alive)| (address.clone(), alive.strong_count() > 0)).collect()
    }
}

#[tokio::test]
async fn an_instance_is_let_go_of_when_it_leaves_or_moves() {
    let (lists, receiver) = watch::channel(list([instance("a", "a:1")]));
    let balancer = Balancer::follow(receiver, RoundRobin::default());
    let made = Made::default();
    let making = made.clone();
    let balance = Balance::new(balancer.clone(), move |instance| Ok(making.make(instance)));
    let is = |expected: &[(&str, bool)]| {
        made.all()
            == expected.iter().map(|(address, alive)| ((*address).to_owned(), *alive)).collect::<Vec<_>>()
    };
    drop(balance.clone().oneshot(()).await.unwrap());
    drop(balance.clone().oneshot(()).await.unwrap());
    assert!(is(&[("a:1", true)]), "{:?}", made.all());

    // Another weight, or a new registration, is no other place.
    let mut heavier = instance("a", "a:1");
    (heavier.data.weight, heavier.data.registered_at) = (7, 9);
    lists.send_replace(list([heavier]));
    within("the weight", balancer.wait_for(|all| all[0].weight() == 7)).await.unwrap();
    let running = balance.clone().oneshot(()).await.unwrap();
    assert!(is(&[("a:1", true)]), "{:?}", made.all());

    // The same id elsewhere is, and what runs goes on.
    lists.send_replace(list([instance("a", "b:1")]));
    until("the old place is forgotten", || balance.endpoints() == 0).await;
    drop(balance.clone().oneshot(()).await.unwrap());
    assert!(is(&[("a:1", true), ("b:1", true)]), "{:?}", made.all());
    drop(running);
    assert!(is(&[("a:1", false), ("b:1", true)]), "{:?}", made.all());

    // Nobody gets requests of one that is drained.
    let mut drained = instance("a", "b:1");
    drained.data.weight = 0;
    lists.send_replace(list([drained]));
    until("who is drained is forgotten", || is(&[("a:1", false), ("b:1", false)])).await;
    assert_eq!(balance.endpoints(), 0);
}

#[tokio::test]
async fn one_that_left_while_it_was_picked_is_not_kept() {
    let balancer = Balancer::fixed([instance("a", "a:1")], RoundRobin::default());
    let leaving = balancer.clone();
    let balance = Balance::new(balancer, move |instance| {
        leaving.replace([]);
        named(instance)
    });
    assert_eq!(balance.clone().oneshot(String::new()).await.unwrap(), "a");
    // Not even until the next look at the list.
    assert_eq!(balance.endpoints(), 0);
}

#[tokio::test]
async fn the_service_ends_with_its_last_clone() {
    let balancer = Balancer::fixed([instance("a", "a:1")], RoundRobin::default());
    let made = Made::default();
    let making = made.clone();
    let balance = Balance::new(balancer, move |instance| Ok(making.make(instance)));
    drop(balance.clone().oneshot(()).await.unwrap());
    let clone = balance.clone();
    drop(balance);
    assert_eq!((clone.endpoints(), made.all()[0].1), (1, true));
    drop(clone);
    until("what it asked with is gone", || !made.all()[0].1).await;
}

#[tokio::test]
async fn one_that_cannot_be_asked_is_an_error_and_failed() {
    let balancer = Balancer::fixed([instance("a", "a:1")], RoundRobin::default());
    let mut balance: Balance<Names, String> = Balance::new(balancer.clone(), |_| Err("no address".into()));
    let error = ask(&mut balance, "").await.unwrap_err();
    assert_eq!(error.to_string(), "instance a cannot be asked");
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "no address");
    assert_eq!(standing(&balancer, "a"), (0, 1));
}

#[tokio::test]
async fn changes_are_discovered_from_one_list_to_the_next() {
    let (lists, receiver) = watch::channel(None);
    let mut discovered = Discovered::new(receiver, |instance| match instance.id.as_str() {
        "bad" => Err("bad".into()),
        "a" if instance.data.address.as_ref().unwrap().port() == 9 => Err("bad".into()),
        _ => Ok(instance.data.address.as_ref().unwrap().to_string()),
    });
    let mut told = |all: Option<_>| {
        if let Some(all) = all {
            lists.send_replace(list(all));
        }
        let mut changes = Vec::new();
        while let Some(Some(Ok(change))) = discovered.next().now_or_never() {
            changes.push(match change {
                Change::Insert(id, at) => format!("+{id} {at}"),
                Change::Remove(id) => format!("-{id}"),
            });
        }
        changes.sort();
        changes.join(", ")
    };
    let weighing = |weight| {
        let mut instance = instance("a", "a:1");
        instance.data.weight = weight;
        instance
    };
    assert_eq!(told(None), "");
    assert_eq!(
        told(Some(vec![instance("a", "a:1"), instance("b", "b:1"), instance("bad", "c:1")])),
        "+a a:1, +b b:1"
    );
    assert_eq!(told(Some(vec![weighing(5), instance("b", "b:2")])), "+b b:2");
    assert_eq!(told(Some(vec![weighing(0), instance("c", "c:1")])), "+c c:1, -a, -b");
    assert_eq!(told(Some(vec![weighing(1), instance("bad", "c:1")])), "+a a:1, -c");
    assert_eq!(told(Some(vec![instance("a", "a:9")])), "-a");
    assert_eq!(told(Some(vec![instance("a", "a:1")])), "+a a:1");
    drop(lists);
    assert!(within("the end", discovered.next()).await.is_none());
    assert!(within("the end, once more", discovered.next()).await.is_none());
}

#[tokio::test]
async fn towers_own_balancer_follows_the_service() {
    let (lists, receiver) = watch::channel(list([instance("a", "a:1")]));
    let discovered = Discovered::new(receiver, |instance| Ok(Constant::new(named(instance)?, 1)));
    let mut balance = p2c::Balance::new(discovered);
    assert_eq!(balance.ready().await.unwrap().call(String::new()).await.unwrap(), "a");
    lists.send_replace(list([instance("b", "b:1")]));
    // The change is seen when it is asked whether it is ready.
    assert_eq!(balance.ready().await.unwrap().call(String::new()).await.unwrap(), "b");
    lists.send_replace(list([]));
    let is_ready = poll_fn(|cx| Poll::Ready(balance.poll_ready(cx).is_ready()));
    assert!(!is_ready.await);
}

/// A body passes on what it is given.
#[tokio::test]
async fn a_body_is_the_same_body() {
    let (mut sender, receiver) = mpsc::channel(8);
    let (_, balance) = answering(StatusCode::OK, receiver);
    let response: Response<InFlight<_>> = balance.oneshot(Request::new(())).await.unwrap();
    sender.try_send(data()).unwrap();
    sender.try_send(trailers("0")).unwrap();
    drop(sender);
    let collected = within("the whole body", response.into_body().collect()).await.unwrap();
    assert_eq!(collected.trailers().unwrap()["grpc-status"], "0");
    assert_eq!(collected.to_bytes(), "x");
}
