//! Who is left out for a while, and whose failure it is.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod proxying;

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use gateway::proxy::Outcome;
use http_body_util::{BodyExt, Full};
use hyper::Response;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use self::proxying::{
    Fixed, Gateway, counted, get, hangs, head, instance, mirror, named, nobody, pass, post, raw_service,
    rests, service, soon,
};

/// A service whose status is what the test says, and how often it was asked.
async fn moody(status: &Arc<AtomicU16>) -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let (status, counter) = (status.clone(), count.clone());
    let address = service(move |_| {
        counter.fetch_add(1, Relaxed);
        let status = status.load(Relaxed);
        async move { Response::builder().status(status).body(Full::<Bytes>::from("moody")).unwrap() }
    });
    (address.await, count)
}

#[tokio::test]
async fn who_fails_again_and_again_is_left_out_and_returns_by_one_good_answer() {
    let status = Arc::new(AtomicU16::new(503));
    let (moody, count) = moody(&status).await;
    let settings = "[ejection]\nfailures = 3\nfirst = \"1h\"\nlongest = \"1h\"";
    let gateway = Gateway::before(&[moody, named("good").await, named("good").await], settings).await;
    let ask = || async { gateway.get("/").await };
    for _ in 0..30 {
        ask().await;
    }
    // Its answers were passed on, three of them; then it was asked no more.
    assert_eq!(count.load(Relaxed), 3);
    assert_eq!(gateway.proxy.served()[0].ejected, 1);
    assert_eq!(gateway.ended(Outcome::ServerError), 3);

    // One is let through when the time is over, and fails.
    pass(Duration::from_secs(3_601)).await;
    for _ in 0..30 {
        ask().await;
    }
    assert_eq!(count.load(Relaxed), 4);

    status.store(200, Relaxed);
    pass(Duration::from_secs(3_601)).await;
    for _ in 0..30 {
        ask().await;
    }
    assert!(count.load(Relaxed) > 10, "{count:?}");
    assert_eq!(gateway.proxy.served()[0].ejected, 0);
}

#[tokio::test]
async fn an_upload_that_takes_its_time_does_not_keep_an_instance_out() {
    let status = Arc::new(AtomicU16::new(503));
    let (arrived, mut arrivals) = tokio::sync::mpsc::unbounded_channel();
    let moody = raw_service({
        let status = status.clone();
        move |mut stream| {
            let (status, arrived) = (status.clone(), arrived.clone());
            async move {
                while !head(&mut stream).await.starts_with("POST") {
                    let answer = format!("HTTP/1.1 {} x\r\ncontent-length: 0\r\n\r\n", status.load(Relaxed));
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
                while let Ok(byte) = stream.read_u8().await {
                    arrived.send(byte).unwrap();
                }
            }
        }
    });
    let settings = "answer_timeout = \"40s\"\n[ejection]\nfailures = 3\nfirst = \"20s\"\nlongest = \"20s\"";
    let gateway = Gateway::before(&[moody.await, mirror().await], settings).await;
    let ejected = || gateway.proxy.served()[0].ejected;
    soon(async {
        while ejected() == 0 {
            gateway.get("/").await;
        }
    })
    .await;
    status.store(200, Relaxed);
    pass(Duration::from_secs(21)).await;
    // What comes first when its time is over is an upload that goes on and on: of two, which go to one each, or of some more.
    let mut clients = Vec::new();
    let mut probe = loop {
        let mut client = gateway.connect().await;
        let upload = b"POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 100\r\n\r\n";
        let number = u8::try_from(clients.len()).unwrap();
        client.write_all(&[&upload[..], &[number]].concat()).await.unwrap();
        clients.push(client);
        // Whose it is it says: it may have taken longer than was waited for it.
        if let Ok(arrived) = tokio::time::timeout(Duration::from_millis(200), arrivals.recv()).await {
            break clients.swap_remove(arrived.unwrap().into());
        }
    };
    for _ in 0..4 {
        gateway.get("/").await;
        assert_eq!(ejected(), 1);
        probe.write_all(b"a").await.unwrap();
        assert_eq!(soon(arrivals.recv()).await, Some(b'a'));
        pass(Duration::from_secs(12)).await;
    }
    // It took longer than an answer may, and goes on. Others tell now.
    soon(async {
        while ejected() == 1 {
            gateway.get("/").await;
        }
    })
    .await;
    probe.write_all(b"a").await.unwrap();
    assert_eq!(soon(arrivals.recv()).await, Some(b'a'));
}

#[tokio::test]
async fn keys_of_others_stay_where_they_are_while_one_is_out() {
    let status = Arc::new(AtomicU16::new(200));
    let (moody, _) = moody(&status).await;
    let rule = "algorithm = \"url-hash\"\n[ejection]\nfailures = 2\nfirst = \"1h\"\nlongest = \"1h\"";
    let gateway = Gateway::before(&[moody, named("b").await, named("c").await, named("d").await], rule).await;
    let places = || async {
        let mut places = Vec::new();
        for number in 0..40 {
            places.push(gateway.get(&format!("/{number}")).await.1);
        }
        places
    };
    let before = places().await;
    status.store(503, Relaxed);
    places().await;
    assert_eq!(gateway.proxy.served()[0].ejected, 1);
    let after = places().await;
    assert!(before.contains(&"moody".to_owned()) && !after.contains(&"moody".to_owned()));
    for (before, after) in before.iter().zip(&after) {
        assert!(before == "moody" || before == after, "{before} {after}");
    }
}

#[tokio::test]
async fn a_service_whose_instances_all_fail_is_asked_all_the_same() {
    let status = Arc::new(AtomicU16::new(503));
    let ((one, first), (other, second)) = (moody(&status).await, moody(&status).await);
    let gateway =
        Gateway::before(&[one, other], "[ejection]\nfailures = 2\nfirst = \"1h\"\nlongest = \"1h\"").await;
    for _ in 0..40 {
        assert_eq!(gateway.get("/").await.0, 503);
    }
    assert_eq!(gateway.proxy.served()[0].ejected, 1);
    assert_eq!(first.load(Relaxed) + second.load(Relaxed), 40);
}

#[tokio::test]
async fn who_cannot_be_reached_from_here_makes_up_for_nobody_who_is_out() {
    let behind = |id: &str| {
        let data = loadbalance::NodeData::behind_broker("x");
        loadbalance::Instance { id: id.parse().unwrap(), data }
    };
    let (a, b) = (instance("a", nobody().await), instance("b", nobody().await));
    let lists = Fixed::default();
    lists.list("s", [a, b, behind("c"), behind("d")]);
    let rules = "[[rule]]\npath = \"/\"\nservice = \"s\"\n[ejection]\nfailures = 1";
    let gateway = Gateway::over(lists, rules).await;
    for _ in 0..8 {
        assert_eq!(gateway.get("/").await.0, 502);
    }
    assert_eq!(gateway.proxy.served()[0].ejected, 1);
}

#[tokio::test]
async fn who_is_left_out_is_asked_when_nobody_else_is_left() {
    let status = Arc::new(AtomicU16::new(503));
    let (moody, _) = moody(&status).await;
    let settings = "[ejection]\nfailures = 1\nfirst = \"1h\"\nlongest = \"1h\"";
    let gateway = Gateway::before(&[moody, named("b").await], settings).await;
    soon(async {
        while gateway.proxy.served()[0].ejected == 0 {
            gateway.get("/").await;
        }
    })
    .await;
    status.store(200, Relaxed);
    gateway.lists.list("s", [instance("a", moody), instance("b", nobody().await)]);
    assert_eq!(gateway.until("moody").await, 200);
    assert_eq!(gateway.proxy.served()[0].ejected, 1);
}

#[tokio::test]
async fn an_instance_that_had_enough_of_a_slow_client_is_not_blamed() {
    // Reads a part of the body, and gives up on the rest.
    let (gives_up, _) = counted(|mut stream| async move {
        let mut some = [0; 3];
        let _ = stream.read_exact(&mut some).await;
    })
    .await;
    let gateway = Gateway::before(&[gives_up, gives_up], "[ejection]\nfailures = 1").await;
    let mut client = gateway.connect().await;
    client.write_all(b"POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 5\r\n\r\nhel").await.unwrap();
    assert!(head(&mut client).await.starts_with("HTTP/1.1 502 "));
    assert_eq!(gateway.proxy.served()[0].ejected, 0);
}

#[tokio::test]
async fn a_slow_upload_takes_no_time_from_the_next_try_nor_blame_to_it() {
    let (arrived, mut arrivals) = tokio::sync::mpsc::unbounded_channel();
    // Takes all, and answers or breaks off.
    let takes = |answers: bool| {
        let arrived = arrived.clone();
        counted(move |mut stream| {
            let arrived = arrived.clone();
            async move {
                arrived.send(b'^').unwrap();
                for _ in b"hello" {
                    arrived.send(stream.read_u8().await.unwrap()).unwrap();
                }
                if answers {
                    let answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
                    stream.write_all(answer).await.unwrap();
                }
            }
        })
    };
    let ((broken, count), (well, _)) = (takes(false).await, takes(true).await);
    let rule = "answer_timeout = \"40s\"\n[ejection]\nfailures = 1";
    let gateway = Gateway::before(&[broken, well], rule).await;
    let mut answered = 0;
    while count.load(Relaxed) == 0 {
        let mut client = gateway.connect().await;
        client.write_all(b"PUT / HTTP/1.1\r\nhost: t\r\ncontent-length: 5\r\n\r\n").await.unwrap();
        assert_eq!(soon(arrivals.recv()).await, Some(b'^'));
        for byte in b"hello" {
            pass(Duration::from_secs(15)).await;
            client.write_all(&[*byte]).await.unwrap();
            assert_eq!(soon(arrivals.recv()).await, Some(*byte));
        }
        let head = head(&mut client).await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        answered += 1;
        // What the other one was sent at once.
        while arrivals.try_recv().is_ok() {}
    }
    assert_eq!(gateway.ended(Outcome::Good), answered);
    // The one that broke off, and nobody else.
    assert_eq!(gateway.proxy.served()[0].ejected, 1);
}

#[tokio::test]
async fn who_got_the_rest_of_the_time_is_not_blamed_for_being_late() {
    // Takes most of the time, and breaks off.
    let (slow, _) = counted(|_stream| async { tokio::time::sleep(Duration::from_millis(300)).await }).await;
    let (hung, _) = hangs().await;
    let rule = "answer_timeout = \"400ms\"\ntries = 2\n[ejection]\nfailures = 1";
    let gateway = loop {
        let gateway = Gateway::before(&[slow, hung, hung, hung], rule).await;
        assert_eq!(gateway.ask(get("/")).await.status(), 504);
        // Whoever is asked first.
        if gateway.proxy.served()[0].figures.retries() == 1 {
            break gateway;
        }
    };
    assert_eq!(gateway.proxy.served()[0].ejected, 1);
}

#[tokio::test]
async fn an_instance_that_had_enough_of_a_client_who_does_not_read_is_not_blamed() {
    let (leave, told) = tokio::sync::watch::channel(false);
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = sent.clone();
    let (large, _) = counted(move |mut stream| {
        let (mut told, counter) = (told.clone(), counter.clone());
        async move {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n").await.unwrap();
            let writes = async {
                while let Ok(written) = stream.write(&[0; 65_536]).await {
                    counter.fetch_add(written, Relaxed);
                }
            };
            let leaves = async {
                let _ = told.wait_for(|told| *told).await;
            };
            tokio::select! {
                () = writes => {}
                () = leaves => {}
            }
        }
    })
    .await;
    let gateway = Gateway::before(&[large, large], "[ejection]\nfailures = 1").await;
    let answer = gateway.ask(get("/")).await;
    // Nobody takes anything for a while.
    rests(|| sent.load(Relaxed)).await;
    pass(Duration::from_secs(2)).await;
    leave.send_replace(true);
    assert!(soon(answer.into_body().collect()).await.is_err());
    assert_eq!(gateway.proxy.served()[0].ejected, 0);
}

#[tokio::test]
async fn a_client_that_does_not_send_what_it_announced_is_told_and_the_instance_is_not_blamed() {
    let (arrived, mut arrivals) = tokio::sync::mpsc::unbounded_channel();
    let (waits, _) = counted(move |mut stream| {
        let arrived = arrived.clone();
        async move {
            while let Ok(byte) = stream.read_u8().await {
                arrived.send(byte).unwrap();
            }
        }
    })
    .await;
    let rule = "answer_timeout = \"40s\"\n[ejection]\nfailures = 1";
    let gateway = Gateway::before(&[waits, waits], rule).await;
    let mut client = gateway.connect().await;
    client.write_all(b"POST / HTTP/1.1\r\nhost: t\r\ncontent-length: 5\r\n\r\nhel").await.unwrap();
    for byte in b"hel" {
        assert_eq!(soon(arrivals.recv()).await, Some(*byte));
    }
    pass(Duration::from_secs(41)).await;
    assert!(head(&mut client).await.starts_with("HTTP/1.1 408 "));
    assert_eq!(gateway.proxy.served()[0].ejected, 0);
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_is_no_failure_of_the_instance() {
    // Each connection carries one request, and is closed when the next one has come.
    let count = Arc::new(AtomicUsize::new(0));
    let counter = count.clone();
    let closes = raw_service(move |mut stream| {
        let counter = counter.clone();
        async move {
            head(&mut stream).await;
            counter.fetch_add(1, Relaxed);
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
            head(&mut stream).await;
        }
    });
    let closes = closes.await;
    let gateway = Gateway::before(&[closes, closes], "[ejection]\nfailures = 1").await;
    for _ in 0..5 {
        assert_eq!(gateway.get("/").await, (200, "ok".to_owned()));
    }
    assert_eq!(count.load(Relaxed), 5);
    assert_eq!(gateway.proxy.served()[0].ejected, 0);

    // What may not be done twice is not: it was sent.
    assert_eq!(gateway.ask(post("/", "x")).await.status(), 502);
    assert_eq!(gateway.proxy.served()[0].ejected, 0);
}
