//! Which instance gets a request, and what becomes of that when there are other rules.

mod proxying;

use bytes::Bytes;
use gateway::proxy::{Outcome, Rules};
use http_body_util::Full;
use hyper::Request;

use self::proxying::{Fixed, Gateway, instance, named, post, text};

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
