//! A connect string, taken apart and checked before anything is sent.

use std::fmt;
use std::net::Ipv6Addr;

use crate::Error;
use crate::path;

const ACCEPTED: &str = "a connect string is \"host:port,host:port/chroot\"; without a port it is 2181";
const DEFAULT_PORT: u16 = 2181;
/// So many characters of a text that is refused are repeated.
const SHOWN: usize = 100;

/// The servers of one ensemble and the node below which everything happens. Prints as a connect string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Servers {
    hosts: Vec<String>,
    chroot: String,
}

impl Servers {
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let (hosts, chroot) = match text.find('/') {
            Some(slash) => text.split_at(slash),
            None => (text, ""),
        };
        let hosts = hosts.split(',').map(host).collect::<Result<_, _>>();
        let refused = |why: String| {
            Error::Invalid(format!("the connect string {} is unusable: {why}; {ACCEPTED}", shown(text)))
        };
        let hosts = hosts.map_err(refused)?;
        let chroot = chroot.trim_end();
        if chroot.is_empty() || chroot == "/" {
            return Ok(Self { hosts, chroot: String::new() });
        }
        if chroot.contains(',') {
            // A name may have a comma. But mostly this is a chroot for each server, which the client would take for
            // another server: it would be asked for what is meant for the first.
            return Err(refused("a chroot is given once, behind the last server, and has no ','".to_owned()));
        }
        path::check(chroot).map_err(|error| refused(format!("its chroot is no path: {error}")))?;
        Ok(Self { hosts, chroot: chroot.to_owned() })
    }

    /// A connect string for each server.
    pub(crate) fn each(&self) -> Vec<String> {
        self.hosts.iter().map(|host| format!("{host}{}", self.chroot)).collect()
    }
}

impl fmt::Display for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.hosts.join(","), self.chroot)
    }
}

/// The beginning of a text that may be of any length.
fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}… ({} bytes)", &text[..end], text.len()),
        None => format!("{text:?}"),
    }
}

/// One `host:port`, with the port filled in.
fn host(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("a server is missing".to_owned());
    }
    if let Some(bracketed) = text.strip_prefix('[') {
        let (address, rest) =
            bracketed.split_once(']').ok_or_else(|| format!("{} has no closing bracket", shown(text)))?;
        address.parse::<Ipv6Addr>().map_err(|_| format!("{} is no IPv6 address", shown(address)))?;
        let port = match rest {
            "" => DEFAULT_PORT,
            _ => port(
                rest.strip_prefix(':')
                    .ok_or_else(|| format!("{} has something behind its bracket", shown(text)))?,
            )?,
        };
        return Ok(format!("[{address}]:{port}"));
    }
    let (name, number) = match text.split_once(':') {
        Some((_, rest)) if rest.contains(':') => {
            return Err(format!(
                "{} has more than one colon: an IPv6 address goes in brackets, [::1]:2181",
                shown(text)
            ));
        }
        Some((name, number)) => (name, port(number)?),
        None => (text, DEFAULT_PORT),
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if name.is_empty() || name.len() > 253 || !name.chars().all(allowed) {
        return Err(format!("{} is no host name", shown(name)));
    }
    Ok(format!("{name}:{number}"))
}

fn port(text: &str) -> Result<u16, String> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(port @ 1..) if digits => Ok(port),
        _ => Err(format!("{} is no port, which is a number from 1 to 65535", shown(text))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::{Index, select};

    use super::*;

    #[test]
    fn usable_connect_strings_are_completed() {
        let table = [
            ("localhost", "localhost:2181"),
            ("a:1", "a:1"),
            ("a:1,b:65535", "a:1,b:65535"),
            ("a, b:2 /x", "a:2181,b:2/x"),
            ("a/", "a:2181"),
            ("a/x/y", "a:2181/x/y"),
            ("[::1]", "[::1]:2181"),
            ("[fe80::1]:2182,10.0.0.1/x", "[fe80::1]:2182,10.0.0.1:2181/x"),
            ("zk_1.example-net:2181", "zk_1.example-net:2181"),
        ];
        for (given, expected) in table {
            assert_eq!(
                Servers::parse(given).map(|servers| servers.to_string()).unwrap(),
                expected,
                "{given}"
            );
        }
    }

    #[test]
    fn each_server_has_a_connect_string_of_its_own() {
        let servers = Servers::parse("a:1,[::1],c:3/x/y").unwrap();
        assert_eq!(servers.each(), ["a:1/x/y", "[::1]:2181/x/y", "c:3/x/y"]);
    }

    #[test]
    fn unusable_connect_strings_are_refused_with_what_was_wrong_and_what_is_accepted() {
        let table = [
            ("", "a server is missing"),
            (" ", "a server is missing"),
            (",", "a server is missing"),
            ("a,", "a server is missing"),
            ("a,,b", "a server is missing"),
            ("/x", "a server is missing"),
            (":2181", "no host name"),
            ("a:", "no port"),
            ("a:0", "no port"),
            ("a:+1", "no port"),
            ("a:65536", "no port"),
            ("a:x", "no port"),
            ("a b", "no host name"),
            ("a@b", "no host name"),
            ("a;b", "no host name"),
            ("::1", "brackets"),
            ("::1:2181", "brackets"),
            ("[::1", "closing bracket"),
            ("[host]:1", "no IPv6 address"),
            ("[::1]x", "behind its bracket"),
            ("[::1]:0", "no port"),
            ("tcp://a:1", "no port"),
            ("a//x", "chroot"),
            ("a/x/", "chroot"),
            ("a/x//y", "chroot"),
            ("a/../y", "chroot"),
            ("a/x,b", "behind the last server"),
            ("a:1/x,b:2/x", "behind the last server"),
            ("a:1/x:5,b:2", "behind the last server"),
        ];
        for (given, expected) in table {
            match Servers::parse(given) {
                Err(Error::Invalid(text)) => {
                    assert!(text.contains(expected), "{given:?}: {text}");
                    assert!(text.contains(ACCEPTED), "{given:?}: {text}");
                }
                other => panic!("{given:?}: {other:?}"),
            }
        }
    }

    fn piece() -> impl Strategy<Value = String> {
        let pieces = [
            "a",
            "zk1.example",
            "10.0.0.1",
            "[::1]",
            "[",
            "]",
            ":",
            "::",
            ":2181",
            ":0",
            ":65536",
            ",",
            ", ",
            "/",
            "//",
            "/x",
            "/x/y",
            "/.",
            "/..",
            " ",
            "\t",
            "tcp://",
            "tcp+tls://",
            "@",
            "\0",
            "\u{202e}",
            "\u{fffe}",
            "ä",
            "🦀",
        ];
        let long =
            prop_oneof![Just("x".repeat(300)), Just("/🦀".repeat(3_000)), Just("\u{7f}".repeat(5_000))];
        prop_oneof![9 => select(pieces.to_vec()).prop_map(str::to_owned), 1 => any::<String>(), 1 => long]
    }

    /// Anything, and what is usable but for a piece too many.
    fn text() -> impl Strategy<Value = String> {
        let hosts = vec(select(vec!["a", "zk1.example:1", "10.0.0.1:65535", "[::1]", "[fe80::1]:2"]), 1..4);
        let usable =
            (hosts, select(vec!["", "/", "/x", "/x/y"])).prop_map(|(hosts, chroot)| hosts.join(",") + chroot);
        let damaged = (usable, any::<Index>(), prop_oneof![1 => Just(String::new()), 4 => piece()]);
        let damaged = damaged.prop_map(|(mut text, at, piece)| {
            text.insert_str(at.index(text.len() + 1), &piece);
            text
        });
        prop_oneof![3 => damaged, 1 => vec(piece(), 0..9).prop_map(|pieces| pieces.concat())]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn any_text_is_a_connect_string_that_the_client_takes_the_same_way_or_is_refused_in_few_words(text in text()) {
            match Servers::parse(&text) {
                Ok(servers) => {
                    prop_assert_eq!(&Servers::parse(&servers.to_string()).unwrap(), &servers);
                    for (one, host) in servers.each().iter().zip(&servers.hosts) {
                        // The client takes commas and slashes apart in its own order.
                        prop_assert!(!one.contains(',') && !one.contains("://"), "{}", one);
                        let chroot = one.strip_prefix(host.as_str()).unwrap();
                        prop_assert!(chroot.is_empty() || path::check_node(chroot).is_ok(), "{}", one);
                    }
                }
                Err(Error::Invalid(said)) => {
                    prop_assert!(said.contains(ACCEPTED), "{}", said);
                    prop_assert!(said.chars().count() < 3_500 && !said.contains(char::is_control), "{}", said);
                }
                Err(other) => panic!("{other:?}"),
            }
        }
    }
}
