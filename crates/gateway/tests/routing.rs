//! Which instance gets a request, and what becomes of that when there are other rules.

mod proxying;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gateway::proxy::{Outcome, Proxy, Rules};
use http_body_util::Full;
use hyper::Request;
use tokio::time::{Instant, sleep};

use self::proxying::{Fixed, Frozen, Gateway, instance, named, post, soon, text};

#[tokio::test]
async fn the_same_key_goes_to_the_same_instance_whatever_it_is_made_of() {
    let (a, b, c, d) = (named("a").await, named("b").await, named("c").await, named("d").await);
    let rule = |hash: &str| format!("[[rule]]\npath = \"/\"\nservice = \"s\"\n{hash}\n");
    let gateway = Gateway::with(&[a, b, c, d], &rule("algorithm = \"url-hash\"")).await;
    let asked = |path: String, user: usize| {
        let request = Request::get(path).header("host", "t").header("x-user", format!("u{user}"));
        request.header("cookie", format!("a=b; session=s{user}")).body(Full::<Bytes>::default()).unwrap()
    };
    // By what they are hashed: how many places 24 different ones get, and whether one and the same stays.
    for (hash, by_path, by_user) in [
        ("algorithm = \"url-hash\"", true, false),
        ("algorithm = \"hash\"\nhash = \"path\"", true, false),
        ("algorithm = \"ip-hash\"", false, false),
        ("algorithm = \"hash\"\nhash = \"client\"", false, false),
        ("algorithm = \"hash\"\nhash = \"header:X-User\"", false, true),
        ("algorithm = \"hash\"\nhash = \"cookie:session\"", false, true),
    ] {
        gateway.proxy.reload(&rule(hash)).unwrap();
        let (mut paths, mut users) = (std::collections::HashSet::new(), std::collections::HashSet::new());
        for number in 0..24 {
            paths.insert(text(gateway.ask(asked(format!("/{number}"), 0)).await).await);
            users.insert(text(gateway.ask(asked("/same".to_owned(), number)).await).await);
        }
        assert_eq!((paths.len() > 1, users.len() > 1), (by_path, by_user), "{hash}");
    }
}

#[tokio::test]
async fn other_rules_take_over_and_wrong_ones_do_not() {
    let lists = Fixed::default();
    lists.list("one", [instance("a", named("one").await)]);
    lists.list("two", [instance("a", named("two").await)]);
    let gateway = Gateway::over(lists, "[[rule]]\npath = \"/\"\nservice = \"one\"").await;
    assert_eq!(gateway.get("/").await.1, "one");

    let wrong =
        gateway.proxy.reload("[[rule]]\npath = \"/\"\nservice = \"two\"\ntries = \"many\"").unwrap_err();
    assert!(wrong.to_string().starts_with("line 4, tries: "), "{wrong}");
    assert_eq!(gateway.get("/").await.1, "one");

    gateway
        .proxy
        .reload("[[rule]]\npath = \"/x\"\nservice = \"one\"\n[[rule]]\npath = \"/\"\nservice = \"two\"")
        .unwrap();
    assert_eq!(gateway.get("/").await.1, "two");
    assert_eq!(gateway.get("/x").await.1, "one");
    // What both have in common was kept.
    assert_eq!(gateway.ended(Outcome::Good), 3);

    gateway.proxy.replace(Rules::default());
    assert_eq!(gateway.get("/").await.0, 404);
    assert_eq!(gateway.proxy.unmatched().ended(Outcome::NoRule), 1);
}

#[tokio::test]
async fn rules_wait_until_there_is_a_list_of_what_they_name_newly() {
    let (one, two) = (named("one").await, named("two").await);
    let lists = Fixed::default();
    lists.list("one", [instance("a", one)]);
    let to = |service: &str| format!("[[rule]]\npath = \"/\"\nservice = \"{service}\"");
    let gateway = Gateway::over(lists, &to("one")).await;
    gateway.proxy.reload(&to("two")).unwrap();
    assert_eq!(gateway.proxy.awaited(), ["two".parse().unwrap()]);
    assert_eq!(gateway.get("/").await.1, "one");
    // What is served, and so what readiness goes by, is what it was.
    assert_eq!(gateway.proxy.served()[0].service.as_str(), "one");

    gateway.lists.list("two", [instance("a", two)]);
    soon(async {
        loop {
            match gateway.get("/").await {
                (200, name) if name == "two" => break,
                (200, name) => assert_eq!(name, "one"),
                other => panic!("{other:?}"),
            }
        }
    })
    .await;
    assert!(gateway.proxy.awaited().is_empty());
    // Nobody has it, and that is known: nothing to wait for.
    gateway.lists.list("none", []);
    gateway.proxy.reload(&to("none")).unwrap();
    assert_eq!(gateway.get("/").await.0, 503);
}

#[tokio::test]
async fn rules_that_wait_are_given_up_for_newer_ones() {
    let lists = Fixed::default();
    for name in ["one", "three"] {
        lists.list(name, [instance("a", named(name).await)]);
    }
    let to = |service: &str| format!("[[rule]]\npath = \"/\"\nservice = \"{service}\"");
    let gateway = Gateway::over(lists, &to("one")).await;
    gateway.proxy.reload(&to("two")).unwrap();
    // Wrong ones are no newer ones.
    gateway.proxy.reload("[[rule]]").unwrap_err();
    assert_eq!(gateway.proxy.awaited(), ["two".parse().unwrap()]);
    gateway.proxy.reload(&to("one")).unwrap();
    assert!(gateway.proxy.awaited().is_empty());
    soon(gateway.lists.is_let_go("two")).await;

    gateway.proxy.reload(&to("two")).unwrap();
    gateway.proxy.reload(&to("three")).unwrap();
    assert_eq!(gateway.get("/").await.1, "three");
    soon(gateway.lists.is_let_go("two")).await;
    // A proxy that is gone waits for nobody.
    let proxy = Proxy::new(gateway.lists.clone(), Rules::read(&to("one")).unwrap());
    proxy.reload(&to("two")).unwrap();
    assert_eq!(proxy.awaited(), ["two".parse().unwrap()]);
    drop(proxy);
    soon(gateway.lists.is_let_go("two")).await;
}

#[tokio::test]
async fn rules_for_a_master_wait_for_the_first_one() {
    let one = named("one").await;
    let lists = Fixed::default();
    lists.list("one", [instance("a", one)]);
    lists.list("two", []);
    let gateway = Gateway::over(lists, "[[rule]]\npath = \"/\"\nservice = \"one\"").await;
    let _frozen = Frozen::begin();
    gateway.proxy.reload("[[rule]]\npath = \"/\"\nservice = \"two\"\nto = \"master\"").unwrap();
    assert_eq!(gateway.get("/").await.1, "one");
    gateway.lists.master("two", Some(instance("m", named("m").await)));
    soon(async { while gateway.get("/").await != (200, "m".to_owned()) {} }).await;
}

#[tokio::test(start_paused = true)]
async fn rules_wait_a_second_for_all_masters_that_there_may_be() {
    let lists = Fixed::default();
    let names = ["one", "two", "three"];
    for name in names {
        lists.list(name, []);
    }
    let proxy = Proxy::new(Arc::new(lists), Rules::default());
    let begun = Instant::now();
    let rule = |name| format!("[[rule]]\npath = \"/{name}\"\nservice = \"{name}\"\nto = \"master\"\n");
    proxy.reload(&names.map(rule).concat()).unwrap();
    assert!(proxy.served().is_empty());
    soon(async {
        while proxy.served().is_empty() {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert_eq!(begun.elapsed().as_secs(), 1);
}

#[tokio::test]
async fn turns_go_on_under_other_rules() {
    let addresses = [named("a").await, named("b").await, named("c").await, named("d").await];
    let gateway = Gateway::before(&addresses, "").await;
    let mut turns = String::new();
    for number in 1..=8 {
        turns += &gateway.get("/").await.1;
        gateway.proxy.reload(&format!("[[rule]]\npath = \"/\"\nservice = \"s\"\ntries = {number}")).unwrap();
    }
    assert!("abcdabcdabcd".contains(&turns), "{turns}");
}

#[tokio::test]
async fn the_master_gets_what_is_for_the_master() {
    let gateway =
        Gateway::with(&[named("a").await], "[[rule]]\npath = \"/\"\nservice = \"s\"\nto = \"master\"").await;
    let (status, problem) = gateway.get("/").await;
    assert_eq!(status, 503);
    assert!(problem.contains("nobody is known to be its master"), "{problem}");
    gateway.lists.master("s", Some(instance("m", named("m").await)));
    assert_eq!(gateway.get("/").await, (200, "m".to_owned()));
    gateway.lists.master("s", Some(instance("n", named("n").await)));
    assert_eq!(gateway.get("/").await, (200, "n".to_owned()));
    let post = gateway.ask(post("/", "x")).await;
    assert_eq!(text(post).await, "n");
}
