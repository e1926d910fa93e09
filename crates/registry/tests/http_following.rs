//! Following a service over HTTP, whatever a gateway says.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod scripted;

use std::time::Duration;

use registry::http::{Builder, Discovery, Gateways, Problem};
use registry::{Instances, Source, View};
use scripted::{Connection, LIMIT, Script, becomes, service, time, with_instances};
use tokio::time::{Instant, timeout};

fn ports(list: &Instances) -> Vec<u16> {
    list.iter().map(|instance| instance.data.address.as_ref().unwrap().port()).collect()
}

async fn lists(discovery: &Discovery, expected: &[u16]) -> Instances {
    let is_it = |list: &Option<Instances>| list.as_ref().is_some_and(|list| ports(list) == expected);
    becomes(&mut discovery.instances(), is_it).await.unwrap()
}

async fn is_stale(discovery: &Discovery, stale: bool) -> View {
    let is_so =
        |view: &Option<View>| view.as_ref().is_some_and(|view| (view.source != Source::Live) == stale);
    becomes(&mut discovery.view(), is_so).await.unwrap()
}

/// A discovery with a stream that has begun and told nothing yet.
async fn begun(script: &Script, builder: Builder) -> (Discovery, Connection) {
    let discovery = builder.build().unwrap().follow(&time());
    let mut stream = script.next().await;
    stream.begin("a-1").await;
    (discovery, stream)
}

/// A discovery that has the list of `1`, and the stream that it came from.
async fn followed(script: &Script, builder: Builder) -> (Discovery, Connection) {
    let (discovery, mut stream) = begun(script, builder).await;
    stream.event("a-1", &service(&[1])).await;
    lists(&discovery, &[1]).await;
    (discovery, stream)
}

/// The same with one of two gateways, by its place, whichever was asked first. `more`: what else is said of how to follow, and where.
async fn followed_by_one_of(
    scripts: &[Script; 2],
    more: impl FnOnce(String) -> Builder,
) -> (Discovery, usize, Connection) {
    let discovery = more(scripts.each_ref().map(Script::address).join(",")).build().unwrap().follow(&time());
    let (which, mut stream) = tokio::select! {
        stream = scripts[0].next() => (0, stream),
        stream = scripts[1].next() => (1, stream),
    };
    stream.begin("a-1").await;
    stream.event("a-1", &service(&[1])).await;
    lists(&discovery, &[1]).await;
    (discovery, which, stream)
}

#[tokio::test]
async fn lists_come_as_they_change_and_share_what_did_not() {
    let script = Script::start().await;
    let (discovery, mut stream) = followed(&script, script.builder().token("secret")).await;
    let request = stream.request.to_lowercase();
    assert!(request.starts_with("get /v1/services/time/watch http/1.1\r\n"), "{request}");
    for header in ["accept: text/event-stream", "authorization: bearer secret", "host: 127.0.0.1:"] {
        assert!(request.contains(header), "{header}: {request}");
    }
    assert!(!request.contains("last-event-id"));
    assert!(discovery.problem().borrow().is_none());
    let mut changes = discovery.changes();
    assert_eq!(changes.next().await.unwrap().len(), 1);

    let many: Vec<u16> = (1..=1_000).map(|port| port + 1_000).collect();
    stream.event("a-2", &service(&many)).await;
    let before = lists(&discovery, &many).await;
    let fewer: Vec<u16> = many.iter().copied().filter(|port| *port != 1_500).collect();
    stream.event("a-3", &service(&fewer)).await;
    let after = lists(&discovery, &fewer).await;
    let shared =
        after.blocks().filter(|block| before.blocks().any(|other| std::sync::Arc::ptr_eq(block, other)));
    assert!(shared.count() + 1 >= before.blocks().len(), "all blocks but one are the same");

    // What says the same is no news.
    let mut quiet = discovery.instances();
    quiet.mark_unchanged();
    stream.event("a-4", &service(&fewer)).await;
    stream.event("a-5", &service(&[1])).await;
    becomes(&mut discovery.instances(), |list| list.as_ref().is_some_and(|list| list.len() == 1)).await;
    timeout(LIMIT, quiet.changed()).await.unwrap().unwrap();
    assert_eq!(ports(quiet.borrow_and_update().as_ref().unwrap()), [1]);
}

#[tokio::test]
async fn a_broken_stream_leaves_the_list_stale_and_is_resumed() {
    let script = Script::start().await;
    let (discovery, stream) = followed(&script, script.builder()).await;
    drop(stream);
    let view = is_stale(&discovery, true).await;
    assert!(matches!(view.source, Source::Stale { since } if since <= Instant::now()));
    assert_eq!(ports(&view.entries), [1]);
    let problem = becomes(&mut discovery.problem(), Option::is_some).await.unwrap();
    assert!(matches!(problem, Problem::Interrupted { .. }), "{problem}");

    let mut resumed = script.next().await;
    assert!(resumed.request.contains("last-event-id: a-1\r\n"), "{}", resumed.request);
    // Nothing is new, so nothing comes.
    resumed.begin("a-1").await;
    is_stale(&discovery, false).await;
    becomes(&mut discovery.problem(), Option::is_none).await;
    drop(resumed);
    is_stale(&discovery, true).await;

    // Another gateway, or the same started anew, which has no list yet: nothing makes ours the truth.
    let mut other = script.next().await;
    other.begin("").await;
    other.say(": still here\n\n").await;
    let seen = becomes(&mut discovery.view(), |_| true).await.unwrap();
    assert_ne!(seen.source, Source::Live);
    other.event("b-1", &service(&[1, 2])).await;
    lists(&discovery, &[1, 2]).await;
    is_stale(&discovery, false).await;
    other.end().await;
    assert!(script.next().await.request.contains("last-event-id: b-1\r\n"));
}

#[tokio::test]
async fn a_stream_that_says_nothing_for_too_long_is_opened_again() {
    let script = Script::start().await;
    let silence = Duration::from_secs(4);
    let (discovery, mut stream) = followed(&script, script.builder().silence(silence)).await;
    let begin = Instant::now();
    while begin.elapsed() < silence * 3 / 2 {
        // A comment is enough; nothing here is awaited but time.
        stream.say(": still here\n\n").await;
        assert!(script.is_left_alone(silence / 4).await, "it is alive");
    }
    let last = Instant::now();
    let mut again = script.next().await;
    assert!(last.elapsed() > silence / 2);
    let view = is_stale(&discovery, true).await;
    let since_heard = |since| since <= last + silence / 4;
    assert!(
        matches!(view.source, Source::Stale { since } if since_heard(since)),
        "since something was heard"
    );
    stream.closed().await;
    again.begin("a-1").await;
    is_stale(&discovery, false).await;
}

#[tokio::test]
async fn a_gateway_without_a_list_is_told_of_and_left() {
    let script = Script::start().await;
    let answer = Duration::from_secs(3);
    let discovery = script.builder().answer_within(answer).build().unwrap().follow(&time());
    let mut stream = script.next().await;
    stream.begin("").await;
    let problem = becomes(&mut discovery.problem(), Option::is_some).await.unwrap();
    assert!(matches!(problem, Problem::Waiting { .. }), "{problem}");
    stream.closed().await;
    // And one that does not answer at all.
    let silent = script.next().await;
    becomes(&mut discovery.problem(), |it| matches!(it, Some(Problem::Interrupted { .. }))).await;
    silent.closed().await;
    assert!(discovery.view().borrow().is_none());
}

#[tokio::test]
async fn a_list_may_take_longer_than_an_answer_while_it_comes() {
    let script = Script::start().await;
    let answer = Duration::from_secs(4);
    let (discovery, mut stream) = begun(&script, script.builder().answer_within(answer)).await;
    let event = format!("id: a-1\ndata: {}\n\n", service(&[1, 2]));
    for piece in event.as_bytes().chunks(event.len().div_ceil(6)) {
        stream.say(std::str::from_utf8(piece).unwrap()).await;
        assert!(script.is_left_alone(answer / 4).await, "it is on its way");
    }
    lists(&discovery, &[1, 2]).await;
}

#[tokio::test]
async fn a_gateway_whose_stream_broke_is_asked_first_and_then_the_others() {
    let scripts = [Script::start().await, Script::start().await];
    let (_discovery, which, stream) =
        followed_by_one_of(&scripts, |addresses| Gateways::builder(&addresses)).await;
    drop(stream);
    // It may still be there, and tells what is new alone.
    let again = scripts[which].next().await;
    assert!(scripts[1 - which].is_left_alone(Duration::from_millis(10)).await, "nobody else was asked first");
    assert!(again.request.contains("last-event-id: a-1\r\n"));
    drop(again);
    scripts[1 - which].next().await;
}

#[tokio::test]
async fn a_list_that_is_stale_at_the_gateway_is_so_here_since_then() {
    let script = Script::start().await;
    let (discovery, mut stream) = begun(&script, script.builder()).await;
    let before = std::time::UNIX_EPOCH.elapsed().unwrap() - Duration::from_secs(30);
    let stale = format!("\"stale\",\"stale_since\":{}", before.as_millis());
    let document = with_instances("live", "").replace("\"live\",\"master\"", &format!("{stale},\"master\""));
    stream.event("a-1", &document).await;
    let Source::Stale { since } = is_stale(&discovery, true).await.source else { unreachable!() };
    let age = since.elapsed();
    assert!(age > Duration::from_secs(29) && age < Duration::from_secs(50), "{age:?}");
    // What is said to be stale in a way that nobody knows yet, is.
    stream.event("a-2", &with_instances("live", "")).await;
    is_stale(&discovery, false).await;
    stream.event("a-3", &with_instances("doubtful", "")).await;
    let since = is_stale(&discovery, true).await.source;
    // And since it was so for the first time.
    stream.event("a-4", &service(&[1]).replace("live", "stale")).await;
    lists(&discovery, &[1]).await;
    assert_eq!(is_stale(&discovery, true).await.source, since);
}

#[tokio::test]
async fn a_gateway_that_lost_zookeeper_is_left_for_one_that_has_it() {
    let scripts = [Script::start().await, Script::start().await];
    let patience = Duration::from_secs(2);
    let builder = |addresses: String| Gateways::builder(&addresses).answer_within(patience);
    let (discovery, which, mut stream) = followed_by_one_of(&scripts, builder).await;
    assert!(scripts[1 - which].is_left_alone(2 * patience).await, "it has what there is");
    let begin = Instant::now();
    stream.event("a-2", &service(&[1]).replace("live", "stale")).await;
    is_stale(&discovery, true).await;
    let mut other = scripts[1 - which].next().await;
    assert!(begin.elapsed() >= patience, "it may have it again in a moment");
    stream.closed().await;
    let problem = discovery.problem().borrow().clone().unwrap();
    assert!(matches!(problem, Problem::Waiting { .. }), "{problem}");
    // That one has no better list, and is borne for longer.
    let begin = Instant::now();
    other.begin("b-1").await;
    other.event("b-1", &service(&[1]).replace("live", "stale")).await;
    let mut first = scripts[which].next().await;
    assert!(begin.elapsed() >= 2 * patience);
    first.begin("a-3").await;
    first.event("a-3", &service(&[1, 2])).await;
    lists(&discovery, &[1, 2]).await;
    is_stale(&discovery, false).await;
}

#[tokio::test]
async fn the_only_gateway_is_kept_also_without_zookeeper() {
    let script = Script::start().await;
    let patience = Duration::from_secs(2);
    let (discovery, mut stream) = begun(&script, script.builder().answer_within(patience)).await;
    stream.event("a-1", &service(&[1]).replace("live", "stale")).await;
    is_stale(&discovery, true).await;
    assert!(script.is_left_alone(4 * patience).await);
    stream.event("a-2", &service(&[2])).await;
    lists(&discovery, &[2]).await;
}

#[tokio::test]
async fn what_cannot_be_used_harms_nothing() {
    let huge = service(&(1..=200).collect::<Vec<_>>());
    let other = service(&[]).replace("\"time\"", "\"bank\"");
    for (what, event, told) in [
        ("nonsense", "{", "EOF"),
        ("no service", "{}", "missing field"),
        ("another service", &other, "of the service"),
        ("a huge one", &huge, "more than 4096 bytes"),
        ("not a list", &service(&[]).replace("[]", "7"), "expected a sequence"),
    ] {
        let script = Script::start().await;
        let (discovery, mut stream) = followed(&script, script.builder().max_event_bytes(4_096)).await;
        stream.event("a-2", event).await;
        let problem = becomes(&mut discovery.problem(), Option::is_some).await.unwrap();
        assert!(
            matches!(problem, Problem::Unusable { .. }) && problem.to_string().contains(told),
            "{what}: {problem}"
        );
        assert_eq!(ports(&is_stale(&discovery, true).await.entries), [1], "{what}");
        let mut again = script.next().await;
        assert!(again.request.contains("last-event-id: a-1\r\n"), "{what}: what was not used was not seen");
        again.begin("a-3").await;
        again.event("a-3", &service(&[3])).await;
        lists(&discovery, &[3]).await;
        is_stale(&discovery, false).await;
        assert!(discovery.problem().borrow().is_none());
    }
}

#[tokio::test]
async fn an_instance_that_cannot_be_used_is_told_of_and_the_others_are_served() {
    let script = Script::start().await;
    let (discovery, mut stream) = begun(&script, script.builder()).await;
    let instances = [
        r#"{"id":"h:2","server_ip":"h","server_port":2}"#,
        r#"{"id":"h:1","server_ip":"h","server_port":1}"#,
        r#"{"id":"h:1","server_ip":"h","server_port":9}"#,
        r#"{"id":"a/b","server_ip":"h","server_port":3}"#,
        r#"{"id":"h:4","server_ip":"h","server_port":400000}"#,
        r#"{"server_ip":"h","server_port":5}"#,
        "7",
    ];
    let document = with_instances("stale", &instances.join(","));
    let document =
        document.replace("\"master\":", "\"unusable\":[{\"path\":\"/x\",\"reason\":\"bad\"}],\"master\":");
    stream.event("a-1", &document).await;
    assert_eq!(ports(&lists(&discovery, &[1, 2]).await), [1, 2]);
    let view = is_stale(&discovery, true).await;
    let bad: Vec<_> = view.bad.iter().map(|bad| bad.path.as_str()).collect();
    assert_eq!(
        bad,
        [
            "/x",
            "time/h:1",
            "time/instances[3]",
            "time/instances[4]",
            "time/instances[5]",
            "time/instances[6]"
        ]
    );
    assert!(discovery.problem().borrow().is_none(), "the gateway is there");
}

#[tokio::test]
async fn refusals_are_told_and_asked_again_politely() {
    let script = Script::start().await;
    let discovery = script.builder().build().unwrap().follow(&time());
    let begin = Instant::now();
    for (status, kind, body, told) in [
        (
            "401 Unauthorized",
            "application/problem+json",
            r#"{"detail":"a token, please"}"#,
            "401: a token, please",
        ),
        ("403 Forbidden", "text/html", "<p>no</p>", "403: Forbidden"),
        (
            "404 Not Found",
            "application/problem+json",
            "{\"detail\":\"nothing\\nhere\"}",
            "404: nothing\u{fffd}here",
        ),
        ("302 Found", "text/plain", "", "302: Found"),
        ("200 OK", "text/html", "<p>hello</p>", "accepted is text/event-stream"),
    ] {
        script.next().await.answer(status, kind, body).await;
        let is_it =
            |problem: &Option<Problem>| problem.as_ref().is_some_and(|it| it.to_string().contains(told));
        becomes(&mut discovery.problem(), is_it).await;
    }
    assert!(
        begin.elapsed() > Duration::from_millis(1_700),
        "four delays, three of 250, 500 and 1,000 ms at least"
    );
    let mut stream = script.next().await;
    stream.begin("a-1").await;
    stream.event("a-1", &service(&[1])).await;
    lists(&discovery, &[1]).await;
    assert!(discovery.problem().borrow().is_none());
}

#[tokio::test]
async fn whoever_is_there_is_asked_and_nobody_is_hammered() {
    let scripts = [Script::start().await, Script::start().await];
    let with_nobody = |addresses: String| Gateways::builder(&format!("http://127.0.0.1:9,{addresses}"));
    let (discovery, which, first) = followed_by_one_of(&scripts, with_nobody).await;
    // One that is stopped says so, and the next one is asked.
    first.end().await;
    let mut second = scripts[1 - which].next().await;
    second.begin("b-1").await;
    second.event("b-1", &service(&[2])).await;
    lists(&discovery, &[2]).await;
    drop(discovery);
    second.closed().await;

    let begin = Instant::now();
    let lost = scripts[0].builder().build().unwrap().follow(&time());
    let mut tries = 0;
    while begin.elapsed() < Duration::from_secs(2) {
        drop(scripts[0].next().await);
        tries += 1;
    }
    assert!(tries <= 10, "{tries} in two seconds");
    drop(lost);
}

#[tokio::test]
async fn receivers_outlive_a_discovery_that_ends_with_its_connection() {
    let script = Script::start().await;
    let (discovery, stream) = followed(&script, script.builder()).await;
    let (mut view, lists) = (discovery.view(), discovery.instances());
    drop(discovery);
    stream.closed().await;
    assert!(script.is_left_alone(Duration::from_millis(300)).await);
    assert_eq!(ports(lists.borrow().as_ref().unwrap()), [1]);
    let last = becomes(&mut view, |view| view.as_ref().is_some_and(|view| view.source != Source::Live)).await;
    assert_eq!(ports(&last.unwrap().entries), [1]);
    assert!(lists.has_changed().is_err(), "its senders are gone");
}

#[tokio::test]
async fn clients_that_lost_a_gateway_all_come_back() {
    const CLIENTS: usize = 20;
    let script = Script::start().await;
    let gateways = script.builder().build().unwrap();
    let all: Vec<_> = (0..CLIENTS).map(|_| gateways.follow(&time())).collect();
    // Gone for longer than the delays grow.
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(3) {
        drop(script.next().await);
    }
    let mut streams = Vec::new();
    while streams.len() < CLIENTS {
        let mut stream = script.next().await;
        stream.begin("a-1").await;
        stream.event("a-1", &service(&[1])).await;
        streams.push(stream);
    }
    for discovery in &all {
        lists(discovery, &[1]).await;
    }
}

#[tokio::test]
async fn a_404_empties_the_list_if_a_gateway_says_that_there_is_no_such_service() {
    let nowhere = |kind: &str| format!("{{\"type\":\"{kind}\",\"detail\":\"nobody\"}}");
    let script = Script::start().await;
    let (discovery, stream) = followed(&script, script.builder()).await;
    drop(stream);
    // A proxy before it, with a path that leads nowhere, says the same status.
    script.next().await.answer("404 Not Found", "application/problem+json", &nowhere("about:blank")).await;
    let again = script.next().await;
    assert!(again.request.contains("last-event-id: a-1\r\n"), "{}", again.request);
    let view = is_stale(&discovery, true).await;
    assert_eq!(ports(&view.entries), [1]);

    let before = Instant::now();
    let kind = "urn:headkeeper:problem:unknown-service";
    again.answer("404 Not Found", "application/problem+json", &nowhere(kind)).await;
    lists(&discovery, &[]).await;
    let view = is_stale(&discovery, true).await;
    assert!(matches!(view.source, Source::Stale { since } if since >= before), "{:?}", view.source);
    // Said again it is no news, and no newer.
    let mut views = discovery.view();
    views.mark_unchanged();
    for _ in 0..2 {
        script.next().await.answer("404 Not Found", "application/problem+json", &nowhere(kind)).await;
    }
    // The same state may come again: it is told anew.
    let mut back = script.next().await;
    assert!(!views.has_changed().unwrap());
    assert_eq!(discovery.view().borrow().as_ref().unwrap().source, view.source);
    assert!(!back.request.contains("last-event-id"), "{}", back.request);
    back.begin("a-1").await;
    back.event("a-1", &service(&[1])).await;
    lists(&discovery, &[1]).await;
    is_stale(&discovery, false).await;
}
