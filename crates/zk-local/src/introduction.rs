//! What a member of an ensemble says first when it connects for an election.

use std::net::SocketAddr;

/// Two numbers of eight bytes, the protocol's and the sender's, and four bytes of length.
const HEAD: usize = 20;
/// An address takes far less; what claims more is no introduction.
const LONGEST: usize = 4096;
/// The protocol's number is one of a few just below zero, as no sender's number is.
const PROTOCOLS: std::ops::Range<i64> = -65536..-65500;

/// Replaces the address that a member gives for its own.
///
/// A member that is called by one with a lower number hangs up and calls back, at the address that the caller gave.
/// Unreplaced, that call would go around the proxy between the two.
#[derive(Debug)]
pub(crate) struct Introduction {
    address: SocketAddr,
    /// What came so far of it; nothing when all of it has passed.
    begun: Option<Vec<u8>>,
}

impl Introduction {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, begun: Some(Vec::new()) }
    }

    /// Takes the next piece of the stream and returns what may pass of it.
    pub(crate) fn feed(&mut self, piece: &[u8]) -> Vec<u8> {
        let Some(mut begun) = self.begun.take() else { return piece.to_vec() };
        begun.extend_from_slice(piece);
        let Some((head, rest)) = begun.split_first_chunk::<HEAD>() else {
            self.begun = Some(begun);
            return Vec::new();
        };
        let [protocol, length] = [number(&head[..8]), number(&head[16..])];
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if !PROTOCOLS.contains(&protocol) || length > LONGEST {
            return begun;
        }
        let Some(rest) = rest.get(length..) else {
            self.begun = Some(begun);
            return Vec::new();
        };
        let address = self.address.to_string();
        let length = u32::try_from(address.len()).expect("an address is short");
        [&head[..16], &length.to_be_bytes(), address.as_bytes(), rest].concat()
    }
}

fn number(bytes: &[u8]) -> i64 {
    let negative = bytes.first().is_some_and(|first| first & 0x80 != 0);
    bytes.iter().fold(if negative { -1 } else { 0 }, |number, byte| (number << 8) | i64::from(*byte))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn introduction(address: &str, rest: &[u8]) -> Vec<u8> {
        let length = u32::try_from(address.len()).unwrap();
        let head = [(-65536_i64).to_be_bytes(), 3_i64.to_be_bytes()].concat();
        [&head, &length.to_be_bytes()[..], address.as_bytes(), rest].concat()
    }

    fn replaced() -> Introduction {
        Introduction::new("127.0.0.1:9".parse().unwrap())
    }

    #[test]
    fn the_address_is_replaced_and_all_else_passes() {
        let before = introduction("127.0.0.1:24483", b"and a vote");
        assert_eq!(replaced().feed(&before), introduction("127.0.0.1:9", b"and a vote"));
    }

    #[test]
    fn pieces_of_any_size_give_the_same() {
        let before = introduction("127.0.0.1:24483|10.0.0.1:4", &[255; 50]);
        for size in 1..before.len() {
            let mut introduction = replaced();
            let after: Vec<u8> = before.chunks(size).flat_map(|piece| introduction.feed(piece)).collect();
            assert_eq!(after, self::introduction("127.0.0.1:9", &[255; 50]), "pieces of {size}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn nothing_but_the_address_is_ever_changed(
            protocol in prop_oneof![4 => -65540..-65530_i64, 1 => any::<i64>()],
            sender in any::<i64>(),
            length in prop_oneof![6 => 0..40_u32, 1 => 4094..4100_u32, 1 => any::<u32>()],
            rest in vec(any::<u8>(), 0..60),
            cut in any::<prop::sample::Index>(),
            size in 1..70_usize,
        ) {
            let head = [protocol.to_be_bytes(), sender.to_be_bytes()].concat();
            let mut stream = [&head, &length.to_be_bytes()[..], &rest].concat();
            stream.truncate(cut.index(stream.len() * 2 + 1));
            let mut introduction = replaced();
            let passed: Vec<u8> = stream.chunks(size).flat_map(|piece| introduction.feed(piece)).collect();
            let held = introduction.begun.unwrap_or_default();
            prop_assert!(held.len() < HEAD + LONGEST);
            let length = usize::try_from(length).unwrap();
            let is_one = PROTOCOLS.contains(&protocol) && length <= LONGEST;
            prop_assert!(is_one || stream.len() < HEAD || held.is_empty(), "it waits for what never comes");
            let expected = match stream.get(HEAD..).and_then(|after| after.get(length..)) {
                Some(after) if is_one => {
                    [&head, &11_u32.to_be_bytes()[..], b"127.0.0.1:9", after].concat()
                }
                // Until it is known what it is, it waits.
                _ => stream.strip_suffix(&held[..]).unwrap().to_vec(),
            };
            prop_assert_eq!(passed, expected);
        }
    }

    #[test]
    fn what_is_no_introduction_passes_as_it_is() {
        let other: Vec<u8> = (0..100).collect();
        assert_eq!(replaced().feed(&other), other);
    }
}
