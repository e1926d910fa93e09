//! What must hold for anything that comes over the wire. It fails by a panic; the fuzz target asks the same.

#![allow(dead_code, clippy::unwrap_used, reason = "each test file and each fuzz target uses a part of it")]

use cluster::{Answer, MAX_BYTES, Object, ObjectError, Request};

/// What is known when the last of the bytes is taken: where the object ended and what it is, or why there is none.
pub(crate) type Read = Result<Option<Vec<u8>>, ObjectError>;

/// Takes the bytes in pieces of these sizes, again and again, until it is decided what they are.
pub(crate) fn read(bytes: &[u8], sizes: &[usize]) -> Read {
    let mut object = Object::default();
    let mut rest = bytes;
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            return Ok(None);
        }
        let (piece, after) = rest.split_at((*size).clamp(1, rest.len()));
        if let Some(taken) = object.take(piece)? {
            assert!(taken <= piece.len());
            let whole = object.into_bytes();
            assert_eq!(whole, bytes[..bytes.len() - rest.len() + taken]);
            return Ok(Some(whole));
        }
        rest = after;
    }
    Ok(None)
}

/// Any bytes, cut anywhere: the same comes out, bounded, and it is a message or refused in few words.
pub(crate) fn stream(bytes: &[u8], sizes: &[usize]) {
    let whole = read(bytes, &[usize::MAX]);
    for cut in [sizes, &[1][..]] {
        assert_eq!(read(bytes, cut), whole);
    }
    match whole {
        Ok(Some(object)) => {
            assert!(object.len() <= MAX_BYTES && object.trim_ascii_start().starts_with(b"{"));
            message(&object);
            // The parser agrees where it ends: it could not be shorter, and what is one object to it is one to us.
            assert!(serde_json::from_slice::<serde_json::Value>(&object[..object.len() - 1]).is_err());
        }
        Ok(None) => assert!(bytes.len() <= MAX_BYTES && !is_object(bytes)),
        Err(ObjectError::TooLarge) => assert!(bytes.len() > MAX_BYTES),
        Err(error) => {
            assert!(!is_object(bytes));
            brief(&error.to_string());
        }
    }
}

fn is_object(bytes: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(bytes).is_ok_and(|value| value.is_object())
}

/// Bytes as either message.
pub(crate) fn message(bytes: &[u8]) {
    match Request::parse(bytes) {
        Ok(request) => {
            let line = request.line();
            one_line(&line);
            assert_eq!(Request::parse(line.as_bytes()).as_ref(), Ok(&request));
        }
        Err(error) => brief(&error.to_string()),
    }
    match Answer::parse(bytes) {
        Ok(answer) => {
            let line = answer.line();
            one_line(&line);
            assert_eq!(Answer::parse(line.as_bytes()).as_ref(), Ok(&answer));
            // Who could answer could ask as well.
            assert!(Request::parse(bytes).is_ok());
        }
        Err(error) => brief(&error.to_string()),
    }
}

/// What we write is one object, which ends right before the end of its line.
fn one_line(line: &str) {
    assert_eq!(line.find('\n'), Some(line.len() - 1));
    if line.len() <= MAX_BYTES {
        assert_eq!(Object::default().take(line.as_bytes()), Ok(Some(line.len() - 1)));
    }
}

fn brief(why: &str) {
    assert!((20..600).contains(&why.len()) && !why.contains(char::is_control), "{why}");
}
