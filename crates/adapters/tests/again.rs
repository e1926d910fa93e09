//! A request is tried again where nothing was sent, and only there.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use adapters::hyper::client;
use adapters::tower::{Again, AnsweredBy, Error, Tried};
use bytes::Bytes;
use common::{instance, nowhere, standing, within};
use http::Request;
use http_body_util::Full;
use loadbalance::{Balancer, PickError, RoundRobin};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tower::ServiceExt;
use tower::retry::Retry;

/// Counts the requests that come; answers them, or closes the connection instead.
async fn server(answers: bool) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, came) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let counted = came.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            // To its end: a close with something unread would be a reset.
            let mut all = Vec::new();
            while !all.ends_with(b"once") && stream.read_buf(&mut all).await.unwrap_or(0) > 0 {}
            counted.fetch_add(usize::from(!all.is_empty()), SeqCst);
            if answers {
                let answer = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
                let _ = stream.write_all(answer).await;
            }
        }
    });
    (address, came)
}

fn post() -> Request<Full<Bytes>> {
    Request::post("/").body(Full::from("once")).unwrap()
}

#[tokio::test]
async fn an_instance_that_crashed_costs_no_request() {
    let (well, came) = server(true).await;
    let instances = [instance("gone", nowhere()), instance("well", well)];
    let balancer = Balancer::fixed(instances, RoundRobin::default());
    let client = Retry::new(Again::new(1), client(balancer.clone()));
    for _ in 0..6 {
        let answer = within("an answer", client.clone().oneshot(post())).await.unwrap();
        assert_eq!(answer.extensions().get::<AnsweredBy>().unwrap().0.id.as_str(), "well");
    }
    assert_eq!(came.load(SeqCst), 6);
    // It is tried in its turn all the same, and whoever picks is told.
    assert_eq!(standing(&balancer, "gone"), (0, 6));
}

#[tokio::test]
async fn what_was_sent_is_not_sent_again() {
    let (broken, came) = server(false).await;
    let (well, came_to_well) = server(true).await;
    let instances = [instance("broken", broken), instance("well", well)];
    let client = Retry::new(Again::new(5), client(Balancer::fixed(instances, RoundRobin::default())));
    let error = within("an error", client.oneshot(post())).await.unwrap_err();
    assert!(matches!(&error, Error::Failed { unsent: false, .. }), "{error:?}");
    assert!(!error.is_unsent());
    assert_eq!((came.load(SeqCst), came_to_well.load(SeqCst)), (1, 0));
}

#[tokio::test]
async fn nobody_is_tried_twice_and_not_more_often_than_was_said() {
    let mut instances = Vec::new();
    for name in ["a", "b", "c"] {
        instances.push(instance(name, nowhere()));
    }
    let balancer = Balancer::fixed(instances, RoundRobin::default());
    let tried = async |times| {
        let (mut request, tried) = (post(), Tried::default());
        request.extensions_mut().insert(tried.clone());
        let client = Retry::new(Again::new(times), client(balancer.clone()));
        let error = within("an error", client.oneshot(request)).await.unwrap_err();
        assert!(error.is_unsent());
        (tried.ids().len(), error)
    };
    let (times, error) = tried(0).await;
    assert!(times == 1 && matches!(error, Error::Failed { unsent: true, .. }), "{error:?}");
    let (times, error) = tried(1).await;
    assert!(times == 2 && matches!(error, Error::Failed { .. }), "{error:?}");
    let (times, error) = tried(9).await;
    assert!(times == 3 && matches!(error, Error::Nobody(PickError::Tried { .. })), "{error:?}");
}
