//! The files of the console, and what a browser is told with them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod common;

use std::collections::BTreeSet;

use common::{Answer, Gateway};
use gateway::Guard;
use gateway::guard::{Sites, Tokens};
use zk_session::fake::FakeZk;

/// What stands in quotes behind each of these.
fn quoted<'a>(text: &'a str, before: &str) -> Vec<&'a str> {
    text.split(before).skip(1).map(|rest| rest.split(['"', '\'']).next().unwrap()).collect()
}

async fn text(answer: Answer) -> String {
    assert_eq!(answer.status, 200);
    String::from_utf8(answer.bytes().await).unwrap()
}

/// Everything that the page names, and that is named there in turn, with what is in it.
async fn everything(gateway: &Gateway) -> Vec<(String, String)> {
    let mut all = vec![("/".to_owned(), text(gateway.get("/").await).await)];
    let mut seen = BTreeSet::new();
    let mut at = 0;
    while let Some((_, content)) = all.get(at) {
        let named = quoted(content, " href=\"").into_iter().chain(quoted(content, " src=\""));
        let named = named.filter(|path| !path.starts_with('#')).map(|path| format!("/{path}"));
        let imported = quoted(content, " from './").into_iter().map(|path| format!("/console/{path}"));
        let new: Vec<String> = named.chain(imported).filter(|path| seen.insert(path.clone())).collect();
        for path in new {
            let content = text(gateway.get(&path).await).await;
            all.push((path, content));
        }
        at += 1;
    }
    all
}

#[tokio::test]
async fn everything_that_the_page_names_is_served_and_nothing_else_is_needed() {
    let gateway = Gateway::start(&FakeZk::default());
    let all = everything(&gateway).await;
    let paths: BTreeSet<_> = all.iter().map(|(path, _)| &**path).collect();
    for path in ["/console/style.css", "/console/icon.svg", "/console/app.js", "/console/table.js"] {
        assert!(paths.contains(path), "{path} of {paths:?}");
    }
    let there =
        std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/console/assets")).unwrap().count();
    assert_eq!(paths.len(), there, "what nobody names is not needed: {paths:?}");
    for (path, content) in &all {
        let foreign = content.replace("http://www.w3.org/2000/svg", "");
        assert!(!foreign.contains("://"), "{path} names another host");
        for html in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
            assert!(!content.contains(html), "{path} has {html}");
        }
    }
    let (_, page) = &all[0];
    assert!(!page.contains("style=") && !page.contains("<style"), "style is in its own file");
    let runs = |rest: &str| rest.split(char::is_whitespace).next().is_some_and(|word| word.contains('='));
    assert!(!page.split(" on").skip(1).any(runs), "no attribute runs anything");
}

#[tokio::test]
async fn a_browser_is_told_to_be_strict_with_each_of_them() {
    let gateway = Gateway::start(&FakeZk::default());
    for (path, _) in everything(&gateway).await {
        let answer = gateway.get(&path).await;
        let policy = answer.header("content-security-policy");
        let rules: BTreeSet<_> = policy.split("; ").collect();
        for rule in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "connect-src 'self'",
            "img-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
        ] {
            assert!(rules.contains(rule), "{path}: {rule} is not in {policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains("data:"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
        assert_eq!(answer.header("cross-origin-opener-policy"), "same-origin", "{path}");
        assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin", "{path}");
        assert_eq!(answer.header("cache-control"), "no-cache", "{path}");
        let kind = match path.rsplit('.').next().unwrap() {
            "js" => "text/javascript; charset=utf-8",
            "css" => "text/css; charset=utf-8",
            "svg" => "image/svg+xml",
            _ => "text/html; charset=utf-8",
        };
        assert_eq!(answer.header("content-type"), kind, "{path}");
    }
}

#[tokio::test]
async fn requests_of_the_page_show_the_certificate_of_its_client() {
    let gateway = Gateway::start(&FakeZk::default());
    let mut modes = Vec::new();
    for (path, content) in everything(&gateway).await {
        let found =
            quoted(&content, "credentials: '").into_iter().map(|mode| (path.clone(), mode.to_owned()));
        modes.extend(found);
        assert!(path == "/console/api.js" || !content.contains("fetch("), "{path} asks by itself");
    }
    // To omit credentials leaves out certificates of clients, and to include them shows them to others.
    assert_eq!(modes, [("/console/api.js".to_owned(), "same-origin".to_owned())]);
}

#[tokio::test]
async fn what_a_browser_has_already_is_not_sent_again() {
    let zk = FakeZk::default();
    let (gateway, another) = (Gateway::start(&zk), Gateway::start(&zk));
    let mut tags = BTreeSet::new();
    for path in ["/", "/console/style.css", "/console/app.js"] {
        let tag = gateway.get(path).await.header("etag").to_owned();
        assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() > 10, "{tag}");
        assert_eq!(another.get(path).await.header("etag"), tag, "the same from whichever gateway");
        for known in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
            let answer = gateway.get_with(path, ("if-none-match", &known)).await;
            assert_eq!((answer.status.as_u16(), answer.header("etag")), (304, &*tag), "{path} {known}");
            assert!(answer.header("content-security-policy").contains("default-src 'none'"));
            assert!(answer.bytes().await.is_empty());
        }
        let answer = gateway.get_with(path, ("if-none-match", "\"0000000000000000\"")).await;
        assert!(!text(answer).await.is_empty());
        assert!(tags.insert(tag), "{path} has the tag of another file");
    }
}

#[tokio::test]
async fn the_page_is_served_without_a_token_and_all_that_it_shows_takes_one() {
    let tokens = Some(Tokens::parse("read read-read-read-read").unwrap());
    let gateway = Gateway::guarded(&FakeZk::default(), Guard { tokens, sites: Sites::default() });
    everything(&gateway).await;
    gateway.get("/v1/services").await.problem(401, "no-token").await;
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        for path in ["/", "/console/app.js"] {
            gateway.call(method, path, "").await.problem(405, "method-not-allowed").await;
        }
    }
    gateway.get("/console/nothing.js").await.problem(401, "no-token").await;
    gateway.get("/console/../console/app.js").await.problem(401, "no-token").await;
}
