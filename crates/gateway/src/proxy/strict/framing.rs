//! Where the heads in a stream of requests are, and whether one of them has two lengths.

/// Where in a stream of requests we are.
#[derive(Debug, Default)]
pub(super) struct Framing {
    place: Place,
    head: Head,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// At the beginning of a line of a head, which goes as far as its first colon.
    #[default]
    Name,
    /// In the rest of the line.
    Value,
    /// So many bytes of a body are to come.
    Body(u64),
    /// So many bytes of a chunk are to come, with the end of its line.
    Chunk(u64),
    /// In the line before a chunk.
    Size { size: u64, is_over: bool },
    /// In a line behind the last chunk that is empty so far, or is not.
    Trailer { is_empty: bool },
    /// What comes is not HTTP/1, or was refused.
    Elsewhere,
}

/// What is known of a head so far.
#[derive(Debug, Default)]
struct Head {
    /// The first bytes of the line, in small letters.
    name: [u8; LONGEST],
    /// How many it has; more than there is room for is not a name that is looked for.
    length: usize,
    has_lines: bool,
    is_encoded: bool,
    size: Option<u64>,
    /// Whether the line has the length.
    in_size: bool,
}

const LONGEST: usize = b"transfer-encoding".len();

impl Framing {
    /// Looks at what came in, and makes unreadable what is to be refused.
    pub(super) fn look(&mut self, mut bytes: &mut [u8]) {
        while !bytes.is_empty() && self.place != Place::Elsewhere {
            let seen = self.step(bytes);
            bytes = &mut bytes[seen..];
        }
    }

    /// From here on it is another protocol.
    pub(super) fn leave(&mut self) {
        self.place = Place::Elsewhere;
    }

    /// Looks at some of these bytes, which are not none. Says at how many.
    fn step(&mut self, bytes: &mut [u8]) -> usize {
        match self.place {
            Place::Name => self.name(bytes),
            Place::Value => {
                let end = bytes.iter().position(|byte| *byte == b'\n');
                if self.head.in_size {
                    self.head.add_digits(&bytes[..end.unwrap_or(bytes.len())]);
                }
                if end.is_some() {
                    self.head.length = 0;
                    self.place = Place::Name;
                }
                end.map_or(bytes.len(), |end| end + 1)
            }
            Place::Body(left) => {
                let seen = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let left = left - seen as u64;
                self.place = if left == 0 { Place::Name } else { Place::Body(left) };
                seen
            }
            Place::Size { size, is_over } => {
                let digit = char::from(bytes[0]).to_digit(16).filter(|_| !is_over);
                self.place = match (bytes[0], digit) {
                    (_, Some(digit)) => {
                        Place::Size { size: size.saturating_mul(16).saturating_add(digit.into()), is_over }
                    }
                    (b'\n', _) if size == 0 => Place::Trailer { is_empty: true },
                    (b'\n', _) => Place::Chunk(size.saturating_add(2)),
                    _ => Place::Size { size, is_over: true },
                };
                1
            }
            Place::Trailer { is_empty } => {
                self.place = match bytes[0] {
                    b'\n' if is_empty => Place::Name,
                    b'\n' => Place::Trailer { is_empty: true },
                    b'\r' => self.place,
                    _ => Place::Trailer { is_empty: false },
                };
                1
            }
            Place::Chunk(left) => {
                let seen = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let left = left - seen as u64;
                self.place =
                    if left == 0 { Place::Size { size: 0, is_over: false } } else { Place::Chunk(left) };
                seen
            }
            Place::Elsewhere => bytes.len(),
        }
    }

    fn name(&mut self, bytes: &mut [u8]) -> usize {
        for (at, byte) in bytes.iter_mut().enumerate() {
            match *byte {
                b'\r' => {}
                b'\n' => {
                    self.line_ends();
                    return at + 1;
                }
                b':' => {
                    self.head.has_lines = true;
                    self.place = Place::Value;
                    if self.head.named() {
                        *byte = 0;
                        self.place = Place::Elsewhere;
                    }
                    return at + 1;
                }
                other => self.head.push(other),
            }
        }
        bytes.len()
    }

    /// A line without a colon ends.
    fn line_ends(&mut self) {
        let head = &mut self.head;
        if head.length > 0 {
            let is_preface = !head.has_lines && head.is(b"pri * http/2.0");
            head.has_lines = true;
            head.length = 0;
            if is_preface {
                self.place = Place::Elsewhere;
            }
        } else if head.has_lines {
            let head = std::mem::take(head);
            self.place = match head.size {
                _ if head.is_encoded => Place::Size { size: 0, is_over: false },
                Some(size) if size > 0 => Place::Body(size),
                _ => Place::Name,
            };
        }
    }
}

impl Head {
    fn push(&mut self, byte: u8) {
        if let Some(place) = self.name.get_mut(self.length) {
            *place = byte.to_ascii_lowercase();
        }
        self.length = self.length.saturating_add(1);
    }

    fn is(&self, name: &[u8]) -> bool {
        self.name.get(..self.length) == Some(name)
    }

    /// The name of a line is whole. Whether with it there are two lengths.
    fn named(&mut self) -> bool {
        self.in_size = self.is(b"content-length");
        let had_size = self.in_size && self.size.is_some();
        if self.in_size {
            self.size = Some(0);
        }
        self.is_encoded |= self.is(b"transfer-encoding");
        had_size || (self.is_encoded && self.size.is_some())
    }

    fn add_digits(&mut self, bytes: &[u8]) {
        let digits = bytes.iter().filter(|byte| byte.is_ascii_digit()).map(|digit| u64::from(digit - b'0'));
        let size = self.size.unwrap_or_default();
        self.size = Some(digits.fold(size, |size, digit| size.saturating_mul(10).saturating_add(digit)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many bytes of it are made unreadable, when it comes in these two parts.
    fn unreadable(request: &[u8], cut: usize) -> usize {
        let mut request = request.to_vec();
        let zeros = request.iter().filter(|byte| **byte == 0).count();
        let mut framing = Framing::default();
        let (first, second) = request.split_at_mut(cut);
        framing.look(first);
        framing.look(second);
        request.iter().filter(|byte| **byte == 0).count() - zeros
    }

    const BOTH: &str = "POST / HTTP/1.1\r\nContent-Length: 3\r\nTRANSFER-ENCODING: chunked\r\n\r\n";
    const LENGTH: &str = "POST / HTTP/1.1\r\nhost: a:80\r\ncontent-length:  12 \r\n\r\n";
    const CHUNKED: &str = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n";

    #[test]
    fn two_lengths_are_found_wherever_they_are_and_however_they_are_cut() {
        let found = [
            BOTH.to_owned(),
            "POST / HTTP/1.1\ntransfer-encoding: chunked\ncontent-length: 3\n\n".to_owned(),
            "POST http://x:1/ HTTP/1.1\r\nx: y\r\nTransfer-Encoding:\r\na: b\r\ncontent-length:\r\n"
                .to_owned(),
            format!("\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n{BOTH}"),
            format!("{LENGTH}twelve bytes{BOTH}"),
            format!("{CHUNKED}A;ext=1:2\r\n0123456789\r\n3\r\n\r\n\n\r\n0\r\na: b\r\nc:d\r\n\r\n{BOTH}"),
            format!("{CHUNKED}0\r\n\r\n{LENGTH}twelve bytes{BOTH}"),
            format!("PRI / HTTP/1.1\r\n\r\n{BOTH}"),
            format!("PRI *\r\n\r\n{BOTH}"),
            "POST / HTTP/1.1\r\ncontent-length: 3\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc".to_owned(),
        ];
        for request in found {
            for cut in 0..=request.len() {
                assert_eq!(unreadable(request.as_bytes(), cut), 1, "{request} cut at {cut}");
            }
        }
    }

    #[test]
    fn nothing_else_is_touched() {
        let left = [
            format!("{LENGTH}twelve bytes{CHUNKED}3\r\nabc\r\n0\r\n\r\n{LENGTH}"),
            format!("POST / HTTP/1.1\r\ncontent-length: {}\r\n\r\n{BOTH}", BOTH.len()),
            format!("{CHUNKED}{:x}\r\n{BOTH}\r\n0\r\n\r\n", BOTH.len()),
            format!("{CHUNKED}0\r\ncontent-length: 3\r\n\r\n{CHUNKED}"),
            "GET /?content-length:1 HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n".to_owned(),
            "GET / HTTP/1.1\r\nx-content-length: 1\r\ntransfer-encodings: 1\r\ncontent-length: 0\r\n\r\n"
                .to_owned(),
            "GET / HTTP/1.1\r\nx: content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n".to_owned(),
            format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{BOTH}"),
        ];
        for request in left {
            for cut in 0..=request.len() {
                assert_eq!(unreadable(request.as_bytes(), cut), 0, "{request} cut at {cut}");
            }
        }
    }
}
