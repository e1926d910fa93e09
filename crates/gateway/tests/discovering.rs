//! Services, instances and masters over HTTP.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod common;

use std::time::Duration;

use common::{Gateway, LIMIT, TIME, data, ids, register};
use gateway::fleet::Options;
use serde_json::json;
use tokio::time::{Instant, advance, timeout};
use zk_session::fake::FakeZk;

#[tokio::test(start_paused = true)]
async fn a_service_is_its_instances_and_its_master() {
    let zk = FakeZk::default();
    register(&zk, "time", "b", &data(2).with_weight(3).with_metadata("zone", "<b>"));
    register(&zk, "time", "a", &data(1));
    zk.put(&format!("{TIME}/c"), "nonsense");
    zk.put_ephemeral(
        "/headkeeper/time/election/a-0000000007",
        proto::encode(&data(1)).unwrap(),
        zk.stranger(),
    );
    let gateway = Gateway::start(&zk);

    let answer = gateway.get("/v1/services/time").await;
    assert_eq!(
        (answer.header("content-type"), answer.header("cache-control")),
        ("application/json", "no-cache")
    );
    let tag = answer.header("etag").to_owned();
    let service = answer.is(200).await;
    assert_eq!(tag, format!("\"{}\"", service["revision"].as_str().unwrap()));
    assert_eq!(
        (&service["service"], &service["source"], &service["master_source"]),
        (&json!("time"), &json!("live"), &json!("live"))
    );
    assert_eq!(
        service["instances"],
        json!([
            {"id": "a", "server_ip": "127.0.0.1", "server_port": 1, "weight": 1, "metadata": {}},
            {"id": "b", "server_ip": "127.0.0.1", "server_port": 2, "weight": 3, "metadata": {"zone": "<b>"}},
        ])
    );
    assert_eq!(service["unusable"][0]["path"], format!("{TIME}/c"));
    assert_eq!(
        (&service["master"]["id"], &service["master"]["data"]["server_port"]),
        (&json!("a"), &json!(1))
    );

    let master = gateway.get("/v1/services/time/master").await.is(200).await;
    assert_eq!((&master["master"], &master["source"]), (&service["master"], &json!("live")));
    // When it was first registered nobody has said.
    assert_eq!(master["master"]["data"].get("registered_at"), None);
    zk.remove("/headkeeper/time/election/a-0000000007");
    gateway.becomes("/v1/services/time/master", |answer| answer["master"].is_null()).await;
}

#[tokio::test(start_paused = true)]
async fn a_state_that_is_known_is_not_sent_again() {
    let zk = FakeZk::default();
    register(&zk, "time", "a", &data(1));
    let gateway = Gateway::start(&zk);
    let tag = gateway.get("/v1/services/time").await.header("etag").to_owned();

    let same = gateway.get_with("/v1/services/time", ("if-none-match", &tag)).await;
    assert_eq!((same.status.as_u16(), same.header("etag")), (304, &*tag));
    assert!(same.bytes().await.is_empty());

    // Another gateway may have counted as far.
    let other = Gateway::start(&zk);
    let answer = other.get_with("/v1/services/time", ("if-none-match", &tag)).await;
    assert_ne!(answer.header("etag"), tag);
    answer.is(200).await;

    register(&zk, "time", "b", &data(2));
    gateway.becomes("/v1/services/time", |service| ids(service) == ["a", "b"]).await;
    gateway.get_with("/v1/services/time", ("if-none-match", &tag)).await.is(200).await;
}

#[tokio::test(start_paused = true)]
async fn each_answer_that_is_asked_for_again_and_again_has_a_tag_that_is_its_own() {
    let zk = FakeZk::default();
    register(&zk, "time", "a", &data(1));
    let (gateway, other) = (Gateway::start(&zk), Gateway::start(&zk));
    let changes = [
        ("/v1/services", "a service comes"),
        ("/v1/services/time/master", "somebody leads"),
        ("/v1/services/time/instances/a", "its weight is another one"),
    ];
    let mut tags = Vec::new();
    for (path, _) in changes {
        let answer = gateway.get(path).await;
        assert_eq!((answer.status.as_u16(), answer.header("cache-control")), (200, "no-cache"), "{path}");
        let tag = answer.header("etag").to_owned();
        assert!(tag.starts_with('"') && tag.len() > 10, "{path}: {tag}");
        assert_eq!(other.get(path).await.header("etag"), tag, "{path}: the same answer of whichever gateway");
        let known = gateway.get_with(path, ("if-none-match", &tag)).await;
        assert_eq!((known.status.as_u16(), known.header("etag")), (304, &*tag), "{path}");
        assert!(known.bytes().await.is_empty());
        tags.push(tag);
    }

    register(&zk, "video", "v", &data(2));
    zk.put_ephemeral(
        "/headkeeper/time/election/a-0000000007",
        proto::encode(&data(1)).unwrap(),
        zk.stranger(),
    );
    zk.put(&format!("{TIME}/a"), proto::encode(&data(1).with_weight(9)).unwrap());
    advance(Duration::from_secs(1)).await;
    for ((path, change), tag) in changes.into_iter().zip(&tags) {
        let changed = async {
            loop {
                let answer = gateway.get_with(path, ("if-none-match", tag)).await;
                if answer.status == 200 {
                    return assert_ne!(answer.header("etag"), tag);
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(LIMIT, changed).await.unwrap_or_else(|_| panic!("{path}: {change}"));
    }
}

fn text(value: &serde_json::Value) -> &str {
    value.as_str().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_query_waits_for_another_revision_and_no_longer_than_it_says() {
    let zk = FakeZk::default();
    register(&zk, "time", "a", &data(1));
    let gateway = Gateway::start(&zk);
    let first = gateway.get("/v1/services/time").await.is(200).await;
    let query = format!("/v1/services/time?wait=30s&revision={}", text(&first["revision"]));

    let begin = Instant::now();
    let same = gateway.get(&query).await.is(200).await;
    assert_eq!((&same["revision"], begin.elapsed()), (&first["revision"], Duration::from_secs(30)));

    let (next, ()) = tokio::join!(gateway.get(&query), async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        register(&zk, "time", "b", &data(2));
    });
    let next = next.is(200).await;
    assert_eq!(ids(&next), ["a", "b"]);
    assert_ne!(next["revision"], first["revision"]);
    assert!(begin.elapsed() < Duration::from_secs(37));

    // What another gateway published is no reason to wait, nor is what is over.
    let begin = Instant::now();
    let (_, number) = text(&next["revision"]).split_once('-').unwrap();
    for seen in [&format!("0123456789abcdef-{number}"), text(&first["revision"])] {
        let answer = gateway.get(&format!("/v1/services/time?wait=30s&revision={seen}")).await.is(200).await;
        assert_eq!((&answer["revision"], begin.elapsed()), (&next["revision"], Duration::ZERO));
    }
    // Nor does it hold up an end.
    let query = format!("/v1/services/time?wait=30s&revision=%22{}%22", text(&next["revision"]));
    let (answer, ()) = tokio::join!(gateway.get(&query), async { gateway.app.close() });
    assert_eq!((answer.status.as_u16(), begin.elapsed()), (200, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_service_is_there_that_has_a_directory_or_was_configured() {
    let zk = FakeZk::default();
    zk.put("/headkeeper/empty/instances", "");
    zk.put("/headkeeper/elects/election", "");
    let gateway = Gateway::with(&zk, &["configured"], Options::default());
    for there in ["empty", "elects", "configured"] {
        let service = gateway.get(&format!("/v1/services/{there}")).await.is(200).await;
        assert!(ids(&service).is_empty(), "{there}");
        gateway.get(&format!("/v1/services/{there}/pick")).await.problem(503, "nobody").await;
    }
    zk.reset_requests();
    for path in ["", "/master", "/pick"] {
        let answer = gateway.get(&format!("/v1/services/nobody{path}")).await;
        assert_eq!(answer.header("cache-control"), "no-store", "it may be there the next time");
        let detail = answer.problem(404, "unknown-service").await;
        assert_eq!(detail, "nobody has registered as \"nobody\"");
    }
    // Asking for what is not there sets no watch, and asks ZooKeeper once at most, each time.
    assert_eq!(zk.requests().watches, 0);
    assert!(zk.requests().lists <= 3, "{:?}", zk.requests());

    register(&zk, "nobody", "a", &data(1));
    let service = gateway.becomes("/v1/services/nobody", |answer| answer["status"] != 404).await;
    assert_eq!(ids(&service), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn names_are_decoded_and_checked() {
    let zk = FakeZk::default();
    register(&zk, "größe b", "a", &data(1));
    let gateway = Gateway::start(&zk);
    let service = gateway.get("/v1/services/gr%C3%B6%C3%9Fe%20b").await.is(200).await;
    assert_eq!((&service["service"], ids(&service)), (&json!("größe b"), vec!["a"]));
    for name in [
        "..",
        "%2e%2e",
        ".",
        "a%2Fb",
        "..%2Felection",
        "a%00",
        "zookeeper",
        "%F0%9F%A6%80",
        "%FF",
        &"x".repeat(256),
    ] {
        for path in ["", "/master", "/pick", "/watch"] {
            let path = format!("/v1/services/{name}{path}");
            gateway.get(&path).await.problem(400, "bad-request").await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_refusal_says_what_is_accepted() {
    let zk = FakeZk::default();
    register(&zk, "time", "a", &data(1));
    let gateway = Gateway::start(&zk);
    for (path, detail) in [
        ("?wait=30s", "wait and revision come together: both or none are accepted"),
        ("?revision=0123456789abcdef-1", "wait and revision come together: both or none are accepted"),
        ("?wait=30&revision=1", "wait is \"30\"; accepted: a time from 0s to 60s with its unit, as in 30s"),
        ("?wait=-1s&revision=1", "wait is \"-1s\"; accepted: a time from 0s to 60s with its unit, as in 30s"),
        ("?wait=61s&revision=1", "wait is \"61s\"; accepted: a time from 0s to 60s with its unit, as in 30s"),
        ("?wait=1s&wait=2s&revision=1", "wait comes 2 times; accepted: once"),
        ("?wait=1s&revision=1", "revision is \"1\"; accepted: the revision of an answer, or its ETag"),
        ("?wiat=1s", "\"wiat\" is no parameter here; accepted: wait, revision"),
        ("/master?x", "\"x\" is no parameter here; accepted: none"),
        ("/watch?x=1", "\"x\" is no parameter here; accepted: none"),
        ("/pick?explain=yes", "explain is \"yes\"; accepted: true, false"),
        (
            "/pick?key=a",
            "round-robin chooses by no key; accepted: no key, or an algorithm with one: ip-hash, url-hash",
        ),
        (
            "/pick?algorithm=url-hash",
            "url-hash chooses by a path with its query, so key is needed; accepted: a path with its query: /data/video?id=7",
        ),
        (
            "/pick?algorithm=url-hash&key=a",
            "key: \"a\" is no key; accepted: a path with its query: /data/video?id=7",
        ),
    ] {
        let path = format!("/v1/services/time{path}");
        assert_eq!(gateway.get(&path).await.problem(400, "bad-request").await, detail, "{path}");
    }
    let unknown =
        gateway.get("/v1/services/time/pick?algorithm=fastest").await.problem(400, "bad-request").await;
    assert!(
        unknown.starts_with("algorithm: \"fastest\" is no algorithm; accepted: round-robin, "),
        "{unknown}"
    );
    for path in [
        "/v1",
        "/v2/services",
        "/v1/services/time/nothing",
        "//v1/services",
        "/v1/services/",
        "/v1/services//pick",
    ] {
        let detail = gateway.get(path).await;
        assert!([404, 400].contains(&detail.status.as_u16()), "{path}: {}", detail.status);
        assert_eq!(detail.header("content-type"), "application/problem+json", "{path}");
    }
    let wrong = gateway.call("POST", "/v1/services/time", "").await;
    assert_eq!(wrong.header("allow"), "GET,HEAD");
    wrong.problem(405, "method-not-allowed").await;
}

#[tokio::test(start_paused = true)]
async fn the_last_known_list_stays_and_says_since_when_it_is_old() {
    let zk = FakeZk::default();
    register(&zk, "time", "a", &data(1));
    let gateway = Gateway::start(&zk);
    let live = gateway.get("/v1/services/time").await.is(200).await;
    gateway.get("/v1/services").await.is(200).await;
    let pick = gateway.get("/v1/services/time/pick").await.is(200).await;
    assert_eq!(pick["source"], "live");

    zk.stop();
    let stale = gateway.becomes("/v1/services/time", |service| service["source"] == "stale").await;
    assert!(stale["stale_since"].as_u64().unwrap() > 1_700_000_000_000);
    assert_eq!((ids(&stale), &stale["master_source"]), (vec!["a"], &json!("stale")));
    assert_ne!(stale["revision"], live["revision"], "it is another state");
    let pick = gateway.get("/v1/services/time/pick").await.is(200).await;
    assert_eq!(pick["source"], "stale", "whoever gets it is told that it may be gone");
    advance(Duration::from_secs(2)).await;
    let services = gateway.get("/v1/services").await.is(200).await;
    assert_eq!(
        (&services["source"], &services["services"]),
        (&json!("stale"), &json!([{"name": "time", "instances": 1}]))
    );
    assert!(services["stale_since"].as_u64().unwrap() > 1_700_000_000_000);
    // Whether it is there nobody can tell, and of a list of it nobody has heard.
    gateway.get("/v1/services/other").await.problem(503, "not-known-yet").await;

    zk.start();
    gateway.becomes("/v1/services/time", |service| service["source"] == "live").await;
}

#[tokio::test(start_paused = true)]
async fn without_zookeeper_there_is_an_answer_in_time() {
    let zk = FakeZk::default();
    zk.set_reachable(false);
    let gateway = Gateway::with(&zk, &["time"], Options::default());
    let begin = Instant::now();
    for path in [
        "/v1/services",
        "/v1/services/time",
        "/v1/services/time/master",
        "/v1/services/time/pick",
        "/v1/services/x",
    ] {
        let answer = gateway.get(path).await;
        assert_eq!(answer.header("retry-after"), "1", "{path}");
        let detail = answer.problem(503, "not-known-yet").await;
        assert!(detail.contains("no ZooKeeper server of fake could be reached"), "{path}: {detail}");
    }
    assert!(begin.elapsed() < Duration::from_secs(20));
    gateway.get("/healthz").await.is(200).await;
    let detail = gateway.get("/readyz").await.problem(503, "not-ready").await;
    assert_eq!(detail, "there is no list yet of: time");

    zk.set_reachable(true);
    let ready = gateway.becomes("/readyz", |answer| answer["status"] == "ready").await;
    assert_eq!(ready["services"], json!([{"name": "time", "source": "live"}]));
    zk.stop();
    gateway.becomes("/readyz", |answer| answer["services"][0]["source"] == "stale").await;
    gateway.app.close();
    gateway.get("/readyz").await.problem(503, "closing").await;
    gateway.get("/healthz").await.is(200).await;
}

#[tokio::test(start_paused = true)]
async fn picks_go_by_their_algorithm_and_explain_themselves() {
    let zk = FakeZk::default();
    register(&zk, "time", "a", &data(1).with_weight(2));
    register(&zk, "time", "b", &data(2));
    register(&zk, "time", "c", &data(3).with_weight(0));
    let gateway = Gateway::start(&zk);
    let picked = async |query: &str| {
        let answer = gateway.get(&format!("/v1/services/time/pick{query}")).await.is(200).await;
        answer["picked"]["id"].as_str().unwrap().to_owned()
    };
    let first = picked("").await;
    let second = picked("?algorithm=round-robin").await;
    assert_ne!(first, second, "turns go on from one request to the next");
    // Also when they are explained: each takes one turn.
    assert_ne!(picked("?explain=true").await, picked("?explain=true").await);
    let mut weighted = Vec::new();
    for _ in 0..6 {
        weighted.push(picked("?algorithm=weight-round-robin").await);
    }
    assert_eq!(weighted.iter().filter(|id| *id == "a").count(), 4, "{weighted:?}");
    let key = "?algorithm=url-hash&key=/data/video%3Fid%3D7";
    let hashed = picked(key).await;
    for _ in 0..5 {
        assert_eq!(picked(key).await, hashed);
    }
    for algorithm in loadbalance::Name::ALL {
        let key = match algorithm.as_str() {
            "ip-hash" => "&key=192.0.2.7",
            "url-hash" => "&key=/",
            _ => "",
        };
        let path = format!("/v1/services/time/pick?algorithm={algorithm}{key}&explain=true");
        let answer = gateway.get(&path).await.is(200).await;
        let chosen: Vec<_> =
            answer["explanation"].as_array().unwrap().iter().filter(|it| it["verdict"] == "chosen").collect();
        assert_eq!((chosen.len(), &chosen[0]["id"]), (1, &answer["picked"]["id"]), "{algorithm}");
        assert_eq!((&answer["algorithm"], &answer["source"]), (&json!(algorithm.as_str()), &json!("live")));
        assert_eq!(answer["explanation"][2]["verdict"], "drained");
    }
    zk.remove(&format!("{TIME}/a"));
    zk.remove(&format!("{TIME}/b"));
    gateway.becomes("/v1/services/time", |service| ids(service) == ["c"]).await;
    let detail = gateway.becomes("/v1/services/time/pick", |answer| answer["status"] == 503).await;
    assert_eq!(detail["detail"], "everybody is drained, with a weight of 0: 1 in all");
    gateway.get("/v1/services/time/pick?explain=true").await.problem(503, "nobody").await;
}

#[tokio::test(start_paused = true)]
async fn a_pick_tells_what_its_instance_says_now() {
    let zk = FakeZk::default();
    register(&zk, "time", "a", &data(1));
    let gateway = Gateway::start(&zk);
    let pick = "/v1/services/time/pick?algorithm=random";
    let first = gateway.get(pick).await.is(200).await;
    assert_eq!(gateway.get(pick).await.is(200).await, first);
    let mut explained = gateway.get(&format!("{pick}&explain=true")).await.is(200).await;
    explained.as_object_mut().unwrap().remove("explanation");
    assert_eq!(explained, first, "but for the reasons it is the same answer");
    let other = gateway.get("/v1/services/time/pick?algorithm=round-robin").await.is(200).await;
    assert_eq!((&other["algorithm"], &other["picked"]), (&json!("round-robin"), &first["picked"]));

    zk.put(&format!("{TIME}/a"), proto::encode(&data(2).with_weight(7)).unwrap());
    let changed = gateway.becomes(pick, |answer| answer["picked"]["weight"] == 7).await;
    assert_eq!(changed["picked"]["server_port"], 2);
    assert_eq!(gateway.get(pick).await.is(200).await, changed);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_nobody_asks_for_is_let_go() {
    let zk = FakeZk::default();
    register(&zk, "time", "a", &data(1));
    register(&zk, "kept", "a", &data(1));
    let options = Options { idle: Duration::from_secs(60), most: 2, ..Options::default() };
    let gateway = Gateway::with(&zk, &["kept"], options);
    gateway.get("/v1/services/time").await.is(200).await;
    register(&zk, "third", "a", &data(1));
    advance(Duration::from_secs(1)).await;
    let detail = gateway.get("/v1/services/third/watch").await.problem(503, "too-many").await;
    assert_eq!(detail, "2 services are followed already, and no more may be");

    // A stream keeps it.
    let mut stream = gateway.get("/v1/services/time/watch").await;
    stream.event().await;
    tokio::time::sleep(Duration::from_secs(200)).await;
    assert_eq!(gateway.fleet.all_followed().len(), 2);
    drop(stream);
    let let_go = async {
        while gateway.fleet.all_followed().len() > 1 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    timeout(LIMIT * 3, let_go).await.unwrap();
    assert_eq!(gateway.fleet.all_followed()[0].service().as_str(), "kept");
    gateway.get("/v1/services/time").await.is(200).await;
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_news_leaves_room_for_others() {
    let zk = FakeZk::default();
    register(&zk, "time", "a", &data(1));
    let gateway = Gateway::start(&zk).with_waiting(1);
    let first = gateway.get("/v1/services/time").await.is(200).await;
    let waits = format!("/v1/services/time?wait=30s&revision={}", text(&first["revision"]));
    let stream = gateway.get("/v1/services/time/watch").await;
    assert_eq!(stream.status, 200);
    for path in ["/v1/services/time/watch", &waits] {
        let refused = gateway.get(path).await;
        assert_eq!(refused.header("retry-after"), "10", "{path}");
        refused.problem(503, "too-many").await;
    }
    // What is answered at once waits for nothing.
    gateway.get("/v1/services/time?wait=30s&revision=0123456789abcdef-1").await.is(200).await;
    drop(stream);
    gateway.get(&waits).await.is(200).await;
    assert_eq!(gateway.get("/v1/services/time/watch").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn the_list_of_services_takes_no_longer_than_anything_of_zookeeper() {
    let zk = FakeZk::default();
    register(&zk, "time", "a", &data(1));
    let gateway = Gateway::start(&zk);
    gateway.get("/v1/services").await.is(200).await;
    zk.stop();
    advance(Duration::from_secs(2)).await;
    let begin = Instant::now();
    let stale = gateway.get("/v1/services").await.is(200).await;
    assert_eq!((text(&stale["source"]), begin.elapsed()), ("stale", gateway.fleet.patience()));
}

#[tokio::test(start_paused = true)]
async fn services_that_have_a_list_are_told_when_zookeeper_is_gone_before_anybody_asked_for_all() {
    let zk = FakeZk::default();
    register(&zk, "time", "a", &data(1));
    register(&zk, "other", "c", &data(3));
    let gateway = Gateway::with(&zk, &["time", "new"], Options::default());
    gateway.becomes("/readyz", |answer| answer["status"] == "ready").await;
    zk.stop();
    gateway.becomes("/v1/services/time", |service| service["source"] == "stale").await;
    let begin = Instant::now();
    let answer = gateway.get("/v1/services").await;
    assert!(!answer.header("etag").is_empty());
    let services = answer.is(200).await;
    // Those that it was started with: others there may be as well.
    let known = json!([{"name": "new", "instances": 0}, {"name": "time", "instances": 1}]);
    assert_eq!((&services["source"], &services["services"]), (&json!("unknown"), &known));
    assert_eq!(services.get("stale_since"), None);
    assert!(begin.elapsed() <= gateway.fleet.patience(), "{:?}", begin.elapsed());
    // Nothing is concluded from that: what is not among them nobody can tell of.
    gateway.get("/v1/services/other").await.problem(503, "not-known-yet").await;

    zk.start();
    let services = gateway.becomes("/v1/services", |services| services["source"] == "live").await;
    assert_eq!(services["services"].as_array().unwrap().len(), 3, "{services:#}");
}

#[tokio::test(start_paused = true)]
async fn a_service_of_which_nothing_was_heard_is_none_that_is_told() {
    let zk = FakeZk::default();
    zk.set_reachable(false);
    let gateway = Gateway::with(&zk, &["time"], Options::default());
    gateway.get("/v1/services").await.problem(503, "not-known-yet").await;
}
