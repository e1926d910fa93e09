//! A request counts until its body has come to its end.

use std::convert::Infallible;
use std::future::ready;
use std::io;
use std::sync::{Arc, Mutex};

use adapters::tower::{AnsweredBy, Balance, CompleteOnBody, InFlight};
use bytes::Bytes;
use futures::channel::mpsc;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, StreamBody};
use loadbalance::{Balancer, RoundRobin};
use tower::util::BoxCloneService;
use tower::{ServiceExt, service_fn};

use crate::common::{instance, standing, within};

type Frames = mpsc::Receiver<io::Result<Frame<Bytes>>>;

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
