//! What a field `Forwarded` says (RFC 7239, section 4): elements with commas between them, of pairs with semicolons between them.

use std::borrow::Cow;

use hyper::header::{FORWARDED, HeaderMap};

/// What one proxy says of a request that it got, as far as it does.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Element<'f> {
    /// Who asked it.
    pub(super) whose: Option<Cow<'f, [u8]>>,
    /// For what host.
    pub(super) host: Option<Cow<'f, [u8]>>,
    /// How: `https`, for instance.
    pub(super) proto: Option<Cow<'f, [u8]>>,
}

/// What is said in all lines of the field, the last proxy last; `None` where it cannot be told where one ends and the next begins. A quote
/// that a client leaves open would otherwise hide what a proxy puts behind it.
pub(super) fn elements(headers: &HeaderMap) -> Option<Vec<Element<'_>>> {
    let mut all = Vec::new();
    for line in headers.get_all(FORWARDED) {
        for element in split(line.as_bytes(), b',')?.into_iter().filter(|element| !element.is_empty()) {
            all.push(Element::read(element)?);
        }
    }
    Some(all)
}

impl<'f> Element<'f> {
    fn read(text: &'f [u8]) -> Option<Self> {
        let (mut element, mut seen) = (Self::default(), [false; 3]);
        for pair in split(text, b';')? {
            let equals = pair.iter().position(|byte| *byte == b'=');
            let (name, value) = equals.map_or((pair, &b""[..]), |at| (&pair[..at], &pair[at + 1..]));
            let value = value_of(value.trim_ascii()).filter(|_| !name.contains(&b'"'))?;
            let is_it = |it: &str| name.trim_ascii().eq_ignore_ascii_case(it.as_bytes());
            let (place, seen) = if is_it("for") {
                (&mut element.whose, &mut seen[0])
            } else if is_it("host") {
                (&mut element.host, &mut seen[1])
            } else if is_it("proto") {
                (&mut element.proto, &mut seen[2])
            } else {
                continue;
            };
            // Said twice, nobody knows which one counts.
            *place = if std::mem::replace(seen, true) { None } else { Some(value) };
        }
        Some(element)
    }
}

/// The parts between separators that stand in no quotes; `None` when a quote does not end.
fn split(text: &[u8], separator: u8) -> Option<Vec<&[u8]>> {
    let (mut parts, mut begin, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if *byte == separator && !quoted => {
                parts.push(text[begin..at].trim_ascii());
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[begin..].trim_ascii());
    (!quoted).then_some(parts)
}

/// What a value means, with or without quotes; `None` when there are some around a part of it.
fn value_of(text: &[u8]) -> Option<Cow<'_, [u8]>> {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        return (!text.contains(&b'"')).then_some(Cow::Borrowed(text));
    };
    let quoted = quoted.strip_suffix(b"\"")?;
    if !quoted.iter().any(|byte| matches!(byte, b'"' | b'\\')) {
        return Some(Cow::Borrowed(quoted));
    }
    let (mut value, mut bytes) = (Vec::with_capacity(quoted.len()), quoted.iter());
    while let Some(byte) = bytes.next() {
        value.push(match byte {
            b'\\' => *bytes.next()?,
            b'"' => return None,
            byte => *byte,
        });
    }
    Some(Cow::Owned(value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::headers::tests::headers;
    use super::*;

    fn element<'f>(whose: &'f str, host: &'f str, proto: &'f str) -> Element<'f> {
        let said = |text: &'f str| (!text.is_empty()).then_some(Cow::Borrowed(text.as_bytes()));
        Element { whose: said(whose), host: said(host), proto: said(proto) }
    }

    #[test]
    fn what_stands_in_quotes_separates_nothing() {
        for (lines, said) in [
            (&["for=a"][..], vec![element("a", "", "")]),
            (&["For=a;host=h;PROTO=https;by=b"], vec![element("a", "h", "https")]),
            (&["for=\"[::1]:80\" ; host=\"h:1\""], vec![element("[::1]:80", "h:1", "")]),
            (&["for=\"a, for=b\", for=c"], vec![element("a, for=b", "", ""), element("c", "", "")]),
            (&["for=\"a;for=b\";host=h"], vec![element("a;for=b", "h", "")]),
            (&["by=\"x;for=b, for=c\";for=a"], vec![element("a", "", "")]),
            (&[r#"for="a\", for=b";host=h"#], vec![element("a\", for=b", "h", "")]),
            (&[r#"for="\a\\";host=h"#], vec![element("a\\", "h", "")]),
            (&["for=a, ,", "for=b"], vec![element("a", "", ""), element("b", "", "")]),
            (&["host=h", "secret"], vec![element("", "h", ""), element("", "", "")]),
            (&["for=a;for=b;host=h"], vec![element("", "h", "")]),
            (&["for=a;for=b;for=c"], vec![element("", "", "")]),
            (&[""], vec![]),
            (&[], vec![]),
        ] {
            let lines: Vec<_> = lines.iter().map(|line| ("forwarded", *line)).collect();
            assert_eq!(elements(&headers(&lines)), Some(said), "{lines:?}");
        }
    }

    #[test]
    fn quotes_that_do_not_end_or_do_not_stand_around_a_value_leave_nothing_understood() {
        for lines in [
            &["for=\"a, for=b"][..],
            &["for=b", "for=\"a"],
            // What one line leaves open, the next one does not close.
            &["for=\"a", "for=\"b"],
            &[r#"for="a\", for=b"#],
            &["for=\"a, for=\"[2001:db8::1]:80\""],
            &["for=a\"b, c\""],
            &["for=\"a\"b"],
            &["for=\"a\"\"b\""],
            &["x=\"a\"b;for=c"],
            &["\", for=b"],
            &["\"a\"for=b"],
        ] {
            let lines: Vec<_> = lines.iter().map(|line| ("forwarded", *line)).collect();
            assert_eq!(elements(&headers(&lines)), None, "{lines:?}");
        }
    }

    proptest! {
        #[test]
        fn what_a_proxy_puts_behind_is_the_last_that_is_said_or_nothing_is_understood(said in "[ -~]{0,40}") {
            let line = format!("{said}, for=192.0.2.7;proto=http");
            if let Some(all) = elements(&headers(&[("forwarded", &line)])) {
                prop_assert_eq!(all.last(), Some(&element("192.0.2.7", "", "http")));
            }
        }
    }
}
