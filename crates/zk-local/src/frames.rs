//! Where ZooKeeper's messages begin in a stream of bytes.

/// A message: four bytes of length, then that many bytes, of which the first four are mostly a request's number.
const LENGTH: usize = 4;
const NUMBER: usize = 4;

/// No message is that long; a server refuses far shorter ones. What claims to be is another protocol: a four-letter
/// word, TLS, or an answer in plain text.
const LONGEST: usize = 64 << 20;

/// The messages of one direction of one connection. The first is the greeting, which has no number.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    head: Vec<u8>,
    /// Bytes that remain of the message whose head is known.
    rest: usize,
    greeted: bool,
    foreign: bool,
}

/// The beginning of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Begin {
    /// Where it begins in the piece of bytes; 0 when that was in an earlier one.
    pub(crate) at: usize,
    /// The number of the request, or of the one that is answered. Negative ones are pings, notifications and the like.
    pub(crate) number: i32,
}

impl Frames {
    /// Takes the next piece of the stream and returns the messages whose number became known with it.
    pub(crate) fn feed(&mut self, piece: &[u8]) -> Vec<Begin> {
        let mut begins = Vec::new();
        let (mut at, mut begin) = (0, 0);
        while at < piece.len() && !self.foreign {
            if self.rest > 0 {
                let step = self.rest.min(piece.len() - at);
                (at, self.rest) = (at + step, self.rest - step);
                continue;
            }
            if self.head.is_empty() {
                begin = at;
            }
            self.head.push(piece[at]);
            at += 1;
            let Some((length, number)) = self.head.split_first_chunk::<LENGTH>() else { continue };
            let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
            self.foreign = length > LONGEST;
            if self.greeted && length >= NUMBER {
                let Some(number) = number.first_chunk::<NUMBER>() else { continue };
                begins.push(Begin { at: begin, number: i32::from_be_bytes(*number) });
                self.rest = length - NUMBER;
            } else {
                self.rest = length;
            }
            self.greeted = true;
            self.head.clear();
        }
        begins
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Messages, with and without a number, and pieces of other protocols.
    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let bytes = |most| vec(any::<u8>(), 0..most);
        let piece = prop_oneof![
            6 => bytes(40).prop_map(|body| message(&body)),
            1 => bytes(40),
            1 => any::<u32>().prop_map(|length| length.to_be_bytes().to_vec()),
            1 => (LONGEST - 1..LONGEST + 2).prop_map(|length| u32::try_from(length).unwrap().to_be_bytes().to_vec()),
        ];
        vec(piece, 0..8).prop_map(|pieces| pieces.concat())
    }

    /// Where messages with a number begin in a whole stream, said once more and in another way.
    fn expected(stream: &[u8]) -> Vec<Begin> {
        let (mut begins, mut at) = (Vec::new(), 0);
        while let Some(length) = stream[at.min(stream.len())..].first_chunk() {
            let length = usize::try_from(u32::from_be_bytes(*length)).unwrap();
            if length > LONGEST {
                break;
            }
            if at > 0 && length >= NUMBER {
                let Some(number) = stream[at + LENGTH..].first_chunk() else { break };
                begins.push(Begin { at, number: i32::from_be_bytes(*number) });
            }
            at += LENGTH + length;
        }
        begins
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn any_stream_is_read_the_same_in_pieces_of_any_size(stream in stream(), sizes in vec(1..30usize, 1..10)) {
            prop_assert_eq!(Frames::default().feed(&stream), expected(&stream));
            let mut frames = Frames::default();
            let (mut numbers, mut rest) = (Vec::new(), &stream[..]);
            for size in sizes.iter().cycle() {
                let (piece, more) = rest.split_at((*size).min(rest.len()));
                let begins = frames.feed(piece);
                prop_assert!(begins.iter().all(|begin| begin.at < piece.len()));
                prop_assert!(frames.head.len() < LENGTH + NUMBER);
                numbers.extend(begins.iter().map(|begin| begin.number));
                rest = more;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(numbers, expected(&stream).iter().map(|begin| begin.number).collect::<Vec<_>>());
        }
    }

    fn message(body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len()).unwrap();
        [&length.to_be_bytes()[..], body].concat()
    }

    fn numbered(number: i32, rest: &[u8]) -> Vec<u8> {
        message(&[&number.to_be_bytes()[..], rest].concat())
    }

    #[test]
    fn the_greeting_has_no_number_and_each_later_message_has() {
        let stream =
            [message(&[0; 37]), numbered(1, b"abc"), numbered(-2, b""), numbered(7, &[9; 100])].concat();
        let wanted = [(41, 1), (52, -2), (60, 7)].map(|(at, number)| Begin { at, number });
        assert_eq!(Frames::default().feed(&stream), wanted);
    }

    #[test]
    fn the_same_messages_are_found_however_the_stream_is_cut_into_pieces() {
        let stream = [message(&[0; 37]), numbered(1, b"abc"), message(b"x"), numbered(2, &[1; 20])].concat();
        for size in 1..stream.len() {
            let mut frames = Frames::default();
            let numbers = stream.chunks(size).flat_map(|piece| frames.feed(piece)).map(|begin| begin.number);
            assert_eq!(numbers.collect::<Vec<_>>(), [1, 2], "pieces of {size}");
        }
    }

    #[test]
    fn a_message_whose_head_came_in_an_earlier_piece_begins_at_the_start_of_this_one() {
        let mut frames = Frames::default();
        assert_eq!(frames.feed(&message(b"greeting")), []);
        let message = numbered(5, b"body");
        assert_eq!(frames.feed(&message[..6]), []);
        assert_eq!(frames.feed(&message[6..]), [Begin { at: 0, number: 5 }]);
    }

    #[test]
    fn another_protocol_is_let_through_unread() {
        let mut frames = Frames::default();
        assert_eq!(frames.feed(b"mntr"), []);
        assert_eq!(frames.feed(&[0; 100]), []);
    }
}
