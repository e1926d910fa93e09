//! Registering over HTTP, whatever a gateway says.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod scripted;

use std::time::Duration;

use registry::NodeData;
use registry::http::{Builder, Gateways, Problem, Registration, Status};
use scripted::{Connection, LIMIT, Script, becomes, time};
use tokio::time::{Instant, timeout};

const TTL: Duration = Duration::from_secs(9);

/// How long an answer is waited for: one that a busy machine gives is not late.
const ANSWER: Duration = Duration::from_secs(3);

/// Longer than anything is waited for here.
const ENDLESS: Duration = Duration::from_secs(600);

fn announce(script: &Script) -> Registration {
    announce_by(script.builder().ttl(TTL).answer_within(ANSWER))
}

/// With a gateway that may take its time.
fn announce_patiently(script: &Script, ttl: Duration) -> Registration {
    announce_by(script.builder().ttl(ttl).answer_within(ENDLESS))
}

fn announce_by(builder: Builder) -> Registration {
    let data = NodeData::at("h:1".parse().unwrap()).with_metadata("zone", "b");
    builder.build().unwrap().announce(&time(), data).unwrap()
}

async fn says(connection: Connection, status: &str, body: &str) {
    connection.answer(status, "application/json", body).await;
}

/// A gateway that has registered it under this lease.
async fn registers(connection: Connection, lease: &str) {
    says(connection, "201 Created", &format!("{{\"lease\":\"{lease}\",\"state\":\"registered\"}}")).await;
}

/// A gateway where this is true instead of what was asked for.
async fn conflicts(connection: Connection, kind: &str) {
    let body = format!("{{\"type\":\"urn:headkeeper:problem:{kind}\",\"detail\":\"it is {kind}\"}}");
    connection.answer("409 Conflict", "application/problem+json", &body).await;
}

async fn is_replaced(here: &Registration) {
    becomes(&mut here.status(), |status| matches!(status, Status::Replaced)).await;
}

/// So much time goes by at once, and nothing else happens in it.
async fn passes(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

async fn is_registered(here: &Registration) {
    becomes(&mut here.status(), |status| matches!(status, Status::Registered { .. })).await;
}

/// It looks whether it may be registered there again, and nobody is listed.
async fn finds_nobody(script: &Script) {
    says(next(script, LOOK).await, "404 Not Found", NOBODY).await;
}

/// The same, and it is listed, whoever registered it.
async fn finds_itself(script: &Script, here: &Registration) {
    let since = here.data().registered_at;
    let listed = format!("{{\"source\":\"live\",\"instance\":{{\"registered_at\":{since}}}}}");
    says(next(script, LOOK).await, "200 OK", &listed).await;
}

/// The next request, which must be this one.
async fn next(script: &Script, begins: &str) -> Connection {
    that_begins(script.next().await, begins)
}

/// The same, and how long it was waited for: less than this.
async fn next_within(script: &Script, begins: &str, most: Duration) -> Connection {
    let (connection, after) = script.next_after().await;
    assert!(after < most, "{begins:?} after {after:?}");
    that_begins(connection, begins)
}

fn that_begins(connection: Connection, begins: &str) -> Connection {
    let line = connection.request.lines().next().unwrap();
    assert!(line.starts_with(begins), "expected {begins:?}, got {line:?}");
    connection
}

const PUT: &str = "PUT /v1/services/time/instances/h%3A1 HTTP/1.1";
const PUT_AGAIN: &str = "PUT /v1/services/time/instances/h%3A1?lease=";
const RENEW: &str = "POST /v1/services/time/instances/h%3A1/renew?lease=";
const LOOK: &str = "GET /v1/services/time/instances/h%3A1 HTTP/1.1";
const DELETE: &str = "DELETE /v1/services/time/instances/h%3A1?lease=";

#[tokio::test]
async fn it_is_put_renewed_by_its_lease_and_deleted() {
    let script = Script::start().await;
    let begun = Instant::now();
    let here = announce(&script);
    let put = next(&script, PUT).await;
    let body = put.request.split_once("\r\n\r\n").unwrap().1;
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(
        (&body["server_port"], &body["ttl"], &body["metadata"]["zone"]),
        (&1.into(), &TTL.as_secs().into(), &"b".into())
    );
    assert_eq!(body["registered_at"], here.data().registered_at);
    registers(put, "one").await;
    timeout(LIMIT, here.registered()).await.unwrap().unwrap();
    let renewal = next_within(&script, &format!("{RENEW}one "), TTL / 2).await;
    assert!(begun.elapsed() >= TTL / 3, "it is not asked all the time");
    registers(renewal, "one").await;

    // Not known any more: again, and from the beginning.
    says(next(&script, RENEW).await, "404 Not Found", "{}").await;
    finds_nobody(&script).await;
    registers(next(&script, PUT).await, "two").await;
    // What changes is put, for the lease that is ours.
    here.set_weight(7).unwrap();
    let changed = next(&script, &format!("{PUT_AGAIN}two ")).await;
    assert!(changed.request.contains("\"weight\":7"), "{}", changed.request);
    registers(changed, "three").await;
    let gone = tokio::spawn(here.withdraw());
    says(next(&script, &format!("{DELETE}three ")).await, "503 Service Unavailable", "{}").await;
    says(next(&script, DELETE).await, "204 No Content", "").await;
    timeout(LIMIT, gone).await.unwrap().unwrap();
    assert!(script.is_left_alone(TTL / 2).await, "it does not come back");
}

#[tokio::test]
async fn what_a_gateway_that_ends_gives_back_is_withdrawn() {
    let script = Script::start().await;
    let here = announce(&script);
    registers(next(&script, PUT).await, "one").await;
    is_registered(&here).await;
    let gone = tokio::spawn(here.withdraw());
    let closing = "{\"type\":\"urn:headkeeper:problem:closing\"}";
    says(next(&script, &format!("{DELETE}one ")).await, "503 Service Unavailable", closing).await;
    timeout(LIMIT, gone).await.unwrap().unwrap();
    assert!(script.is_left_alone(TTL / 2).await, "nobody asks again");
}

#[tokio::test]
async fn who_is_replaced_stops_and_who_replaced_itself_does_not() {
    let script = Script::start().await;
    let here = announce(&script);
    // Done, perhaps, and perhaps later than the next one, which it then takes the place of.
    let lost = next(&script, PUT).await;
    let silent = next(&script, PUT).await;
    drop(lost);
    registers(silent, "two").await;
    is_registered(&here).await;
    // Which says nothing of what is still on its way.
    registers(next(&script, &format!("{RENEW}two ")).await, "two").await;
    conflicts(next(&script, RENEW).await, "another-lease").await;
    finds_itself(&script, &here).await;
    registers(next(&script, PUT).await, "three").await;
    // Nothing is in doubt any more.
    conflicts(next(&script, RENEW).await, "another-lease").await;
    is_replaced(&here).await;
    timeout(LIMIT, here.withdraw()).await.unwrap();
    assert!(script.is_left_alone(TTL / 2).await, "what is somebody else's is let alone");
}

#[tokio::test]
async fn each_gateway_that_lost_a_registering_may_be_the_one_that_replaced_us() {
    let (a, b) = (Script::start().await, Script::start().await);
    let both = Gateways::builder(&format!("{},{}", a.address(), b.address()));
    let here = announce_by(both.ttl(TTL).answer_within(ANSWER));
    let (first, second, put) = tokio::select! {
        put = next(&a, PUT) => (&a, &b, put),
        put = next(&b, PUT) => (&b, &a, put),
    };
    // Both are done perhaps, one after the other, when we are registered already.
    drop(put);
    drop(next(second, PUT).await);
    registers(next(first, PUT).await, "three").await;
    for lease in ["four", "five"] {
        conflicts(next(first, RENEW).await, "another-lease").await;
        finds_itself(first, &here).await;
        registers(next(first, PUT).await, lease).await;
    }
    is_registered(&here).await;
    // No more than two have lost anything.
    conflicts(next(first, RENEW).await, "another-lease").await;
    is_replaced(&here).await;
}

#[tokio::test]
async fn a_gateway_that_lost_many_registerings_does_not_have_somebody_newer_replaced_as_often() {
    let script = Script::start().await;
    let here = announce(&script);
    for _ in 0..4 {
        drop(next(&script, PUT).await);
    }
    registers(next(&script, PUT).await, "one").await;
    is_registered(&here).await;
    conflicts(next(&script, RENEW).await, "another-lease").await;
    finds_itself(&script, &here).await;
    registers(next(&script, PUT).await, "two").await;
    is_registered(&here).await;
    conflicts(next(&script, RENEW).await, "another-lease").await;
    is_replaced(&here).await;
    assert!(script.is_left_alone(TTL / 2).await, "the newer one keeps its place");
}

#[tokio::test]
async fn what_a_proxy_says_of_a_registering_may_be_of_one_that_is_done() {
    let script = Script::start().await;
    let here = announce(&script);
    says(next(&script, PUT).await, "504 Gateway Timeout", "").await;
    registers(next(&script, PUT).await, "two").await;
    conflicts(next(&script, RENEW).await, "another-lease").await;
    finds_itself(&script, &here).await;
    registers(next(&script, PUT).await, "three").await;
    is_registered(&here).await;
}

#[tokio::test]
async fn what_a_gateway_could_not_do_yet_it_may_do_once_another_was_asked() {
    let (a, b) = (Script::start().await, Script::start().await);
    let both = Gateways::builder(&format!("{},{}", a.address(), b.address()));
    let here = announce_by(both.ttl(TTL).answer_within(ANSWER));
    let (first, second, put) = tokio::select! {
        put = next(&a, PUT) => (&a, &b, put),
        put = next(&b, PUT) => (&b, &a, put),
    };
    says(put, "202 Accepted", "{\"lease\":\"one\",\"state\":\"registering\"}").await;
    drop(next(first, &format!("{RENEW}one ")).await);
    finds_nobody(second).await;
    registers(next(second, PUT).await, "two").await;
    is_registered(&here).await;
    // The first has ZooKeeper again.
    conflicts(next(second, &format!("{RENEW}two ")).await, "replaced").await;
    finds_itself(second, &here).await;
    registers(next(second, PUT).await, "three").await;
    is_registered(&here).await;
}

/// One that has promised to register it as soon as it can.
const PROMISED: &str = "{\"lease\":\"one\",\"state\":\"registering\"}";

/// Two gateways, of which the first has promised to register it.
async fn is_promised_by_one_of(patience: Duration) -> (Registration, Script, Script) {
    let (a, b) = (Script::start().await, Script::start().await);
    let both = Gateways::builder(&format!("{},{}", a.address(), b.address()));
    let here = announce_by(both.ttl(TTL).answer_within(patience));
    let (is_a, put) = tokio::select! {
        put = next(&a, PUT) => (true, put),
        put = next(&b, PUT) => (false, put),
    };
    says(put, "202 Accepted", PROMISED).await;
    let (first, second) = if is_a { (a, b) } else { (b, a) };
    (here, first, second)
}

/// What the other gateway is asked while the first does not come to it, and how long it is waited for.
async fn another_is_asked(first: &Script, second: &Script) -> (Connection, Duration) {
    let begin = Instant::now();
    let renew = format!("{RENEW}one ");
    let asked = next(second, LOOK);
    tokio::pin!(asked);
    loop {
        tokio::select! {
            renewal = next(first, &renew) => says(renewal, "202 Accepted", PROMISED).await,
            asked = &mut asked => return (asked, begin.elapsed()),
        }
    }
}

/// How a gateway that has ZooKeeper says that nobody has the id.
const NOBODY: &str = "{\"type\":\"urn:headkeeper:problem:unknown-instance\"}";

/// The first gateway is without ZooKeeper, and the other one knows that there is no such instance.
async fn is_without_zookeeper(first: &Script, second: &Script) {
    let (asked, _) = another_is_asked(first, second).await;
    says(asked, "404 Not Found", NOBODY).await;
    says(next(first, LOOK).await, "200 OK", "{\"source\":\"stale\"}").await;
}

#[tokio::test]
async fn a_gateway_without_zookeeper_is_left_for_one_that_has_it_and_keeps_nothing_of_it() {
    let patience = Duration::from_secs(2);
    let (here, first, second) = is_promised_by_one_of(patience).await;
    // That one would be no better, or has somebody: nothing changes.
    for (answer, source) in [
        ("200 OK", "stale"),
        ("200 OK", "live"),
        ("503 Service Unavailable", "stale"),
        ("404 Not Found", "stale"),
    ] {
        let (asked, after) = another_is_asked(&first, &second).await;
        assert!(after >= patience / 2, "it may have it again in a moment: {after:?}");
        says(asked, answer, &format!("{{\"source\":\"{source}\"}}")).await;
    }
    // Nor where the first has ZooKeeper, which refuses what it is asked.
    let (asked, _) = another_is_asked(&first, &second).await;
    says(asked, "404 Not Found", NOBODY).await;
    says(next(&first, LOOK).await, "200 OK", "{\"source\":\"live\"}").await;
    is_without_zookeeper(&first, &second).await;
    // It is given back before.
    says(next(&first, &format!("{DELETE}one ")).await, "202 Accepted", "").await;
    finds_nobody(&second).await;
    registers(next(&second, PUT).await, "two").await;
    is_registered(&here).await;
    // The first had it on its way to ZooKeeper.
    conflicts(next(&second, &format!("{RENEW}two ")).await, "replaced").await;
    finds_itself(&second, &here).await;
    registers(next(&second, PUT).await, "three").await;
    is_registered(&here).await;
    assert!(first.is_left_alone(TTL / 5).await, "it is registered elsewhere");
}

#[tokio::test]
async fn what_somebody_took_at_a_gateway_that_is_left_is_let_alone() {
    for (kind, is_ours) in [("another-lease", false), ("replaced", false), ("not-ours", true)] {
        let (here, first, second) = is_promised_by_one_of(Duration::from_secs(2)).await;
        is_without_zookeeper(&first, &second).await;
        conflicts(next(&first, &format!("{DELETE}one ")).await, kind).await;
        if is_ours {
            // The list of a gateway without ZooKeeper may have what was ours.
            finds_nobody(&second).await;
            registers(next(&second, PUT).await, "two").await;
            is_registered(&here).await;
        } else {
            is_replaced(&here).await;
            assert!(second.is_left_alone(TTL / 2).await, "{kind}: the newer one keeps its place");
        }
    }
}

#[tokio::test]
async fn who_turns_to_a_gateway_that_cannot_tell_who_is_there_leaves_them_alone() {
    for (status, told) in [
        // Nobody knows when they were first registered; or their list is old, or there is none.
        ("200 OK", "{\"source\":\"live\",\"instance\":{}}"),
        ("200 OK", "{\"source\":\"stale\",\"instance\":{\"registered_at\":18446744073709551615}}"),
        ("200 OK", "{\"source\":\"unknown\",\"instance\":null}"),
        ("503 Service Unavailable", "{\"type\":\"urn:headkeeper:problem:not-known-yet\"}"),
        ("502 Bad Gateway", ""),
    ] {
        let (here, first, second) = is_promised_by_one_of(ENDLESS).await;
        drop(next(&first, RENEW).await);
        says(next(&second, LOOK).await, status, told).await;
        // That one can tell.
        conflicts(next(&first, &format!("{RENEW}one ")).await, "another-lease").await;
        is_replaced(&here).await;
        assert!(second.is_left_alone(TTL / 9).await, "{told}: nothing was registered");
    }
}

#[tokio::test]
async fn the_only_gateway_is_kept_also_without_zookeeper() {
    let script = Script::start().await;
    let patience = Duration::from_secs(2);
    let here = announce_by(script.builder().ttl(TTL).answer_within(patience));
    says(next(&script, PUT).await, "202 Accepted", PROMISED).await;
    let begin = Instant::now();
    while begin.elapsed() < 2 * patience {
        says(next(&script, &format!("{RENEW}one ")).await, "202 Accepted", PROMISED).await;
    }
    registers(next(&script, &format!("{RENEW}one ")).await, "one").await;
    is_registered(&here).await;
}

#[tokio::test]
async fn who_is_replaced_long_after_a_registering_was_lost_stops() {
    let script = Script::start().await;
    let here = announce(&script);
    drop(next(&script, PUT).await);
    registers(next(&script, PUT).await, "one").await;
    is_registered(&here).await;
    // Whatever was on its way is done by now, and over.
    passes(Duration::from_secs(60)).await;
    for _ in 0..3 {
        registers(next(&script, &format!("{RENEW}one ")).await, "one").await;
    }
    conflicts(next(&script, RENEW).await, "another-lease").await;
    is_replaced(&here).await;
    assert!(script.is_left_alone(TTL / 2).await, "the newer one keeps its place");
}

#[tokio::test]
async fn what_somebody_withdrew_during_a_registering_is_registered_again_and_what_somebody_has_is_not() {
    let script = Script::start().await;
    let here = announce(&script);
    conflicts(next(&script, PUT).await, "withdrawn").await;
    let is_told = |status: &Status| {
        matches!(status, Status::Registering { problem: Some(Problem::Refused { status: 409, .. }) })
    };
    becomes(&mut here.status(), is_told).await;
    registers(next(&script, PUT).await, "one").await;
    is_registered(&here).await;

    here.set_weight(7).unwrap();
    conflicts(next(&script, &format!("{PUT_AGAIN}one ")).await, "another-lease").await;
    is_replaced(&here).await;
    assert!(script.is_left_alone(TTL / 2).await, "it stays away");
}

#[tokio::test]
async fn whoever_was_refused_for_long_and_then_served_is_patient_no_more() {
    let script = Script::start().await;
    let here = announce(&script);
    for _ in 0..4 {
        says(next(&script, PUT).await, "403 Forbidden", "{}").await;
    }
    registers(next(&script, PUT).await, "one").await;
    is_registered(&here).await;
    says(next(&script, RENEW).await, "403 Forbidden", "{}").await;
    becomes(&mut here.status(), |status| matches!(status, Status::Registering { .. })).await;
    // The fifth delay in a row takes 2 s at least.
    registers(next_within(&script, RENEW, Duration::from_secs(1)).await, "one").await;
    is_registered(&here).await;
}

#[tokio::test]
async fn whoever_is_not_wanted_during_a_renewal_is_withdrawn_at_once() {
    let script = Script::start().await;
    let here = announce_patiently(&script, TTL);
    registers(next(&script, PUT).await, "one").await;
    let hangs = next(&script, RENEW).await;
    let gone = tokio::spawn(here.withdraw());
    says(next(&script, &format!("{DELETE}one ")).await, "204 No Content", "").await;
    timeout(LIMIT, gone).await.unwrap().unwrap();
    hangs.closed().await;
}

#[tokio::test]
async fn whoever_is_not_wanted_during_a_registering_waits_a_moment_for_the_lease_and_withdraws_it() {
    let script = Script::start().await;
    let here = announce_patiently(&script, TTL);
    let late = next(&script, PUT).await;
    let gone = tokio::spawn(here.withdraw());
    // Nothing else can take it away.
    assert!(script.is_left_alone(Duration::from_millis(100)).await);
    registers(late, "one").await;
    says(next(&script, &format!("{DELETE}one ")).await, "204 No Content", "").await;
    timeout(LIMIT, gone).await.unwrap().unwrap();
}

#[tokio::test]
async fn whoever_is_not_wanted_does_not_wait_for_a_registering_that_hangs() {
    let script = Script::start().await;
    let here = announce_patiently(&script, Duration::from_secs(12));
    let mut status = here.status();
    registers(next(&script, PUT).await, "one").await;
    is_registered(&here).await;
    here.set_weight(7).unwrap();
    let hangs = next(&script, PUT_AGAIN).await;
    drop(here);
    // What is there may be what was there before.
    says(next(&script, &format!("{DELETE}one ")).await, "204 No Content", "").await;
    becomes(&mut status, |status| matches!(status, Status::Withdrawn)).await;
    hangs.closed().await;
}

#[tokio::test]
async fn what_is_refused_or_not_done_yet_is_told_and_tried_again() {
    let script = Script::start().await;
    let here = announce(&script);
    let detail = "{\"detail\":\"the token is for reading alone\"}";
    next(&script, PUT).await.answer("403 Forbidden", "application/problem+json", detail).await;
    let is_told = |status: &Status| {
        matches!(status, Status::Registering { problem: Some(Problem::Refused { status: 403, .. }) })
    };
    becomes(&mut here.status(), is_told).await;
    let waiting = "{\"lease\":\"one\",\"state\":\"registering\",\"problem\":\"not authorized\"}";
    says(next(&script, PUT).await, "202 Accepted", waiting).await;
    let is_waiting = |status: &Status| match status {
        Status::Registering { problem: Some(problem @ Problem::Waiting { .. }) } => {
            problem.to_string().contains("not authorized")
        }
        _ => false,
    };
    becomes(&mut here.status(), is_waiting).await;
    registers(next(&script, &format!("{RENEW}one ")).await, "one").await;
    is_registered(&here).await;
    says(next(&script, RENEW).await, "200 OK", "nonsense").await;
    becomes(&mut here.status(), |status| {
        matches!(status, Status::Registering { problem: Some(Problem::Unusable { .. }) })
    })
    .await;
    registers(next(&script, RENEW).await, "one").await;

    // Nobody answers: it is over when its time is, counted from the last renewal.
    let begin = Instant::now();
    drop(here);
    // Longer than any pause between two tries.
    while !script.is_left_alone(TTL / 2).await {
        assert!(begin.elapsed() < LIMIT, "nobody keeps it any more");
    }
}
