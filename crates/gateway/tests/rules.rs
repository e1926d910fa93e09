//! Files of rules: what they mean, and how what is wrong with one is told.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use gateway::proxy::path::Path;
use gateway::proxy::{Rules, RulesError};

fn refused(text: &str) -> RulesError {
    Rules::read(text).unwrap_err()
}

/// Which service a path goes to.
fn service<'r>(rules: &'r Rules, path: &str) -> Option<&'r str> {
    rules.matching(&Path::read(path).unwrap()).map(|rule| rule.service().as_str())
}

#[test]
fn the_first_rule_that_matches_counts() {
    let rules = Rules::read(
        r#"
        [[rule]]
        path = "/a/b"
        service = "first"

        [[rule]]
        regex = "/a/[0-9]+$"
        service = "second"

        [[rule]]
        path = "/a"
        service = "third"

        [[rule]]
        path = "/b/"
        service = "fourth"

        [[rule]]
        path = "/ü x"
        service = "fifth"
        "#,
    )
    .unwrap();
    let cases = [
        ("/a/b", Some("first")),
        ("/a/b/", Some("first")),
        ("/a/b/c", Some("first")),
        ("/a/bc", Some("third")),
        ("/a/17", Some("second")),
        ("/a/17/", Some("third")),
        ("/a", Some("third")),
        ("/ab", None),
        ("/", None),
        // Matched from the beginning of a path on.
        ("/x/a/17", None),
        ("/b", None),
        ("/b/", Some("fourth")),
        ("/b/c", Some("fourth")),
        // However it is written, it is the same path.
        ("/%61/%62", Some("first")),
        ("/a/%31%37", Some("second")),
        ("/%c3%bc%20x/y", Some("fifth")),
        ("/%C3%BC%20x", Some("fifth")),
        // Case counts, as it does for services.
        ("/A", None),
    ];
    for (path, expected) in cases {
        assert_eq!(service(&rules, path), expected, "{path}");
    }
    assert_eq!(rules.services().len(), 5);
}

#[test]
fn a_regex_cannot_match_but_from_the_beginning() {
    let rules = Rules::read("[[rule]]\nregex = \"/b|/c\"\nservice = \"s\"").unwrap();
    assert_eq!(service(&rules, "/c"), Some("s"));
    assert_eq!(service(&rules, "/a/c"), None);
}

#[test]
fn no_way_to_write_a_path_leads_around_a_rule() {
    let rules = Rules::read(
        r#"
        [[rule]]
        regex = "/api/[^/]+/admin"
        service = "regex"

        [[rule]]
        path = "/internal"
        service = "prefix"

        [[rule]]
        path = "/a;v=1/b"
        service = "parameters"

        [[rule]]
        path = "/"
        service = "rest"
        "#,
    )
    .unwrap();
    // What is not UTF-8 is a character to a regex as well; what stands behind `;` is no part of a name to some services.
    for (path, expected) in [
        ("/api/x/admin", "regex"),
        ("/api/%FF/admin", "regex"),
        ("/api/%C3/admin", "regex"),
        ("/api;x/%ff;y/admin;z", "regex"),
        ("/internal;x/secret", "prefix"),
        ("/internal;x", "prefix"),
        ("/internal;/secret;y", "prefix"),
        ("/internal%3bx/%ff", "prefix"),
        ("/a;v=1/b/c", "parameters"),
        ("/a/b", "rest"),
        ("/internals;x/secret", "rest"),
        ("/x;/internal/secret", "rest"),
        ("/;x", "rest"),
    ] {
        assert_eq!(service(&rules, path), Some(expected), "{path}");
    }
}

#[test]
fn a_file_without_rules_has_none() {
    assert!(Rules::read("").unwrap().is_empty());
    assert!(Rules::read("# nothing yet\n").unwrap().is_empty());
}

#[test]
fn everything_that_can_be_said_is_read() {
    let all = r#"
        trusted = ["10.0.0.0/8", "2001:db8::/32", "192.0.2.7"]

        [ejection]
        failures = 3
        first = "500ms"
        longest = "30s"
        statuses = [500, 503]

        [retries]
        percent = 0
        least = 1000

        [[rule]]
        path = "/a"
        service = "s"
        to = "balanced"
        algorithm = "weight-round-robin"
        strip_prefix = true
        connect_timeout = "250ms"
        answer_timeout = "1m 30s"
        idle_timeout = "24h"
        tunnel_timeout = "10m"
        request_timeout = "5m"
        max_body = "10MiB"
        tries = 1

        [[rule]]
        path = "/b"
        service = "s"
        to = "master"
    "#;
    assert_eq!(Rules::read(all).unwrap().len(), 2);
    let hashes = ["path", "client", "header:X-User", "cookie:session"];
    for hash in hashes {
        let text =
            format!("[[rule]]\npath = \"/a\"\nservice = \"s\"\nalgorithm = \"hash\"\nhash = \"{hash}\"");
        assert!(Rules::read(&text).is_ok(), "{hash}");
    }
    for name in loadbalance::Name::ALL {
        let text = format!("[[rule]]\npath = \"/a\"\nservice = \"s\"\nalgorithm = \"{name}\"");
        assert!(Rules::read(&text).is_ok(), "{name}");
    }
}

/// A rule with some lines in place of others. The line of a fault is counted from the rule's own.
fn with(lines: &str) -> String {
    format!("# rules\n\n[[rule]]\nservice = \"s\"\n{lines}\n")
}

#[test]
fn what_is_wrong_is_told_with_its_line_its_field_and_what_is_accepted() {
    let path = "path = \"/a\"\n";
    let cases = [
        ("path = \"a\"", 5, "path", "\"a\" does not begin with '/'; accepted: a path, as in \"/data\""),
        ("path = \"/a%20b\"", 5, "path", "accepted: a path as people write it, without escapes"),
        ("path = \"/a?b\"", 5, "path", "accepted: a path as people write it"),
        ("path = \"/a/../b\"", 5, "path", "matches nothing: the path has a segment \".\" or \"..\""),
        ("path = \"/a//b\"", 5, "path", "matches nothing: the path has an empty segment"),
        ("path = 7", 5, "path", "this is of type integer; accepted: a text in quotes"),
        ("", 3, "path", "it is missing; accepted: path = \"/prefix\", regex ="),
        ("path = \"/a\"\nregex = \"/a\"", 6, "regex", "there is a path already; accepted: one of both"),
        ("regex = \"/a(\"", 5, "regex", "unclosed group; accepted: a regular expression that"),
        ("regex = \"/a)|(/b\"", 5, "regex", "unopened group; accepted"),
        ("regex = \"/(a{1000}){1000}\"", 5, "regex", "accepted"),
        ("regex = \"/a\"\nstrip_prefix = true", 6, "strip_prefix", "accepted: strip_prefix with path"),
        (&format!("{path}to = \"slave\""), 6, "to", "\"slave\" is not known; accepted: balanced, master"),
        (
            &format!("{path}algorithm = \"fastest\""),
            6,
            "algorithm",
            "\"fastest\" is no algorithm; accepted: round-robin, weight-round-robin, random, weight-random, ip-hash, \
             url-hash, least-connect, hash",
        ),
        (
            &format!("{path}algorithm = \"hash\""),
            3,
            "hash",
            "it is missing: hash needs to know of what; accepted: path, client, header:NAME",
        ),
        (
            &format!("{path}algorithm = \"url-hash\"\nhash = \"path\""),
            7,
            "hash",
            "accepted: algorithm = \"hash\" with it",
        ),
        (
            &format!("{path}algorithm = \"hash\"\nhash = \"header:a b\""),
            7,
            "hash",
            "\"header:a b\" cannot be hashed; accepted: path",
        ),
        (&format!("{path}algorithm = \"hash\"\nhash = \"cookie:a=b\""), 7, "hash", "cannot be hashed"),
        (
            &format!("{path}to = \"master\"\nalgorithm = \"random\""),
            7,
            "algorithm",
            "accepted: to = \"balanced\" with it",
        ),
        (
            &format!("{path}to = \"master\"\nhash = \"path\""),
            7,
            "hash",
            "accepted: to = \"balanced\" with it",
        ),
        (
            &format!("{path}strip_prefix = \"yes\""),
            6,
            "strip_prefix",
            "this is of type string; accepted: true, false",
        ),
        (
            &format!("{path}connect_timeout = 5"),
            6,
            "connect_timeout",
            "accepted: a time from 1ms to 24h with its unit",
        ),
        (&format!("{path}answer_timeout = \"0s\""), 6, "answer_timeout", "accepted: a time from 1ms"),
        (&format!("{path}idle_timeout = \"-1s\""), 6, "idle_timeout", "accepted: a time from 1ms"),
        (&format!("{path}idle_timeout = \"25h\""), 6, "idle_timeout", "accepted: a time from 1ms"),
        (&format!("{path}request_timeout = \"0s\""), 6, "request_timeout", "accepted: a time from 1ms"),
        (&format!("{path}max_body = 1000"), 6, "max_body", "accepted: a size from 1B to 1TiB with its unit"),
        (&format!("{path}max_body = \"10m\""), 6, "max_body", "accepted: a size from 1B to 1TiB"),
        (&format!("{path}max_body = \"10\""), 6, "max_body", "accepted: a size from 1B to 1TiB"),
        (&format!("{path}max_body = \"0B\""), 6, "max_body", "as in \"10MiB\", or \"none\""),
        (&format!("{path}max_body = \"-1KiB\""), 6, "max_body", "as in \"10MiB\", or \"none\""),
        (&format!("{path}max_body = \"1025GiB\""), 6, "max_body", "as in \"10MiB\", or \"none\""),
        (
            &format!("{path}max_body = \"99999999999999999999B\""),
            6,
            "max_body",
            "as in \"10MiB\", or \"none\"",
        ),
        (&format!("{path}max_body = \"16777216TiB\""), 6, "max_body", "as in \"10MiB\", or \"none\""),
        (&format!("{path}tries = 0"), 6, "tries", "accepted: a whole number from 1 to 10"),
        (&format!("{path}tries = -1"), 6, "tries", "accepted: a whole number from 1 to 10"),
        (
            &format!("{path}retries = 2"),
            6,
            "retries",
            "there is no such field; accepted: path, regex, service, to, algorithm, hash, strip_prefix, connect_timeout, answer_timeout, idle_timeout, tunnel_timeout, request_timeout, max_body, tries",
        ),
    ];
    for (lines, line, field, problem) in cases {
        let error = refused(&with(lines));
        let fault = &error.faults()[0];
        assert_eq!((fault.line(), fault.field()), (line, field), "{lines}: {error}");
        let text = error.to_string();
        assert!(
            text.starts_with(&format!("line {line}, {field}: ")) && text.contains(problem),
            "{lines}: {text}"
        );
        assert_eq!(error.faults().len(), 1, "{text}");
    }
}

#[test]
fn what_is_wrong_outside_of_rules_is_told_too() {
    let cases = [
        (
            "trusted = [\"10.0.0.0/40\"]",
            "line 1, trusted: \"10.0.0.0/40\" is no network; accepted: as in \"10.0.0.0/8\"",
        ),
        (
            "believed = \"x-real-ip\"",
            "line 1, believed: \"x-real-ip\" is not known; accepted: x-forwarded, forwarded",
        ),
        ("trusted = \"10.0.0.0/8\"", "line 1, trusted: this is of type string; accepted: a list in [ ]"),
        ("\n[ejection]\nfailures = 0", "line 3, failures: accepted: a whole number from 1 to 1000"),
        ("[ejection]\nstatuses = [404]", "line 2, statuses: accepted: a whole number from 500 to 599"),
        ("[ejection]\nfirst = \"2m\"", "line 1, longest: it is shorter than the first time"),
        ("ejection = 3", "line 1, ejection: accepted: a table, as in [ejection]"),
        ("[retries]\npercent = 101", "line 2, percent: accepted: a whole number from 0 to 100"),
        ("[retries]\nleast = 1001", "line 2, least: accepted: a whole number from 0 to 1000"),
        ("[retries]\nmost = 1", "line 2, most: there is no such field; accepted: percent, least"),
        ("retries = 3", "line 1, retries: accepted: a table, as in [retries]"),
        ("[rule]\npath = \"/\"", "line 1, rule: accepted: one table for each rule, as in [[rule]]"),
        ("rule = [1]", "line 1, rule: accepted: tables, as in [[rule]]"),
        (
            "[[rules]]\npath = \"/\"",
            "line 1, rules: there is no such field; accepted: trusted, believed, ejection, retries, rule",
        ),
        ("[[rule]]\npath = \"/\"\nservice = \"a/b\"", "line 3, service: \"a/b\" cannot be a name"),
        ("[[rule]]\npath = \"/\"", "line 1, service: it is missing; accepted: the name of a service"),
        ("\n[[rule]\n", "line 2: "),
        ("a = 1\na = 2", "line 2: duplicate key"),
    ];
    for (text, problem) in cases {
        let error = refused(text).to_string();
        assert!(error.starts_with(problem), "{text}: {error}");
    }
}

#[test]
fn all_that_is_wrong_is_told_at_once_in_the_order_of_the_file() {
    let error = refused(
        "[[rule]]\npath = \"a\"\nservice = \"s\"\ntries = 99\n\n[[rule]]\npath = \"/\"\nservice = \"\"\ntoo = \"master\"",
    );
    let faults: Vec<_> = error.faults().iter().map(|it| (it.line(), it.field())).collect();
    assert_eq!(faults, [(2, "path"), (4, "tries"), (8, "service"), (9, "too")]);
    assert_eq!(error.to_string().lines().count(), 4);
}
