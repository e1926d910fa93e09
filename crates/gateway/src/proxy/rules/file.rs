//! What stands in a file of rules.

use std::sync::Arc;
use std::time::Duration;

use hyper::header::HeaderName;
use ipnet::IpNet;
use jiff::SignedDuration;
use loadbalance::Name;
use regex::bytes::RegexBuilder;
use toml::de::{DeTable, DeValue};

use super::fields::{Fault, Fields, line_of, list, number, shown, switch, text};
use super::{Believed, Choice, Hashed, Limits, Matches, Retries, Rule, Rules, Settings, To, Trusted};
use crate::proxy::path::Path;

/// How large a compiled regex may be.
const LARGEST_REGEX: usize = 1 << 20;

/// Reads a whole file.
pub(super) fn read(source: &str) -> Result<Rules, Vec<Fault>> {
    let root = DeTable::parse(source).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        vec![Fault::new(line_of(source, at), "", error.message())]
    })?;
    let mut fields = Fields::new(source, 0, root.get_ref());
    let trusted = fields.read("trusted", |value| list(value, network)).unwrap_or_default();
    let believed = fields.read("believed", |value| match text(value)? {
        "x-forwarded" => Ok(Believed::XForwarded),
        "forwarded" => Ok(Believed::Forwarded),
        other => Err(format!("{} is not known; accepted: x-forwarded, forwarded", shown(other))),
    });
    let (mut faults, mut rules) = (Vec::new(), Vec::new());
    let ejection = match fields.raw("ejection") {
        None => Settings::default(),
        Some((at, DeValue::Table(table))) => ejection(Fields::new(source, at, table), &mut faults),
        Some(_) => {
            fields.fault("ejection", "accepted: a table, as in [ejection]");
            Settings::default()
        }
    };
    let retries = match fields.raw("retries") {
        None => Retries::default(),
        Some((at, DeValue::Table(table))) => retries(Fields::new(source, at, table), &mut faults),
        Some(_) => {
            fields.fault("retries", "accepted: a table, as in [retries]");
            Retries::default()
        }
    };
    match fields.raw("rule") {
        Some((_, DeValue::Array(tables))) => {
            for entry in tables.iter() {
                match entry.get_ref() {
                    DeValue::Table(table) => {
                        let fields = Fields::new(source, entry.span().start, table);
                        rules.extend(rule(fields, &mut faults).map(Arc::new));
                    }
                    _ => fields.fault("rule", "accepted: tables, as in [[rule]]"),
                }
            }
        }
        Some(_) => fields.fault("rule", "accepted: one table for each rule, as in [[rule]]"),
        None => {}
    }
    faults.extend(fields.finish());
    faults.sort_by_key(Fault::line);
    let trusted = Trusted { networks: trusted, believed: believed.unwrap_or_default() };
    if faults.is_empty() { Ok(Rules { rules, trusted, ejection, retries }) } else { Err(faults) }
}

fn ejection(mut fields: Fields<'_, '_>, faults: &mut Vec<Fault>) -> Settings {
    let usual = Settings::default();
    let settings = Settings {
        failures: fields.read("failures", |value| number(value, 1..=1_000)).unwrap_or(usual.failures),
        first: fields.read("first", time).unwrap_or(usual.first),
        longest: fields.read("longest", time).unwrap_or(usual.longest),
        statuses: fields.read("statuses", |value| list(value, status)).unwrap_or(usual.statuses),
    };
    if settings.longest < settings.first {
        fields.fault("longest", "it is shorter than the first time");
    }
    faults.extend(fields.finish());
    settings
}

fn retries(mut fields: Fields<'_, '_>, faults: &mut Vec<Fault>) -> Retries {
    let usual = Retries::default();
    let retries = Retries {
        percent: fields.read("percent", |value| number(value, 0..=100)).unwrap_or(usual.percent),
        least: fields.read("least", |value| number(value, 0..=1_000)).unwrap_or(usual.least),
    };
    faults.extend(fields.finish());
    retries
}

/// Reads a rule; `None` when something is wrong with it.
fn rule(mut fields: Fields<'_, '_>, faults: &mut Vec<Fault>) -> Option<Rule> {
    let matches = matches(&mut fields);
    let service = fields.read("service", |value| text(value)?.parse().map_err(refusal));
    if service.is_none() && !fields.has("service") {
        fields.fault("service", "it is missing; accepted: the name of a service");
    }
    let to = to(&mut fields);
    let strips_prefix = fields.read("strip_prefix", switch).unwrap_or(false);
    if strips_prefix && matches!(matches, Some(Matches::Regex(_))) {
        fields.fault("strip_prefix", "a regex has no prefix to strip; accepted: strip_prefix with path");
    }
    let usual = Limits::default();
    let limits = Limits {
        connect: fields.read("connect_timeout", time).unwrap_or(usual.connect),
        answer: fields.read("answer_timeout", time).unwrap_or(usual.answer),
        idle: fields.read("idle_timeout", time).unwrap_or(usual.idle),
        tunnel: fields.read("tunnel_timeout", time).unwrap_or(usual.tunnel),
        request: fields.read("request_timeout", time).unwrap_or(usual.request),
        body: fields.read("max_body", size).unwrap_or(usual.body),
        tries: fields.read("tries", |value| number(value, 1..=10)).unwrap_or(usual.tries),
    };
    let wrong = fields.finish();
    let is_right = wrong.is_empty();
    faults.extend(wrong);
    is_right.then_some(Rule { matches: matches?, service: service?, to: to?, strips_prefix, limits })
}

fn matches(fields: &mut Fields<'_, '_>) -> Option<Matches> {
    let path = fields.read("path", |value| prefix(text(value)?));
    let regex = fields.read("regex", |value| compile(text(value)?));
    match (fields.has("path"), fields.has("regex")) {
        (true, true) => fields.fault("regex", "there is a path already; accepted: one of both"),
        (false, false) => {
            fields.fault("path", "it is missing; accepted: path = \"/prefix\", regex = \"/v[12]/\"");
        }
        _ => {}
    }
    path.or(regex)
}

fn prefix(prefix: &str) -> Result<Matches, String> {
    let shown = shown(prefix);
    if !prefix.starts_with('/') {
        return Err(format!("{shown} does not begin with '/'; accepted: a path, as in \"/data\""));
    }
    if let Some(odd) = prefix.chars().find(|it| matches!(it, '%' | '\\' | '?' | '#') || it.is_control()) {
        return Err(format!(
            "{shown} has a {odd:?}; accepted: a path as people write it, without escapes, query and fragment"
        ));
    }
    // What no request can have, no rule can be for.
    let escaped = prefix.bytes().map(|byte| format!("%{byte:02X}").replace("%2F", "/")).collect::<String>();
    Path::read(&escaped)
        .map_err(|refused| format!("{shown} matches nothing: {refused}, and such requests are refused"))?;
    let segments = prefix.split('/').filter(|segment| !segment.is_empty()).count();
    Ok(Matches::Prefix { prefix: prefix.into(), segments })
}

fn compile(pattern: &str) -> Result<Matches, String> {
    // On its own first: nothing may end the group around it, and an error shows what was written.
    let build = |pattern: &str| RegexBuilder::new(pattern).size_limit(LARGEST_REGEX).build();
    let regex = build(pattern).and_then(|_| build(&format!("^(?:{pattern})")));
    let accepted =
        "accepted: a regular expression that matches from the beginning of a path on, as in \"/v[12]/\"";
    regex.map(Matches::Regex).map_err(|error| format!("{}; {accepted}", one_line(&error.to_string())))
}

/// Errors of regular expressions draw a picture of several lines; the last one says what is wrong.
fn one_line(error: &str) -> &str {
    error.lines().last().unwrap_or(error).trim_start_matches("error: ")
}

fn to(fields: &mut Fields<'_, '_>) -> Option<To> {
    let is_master = fields.read("to", |value| match text(value)? {
        "master" => Ok(true),
        "balanced" => Ok(false),
        other => Err(format!("{} is not known; accepted: balanced, master", shown(other))),
    });
    let algorithm = fields.read("algorithm", |value| algorithm(text(value)?));
    let hash = fields.read("hash", |value| hashed(text(value)?));
    let is_wrong = |fields: &Fields<'_, '_>, field, read| fields.has(field) && read;
    if is_wrong(fields, "to", is_master.is_none())
        || is_wrong(fields, "algorithm", algorithm.is_none())
        || is_wrong(fields, "hash", hash.is_none())
    {
        return None;
    }
    match (is_master.unwrap_or(false), algorithm, hash) {
        (true, None, None) => return Some(To::Master),
        (true, algorithm, _) => {
            let field = if algorithm.is_some() { "algorithm" } else { "hash" };
            fields.fault(
                field,
                "the master is one alone, nobody is chosen; accepted: to = \"balanced\" with it",
            );
        }
        (false, None, None) => return Some(To::Balanced(Choice::Named(Name::RoundRobin))),
        (false, Some(None), Some(hashed)) => return Some(To::Balanced(Choice::Hash(hashed))),
        (false, Some(Some(name)), None) => return Some(To::Balanced(Choice::Named(name))),
        (false, Some(None), None) => {
            fields.fault("hash", format!("it is missing: hash needs to know of what; {HASHED}"));
        }
        (false, _, Some(_)) => {
            fields.fault("hash", "it goes with one algorithm; accepted: algorithm = \"hash\" with it");
        }
    }
    None
}

/// One with a name, or `None` for `hash`, which needs to know of what.
fn algorithm(text: &str) -> Result<Option<Name>, String> {
    if text == "hash" {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|error| format!("{}, hash", refusal(error)))
}

const HASHED: &str = "accepted: path, client, header:NAME, cookie:NAME";

fn hashed(text: &str) -> Result<Hashed, String> {
    let refused = || format!("{} cannot be hashed; {HASHED}", shown(text));
    let is_token = |name: &&str| HeaderName::from_bytes(name.as_bytes()).is_ok();
    match text.split_once(':') {
        None if text == "path" => Ok(Hashed::Path),
        None if text == "client" => Ok(Hashed::Client),
        Some(("header", name)) => name.parse().map(Hashed::Header).map_err(|_| refused()),
        Some(("cookie", name)) => {
            Some(name).filter(is_token).map(|name| Hashed::Cookie(name.into())).ok_or_else(refused)
        }
        _ => Err(refused()),
    }
}

fn time(value: &DeValue<'_>) -> Result<Duration, String> {
    let refused =
        || "accepted: a time from 1ms to 24h with its unit, as in \"1s\", \"250ms\" or \"2m\"".to_owned();
    let time: SignedDuration = value.as_str().and_then(|text| text.parse().ok()).ok_or_else(refused)?;
    let time = Duration::try_from(time).map_err(|_| refused())?;
    let accepted = Duration::from_millis(1)..=Duration::from_secs(24 * 3600);
    if accepted.contains(&time) { Ok(time) } else { Err(refused()) }
}

/// A number of bytes, or that there is no limit.
fn size(value: &DeValue<'_>) -> Result<Option<u64>, String> {
    let refused = || {
        "accepted: a size from 1B to 1TiB with its unit (B, KiB, MiB, GiB, TiB), as in \"10MiB\", or \"none\""
            .to_owned()
    };
    let text = value.as_str().ok_or_else(refused)?;
    if text == "none" {
        return Ok(None);
    }
    let (number, unit) = text.split_at(text.find(|it: char| !it.is_ascii_digit()).ok_or_else(refused)?);
    let shift = match unit.trim_start() {
        "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        "TiB" => 40,
        _ => return Err(refused()),
    };
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
    bytes.filter(|bytes| (1..=1 << 40).contains(bytes)).map(Some).ok_or_else(refused)
}

fn status(value: &DeValue<'_>) -> Result<u16, String> {
    number(value, 500..=599).map(|status| status as u16)
}

fn network(value: &DeValue<'_>) -> Result<IpNet, String> {
    let text = text(value)?;
    let network = text.parse().or_else(|_| text.parse().map(|address: std::net::IpAddr| address.into()));
    network.map_err(|_| {
        format!(
            "{} is no network; accepted: as in \"10.0.0.0/8\", \"2001:db8::/32\", \"192.0.2.7\"",
            shown(text)
        )
    })
}

fn refusal(error: impl std::error::Error) -> String {
    error.to_string()
}
