//! Whatever strangers send, however it is cut.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod oracle;

use cluster::{Address, Answer, MAX_BYTES, MAX_ID, Node, Request};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

fn address() -> impl Strategy<Value = Address> {
    let host = prop_oneof![
        any::<std::net::IpAddr>().prop_map(|ip| ip.to_string()),
        "[a-zA-Z_][a-z0-9_]{0,60}(\\.[a-z][a-z0-9_]{0,40}){0,3}\\.?",
    ];
    (host, 1..=u16::MAX).prop_map(|(host, port)| Address::new(&host, port).unwrap())
}

fn node() -> impl Strategy<Value = Node> {
    (0..=MAX_ID, address()).prop_map(|(id, address)| Node::new(id, address).unwrap())
}

/// Good lines with some damage, and any bytes.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let pieces: Vec<&[u8]> = vec![
        b"{",
        b"}",
        b"[",
        b"]",
        b"\"",
        b"\\",
        b"\\\"",
        b"\\ud800",
        b",",
        b":",
        b"null",
        b"-1",
        b"1e999",
        b"\"Port\":",
        b"/8",
        b"100000000",
        b"\n",
        b"\0",
        b"\xff",
    ];
    let piece = prop_oneof![select(pieces).prop_map(<[u8]>::to_vec), vec(any::<u8>(), 0..9)];
    let damage = (any::<Index>(), 0..6usize, piece);
    let good = (node(), node(), any::<String>(), any::<bool>()).prop_map(|(from, to, message, request)| {
        let to_address = to.address().clone();
        match request {
            true => Request { from, to: to_address, message }.line(),
            false => Answer { from, to, message }.line(),
        }
    });
    let damaged = (good, vec(damage, 0..4)).prop_map(|(line, damages)| {
        let mut line = line.into_bytes();
        for (at, removed, piece) in damages {
            let at = at.index(line.len() + 1);
            let end = (at + removed).min(line.len());
            drop(line.splice(at..end, piece));
        }
        line
    });
    prop_oneof![1 => vec(any::<u8>(), 0..200), 4 => damaged]
}

proptest! {
    #[test]
    fn any_bytes_give_the_same_however_they_are_cut(bytes in bytes(), sizes in vec(1..40usize, 1..5)) {
        oracle::stream(&bytes, &sizes);
    }

    #[test]
    fn any_bytes_are_a_message_or_refused(bytes in bytes()) {
        oracle::message(&bytes);
    }

    #[test]
    fn a_message_comes_back_as_it_was_written(from in node(), to in node(), message in any::<String>()) {
        let request = Request { from: from.clone(), to: to.address().clone(), message: message.clone() };
        prop_assert_eq!(Request::parse(request.line().as_bytes()).unwrap(), request);
        let answer = Answer { from, to, message };
        prop_assert_eq!(Answer::parse(answer.line().as_bytes()).unwrap(), answer);
    }

    #[test]
    fn an_address_comes_back_from_its_text(address in address()) {
        prop_assert_eq!(address.to_string().parse::<Address>().unwrap(), address);
    }
}

#[test]
fn the_limit_falls_at_the_same_byte_however_it_is_cut() {
    for size in MAX_BYTES - 1..=MAX_BYTES + 1 {
        let object = format!("{{\"{}\":1}}", "x".repeat(size - 6));
        assert_eq!(object.len(), size);
        oracle::stream(object.as_bytes(), &[4_096, 1, 999]);
        oracle::stream(&object.as_bytes()[..size - 1], &[4_096, 1, 999]);
    }
}
