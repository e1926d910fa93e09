//! The path of a request as everybody behind the gateway will see it, or why there is none.

use std::borrow::Cow;

/// A path that means one thing to everybody.
///
/// What needs no escape has none, other escapes are in capitals, and what could lead elsewhere was refused. Rules match
/// [`decoded`](Self::decoded), the very bytes that the service will see, and [`encoded`](Self::encoded) is sent to it: no two
/// ways to write a path can take two ways through the rules. Decoded twice is not decoded: `%252e` is sent as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path<'a> {
    encoded: Cow<'a, str>,
    decoded: Cow<'a, [u8]>,
}

/// Why a path is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// As `*`, or as an authority.
    #[error("the target is no path that begins with '/'")]
    NoPath,
    /// `.` or `..`, with or without escapes, or with parameters behind: `/..;x/` is one to some servers.
    #[error("the path has a segment \".\" or \"..\"")]
    Dots,
    /// `//`, which some servers take as `/`, also with parameters between: `/;x/`.
    #[error("the path has an empty segment")]
    EmptySegment,
    /// `%2f` or `%5c`, which some servers take as the end of a segment.
    #[error("the path has an escaped slash or backslash")]
    EscapedSlash,
    /// `%00`, `%0a`, `%7f` and the like.
    #[error("the path has an escaped control character")]
    Control,
    /// A `%` without two hexadecimal digits.
    #[error("the path has an incomplete escape")]
    Escape,
    /// What has to be escaped: a backslash, a quote, what is not ASCII.
    #[error("the path has a character that needs an escape")]
    Character,
}

impl<'a> Path<'a> {
    /// Reads the path of a request, without its query.
    ///
    /// # Errors
    ///
    /// When it could mean another one to somebody else.
    pub fn read(raw: &'a str) -> Result<Self, Refused> {
        if !raw.starts_with('/') {
            return Err(Refused::NoPath);
        }
        let path = if raw.bytes().all(is_plain) {
            Self { encoded: raw.into(), decoded: raw.as_bytes().into() }
        } else {
            unescaped(raw)?
        };
        check_segments(&path.decoded)?;
        Ok(path)
    }

    /// As it is sent.
    pub fn encoded(&self) -> &str {
        &self.encoded
    }

    /// As it is understood.
    pub fn decoded(&self) -> &[u8] {
        &self.decoded
    }

    /// Without its first segments. They are counted, for both ways to write it have the same number.
    pub fn without(&self, segments: usize) -> &str {
        let mut slashes = self.encoded.match_indices('/').map(|(at, _)| at);
        slashes.nth(segments).map_or("/", |at| &self.encoded[at..])
    }
}

/// What stands for itself in a path, whoever reads it.
fn is_plain(byte: u8) -> bool {
    is_unreserved(byte) || b"/!$&'()*+,;=:@".contains(&byte)
}

/// What means the same with and without an escape (RFC 3986, 2.3).
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

fn unescaped(raw: &str) -> Result<Path<'static>, Refused> {
    let (mut encoded, mut decoded) = (String::with_capacity(raw.len()), Vec::with_capacity(raw.len()));
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        if is_plain(byte) {
            encoded.push(char::from(byte));
            decoded.push(byte);
            continue;
        }
        if byte != b'%' {
            return Err(Refused::Character);
        }
        let mut digit = || bytes.next().and_then(|digit| char::from(digit).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else { return Err(Refused::Escape) };
        let meant = (high * 16 + low) as u8;
        match meant {
            b'/' | b'\\' => return Err(Refused::EscapedSlash),
            _ if meant.is_ascii_control() => return Err(Refused::Control),
            _ if is_unreserved(meant) => encoded.push(char::from(meant)),
            _ => encoded.push_str(&format!("%{meant:02X}")),
        }
        decoded.push(meant);
    }
    Ok(Path { encoded: encoded.into(), decoded: decoded.into() })
}

fn check_segments(decoded: &[u8]) -> Result<(), Refused> {
    let mut segments = decoded.split(|byte| *byte == b'/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
        match name {
            b"." | b".." => return Err(Refused::Dots),
            // The last one is empty where the path ends with '/'.
            _ if name.is_empty() && segments.peek().is_some() => return Err(Refused::EmptySegment),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_could_lead_elsewhere_is_refused() {
        let cases = [
            ("", Refused::NoPath),
            ("*", Refused::NoPath),
            ("a/b", Refused::NoPath),
            ("/..", Refused::Dots),
            ("/a/../b", Refused::Dots),
            ("/a/./b", Refused::Dots),
            ("/a/..", Refused::Dots),
            ("/%2e%2e/b", Refused::Dots),
            ("/.%2E/b", Refused::Dots),
            ("/%2e/b", Refused::Dots),
            ("/a/..;x=1/b", Refused::Dots),
            ("/a/%2e.%3Bx/b", Refused::Dots),
            ("//a", Refused::EmptySegment),
            ("/a//b", Refused::EmptySegment),
            ("/a//", Refused::EmptySegment),
            ("//", Refused::EmptySegment),
            ("/;x/a", Refused::EmptySegment),
            ("/a/%3bx/", Refused::EmptySegment),
            ("/a%2fb", Refused::EscapedSlash),
            ("/a%2Fb", Refused::EscapedSlash),
            ("/a%5c..%5cb", Refused::EscapedSlash),
            ("/a%00", Refused::Control),
            ("/a%0d%0aX:1", Refused::Control),
            ("/a%7F", Refused::Control),
            ("/a%", Refused::Escape),
            ("/a%2", Refused::Escape),
            ("/a%zz", Refused::Escape),
            ("/a%%30", Refused::Escape),
            ("/a\\b", Refused::Character),
            ("/a\0b", Refused::Character),
            ("/a b", Refused::Character),
            ("/ü", Refused::Character),
            ("/a\"b", Refused::Character),
            ("/a?b", Refused::Character),
        ];
        for (raw, refused) in cases {
            assert_eq!(Path::read(raw), Err(refused), "{raw}");
        }
    }

    #[test]
    fn what_is_sent_and_matched_does_not_depend_on_how_it_was_written() {
        let cases: [(&str, &str, &[u8]); 11] = [
            ("/", "/", b"/"),
            ("/a/b/", "/a/b/", b"/a/b/"),
            ("/%61dmin", "/admin", b"/admin"),
            ("/%7euser/%41", "/~user/A", b"/~user/A"),
            ("/a%20b", "/a%20b", b"/a b"),
            ("/%c3%bc", "/%C3%BC", "/ü".as_bytes()),
            ("/a%3bb", "/a%3Bb", b"/a;b"),
            ("/a/;x", "/a/;x", b"/a/;x"),
            ("/%252e%252e/a", "/%252e%252e/a", b"/%2e%2e/a"),
            ("/...", "/...", b"/..."),
            ("/.a/..b/c..", "/.a/..b/c..", b"/.a/..b/c.."),
        ];
        for (raw, encoded, decoded) in cases {
            let path = Path::read(raw).unwrap();
            assert_eq!((path.encoded(), path.decoded()), (encoded, decoded), "{raw}");
        }
    }

    #[test]
    fn first_segments_are_taken_off_as_they_were_written() {
        for (raw, segments, rest) in [
            ("/a/b", 1, "/b"),
            ("/a", 1, "/"),
            ("/a/", 1, "/"),
            ("/a;x/b;y", 1, "/b;y"),
            ("/a;x", 1, "/"),
            ("/%c3%bc/x%20y/z", 1, "/x%20y/z"),
            ("/%c3%bc/x%20y/z", 2, "/z"),
            ("/a/b", 0, "/a/b"),
        ] {
            assert_eq!(Path::read(raw).unwrap().without(segments), rest, "{raw}");
        }
    }

    proptest! {
        #[test]
        fn what_was_read_reads_as_itself(raw in "/([a-c/.;%25ef\\\\]|%2[0-9a-f]|%[0-9a-f]{2}){0,12}") {
            if let Ok(path) = Path::read(&raw) {
                let again = Path::read(path.encoded()).unwrap();
                prop_assert_eq!(again.encoded(), path.encoded());
                prop_assert_eq!(again.decoded(), path.decoded());
                let mut segments = path.decoded().split(|byte| *byte == b'/');
                prop_assert!(!segments.any(|segment| segment == b".." || segment == b"."));
            }
        }
    }
}
