//! Names of services and instances, checked before they become a part of a path.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::text::quoted;

/// The most bytes that a name may have.
pub const MAX_NAME: usize = 255;

/// What every name may be, for error messages.
const ACCEPTED: &str = "UTF-8 without '/', U+0000-001F, U+007F-009F, U+D800-F8FF, U+FFF0-FFFF and all above U+FFFF, \
                        other than \".\", \"..\" and \"zookeeper\"";

/// Why a text is not a name. Says what was wrong and what is accepted, and repeats no more than a little of the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{shown} cannot be a name: {problem}; accepted: {}{ACCEPTED}", length(*.bounded))]
pub struct NameError {
    shown: String,
    problem: Problem,
    /// Whether [`MAX_NAME`] applied: it does not to the segments of a path.
    bounded: bool,
}

fn length(bounded: bool) -> &'static str {
    if bounded { "1-255 bytes of " } else { "" }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Problem {
    #[error("it is empty")]
    Empty,
    #[error("it has {0} bytes")]
    TooLong(usize),
    #[error("it contains U+{:04X} at byte {at} of {bytes}", u32::from(*.character))]
    Character { character: char, at: usize, bytes: usize },
    #[error("it is reserved by ZooKeeper")]
    Reserved,
}

/// Checks a name by all rules.
fn check(name: &str) -> Result<(), NameError> {
    let problem = if name.len() > MAX_NAME { Some(Problem::TooLong(name.len())) } else { problem(name) };
    problem.map_or(Ok(()), |problem| Err(NameError { shown: quoted(name), problem, bounded: true }))
}

/// Checks one segment of a path: by the rules for names, but for the length.
pub(crate) fn check_segment(name: &str) -> Result<(), NameError> {
    problem(name).map_or(Ok(()), |problem| Err(NameError { shown: quoted(name), problem, bounded: false }))
}

fn problem(name: &str) -> Option<Problem> {
    if name.is_empty() {
        return Some(Problem::Empty);
    }
    if matches!(name, "." | ".." | "zookeeper") {
        return Some(Problem::Reserved);
    }
    let (at, character) = name.char_indices().find(|(_, character)| refused(*character))?;
    Some(Problem::Character { character, at, bytes: name.len() })
}

/// Whether servers refuse a path with this character in a segment.
fn refused(character: char) -> bool {
    // Servers check UTF-16 units, so what is above U+FFFF falls under the refusal of U+D800-DFFF.
    matches!(
        character,
        '/' | '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..='\u{10ffff}'
    )
}

macro_rules! name {
    ($(#[$doc:meta])* $Name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $Name(Arc<str>);

        impl $Name {
            /// Checks a text by the rules for names.
            ///
            /// # Errors
            ///
            /// When it is not 1-255 bytes, holds a character that servers refuse, or is reserved.
            pub fn parse(name: &str) -> Result<Self, NameError> {
                check(name).map(|()| Self(name.into()))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $Name {
            type Err = NameError;

            fn from_str(name: &str) -> Result<Self, NameError> {
                Self::parse(name)
            }
        }

        impl fmt::Display for $Name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $Name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl AsRef<str> for $Name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $Name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $Name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $Name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
            }
        }
    };
}

name! {
    /// The name of a service: what clients ask for.
    ///
    /// # Examples
    ///
    /// ```
    /// let time: proto::ServiceName = "time".parse()?;
    /// assert_eq!(time.to_string(), "time");
    /// assert!(proto::ServiceName::parse("../other").is_err());
    /// # Ok::<(), proto::NameError>(())
    /// ```
    ServiceName
}

name! {
    /// The name of one instance of a service, unique within that service. A clone costs no allocation.
    ///
    /// Two processes with one id take each other's place: the newer one wins.
    InstanceId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_says_what_is_wrong_and_what_is_accepted() {
        let long = "x".repeat(5_000);
        let cases = [
            ("", "\"\" cannot be a name: it is empty"),
            (".", "\".\" cannot be a name: it is reserved by ZooKeeper"),
            ("..", "\"..\" cannot be a name: it is reserved by ZooKeeper"),
            ("zookeeper", "\"zookeeper\" cannot be a name: it is reserved by ZooKeeper"),
            ("a/b", "\"a/b\" cannot be a name: it contains U+002F at byte 1 of 3"),
            ("a\0", r#""a\0" cannot be a name: it contains U+0000 at byte 1 of 2"#),
            ("ä\u{9f}", r#""ä\u{9f}" cannot be a name: it contains U+009F at byte 2 of 4"#),
            ("\u{fffe}", r#""\u{fffe}" cannot be a name: it contains U+FFFE at byte 0 of 3"#),
            ("🦀", "\"🦀\" cannot be a name: it contains U+1F980 at byte 0 of 4"),
            (&long, &format!("\"{}\"… (5000 bytes) cannot be a name: it has 5000 bytes", &long[..40])),
        ];
        for (name, message) in cases {
            let accepted = "; accepted: 1-255 bytes of UTF-8 without '/', U+0000-001F, U+007F-009F, U+D800-F8FF, \
                            U+FFF0-FFFF and all above U+FFFF, other than \".\", \"..\" and \"zookeeper\"";
            assert_eq!(check(name).unwrap_err().to_string(), format!("{message}{accepted}"));
        }
    }

    #[test]
    fn the_borders_of_what_servers_refuse_are_exact() {
        for last_good_first_bad in [('\u{7e}', '\u{7f}'), ('\u{d7ff}', '\u{e000}'), ('\u{ffef}', '\u{fff0}')]
        {
            assert!(
                !refused(last_good_first_bad.0) && refused(last_good_first_bad.1),
                "{last_good_first_bad:?}"
            );
        }
        for last_bad_first_good in [('\u{1f}', ' '), ('\u{9f}', '\u{a0}'), ('\u{f8ff}', '\u{f900}')] {
            assert!(
                refused(last_bad_first_good.0) && !refused(last_bad_first_good.1),
                "{last_bad_first_good:?}"
            );
        }
        for bad in ['\0', '\u{ffff}', '\u{10000}', '\u{10ffff}'] {
            assert!(refused(bad), "{bad:?}");
        }
    }

    #[test]
    fn the_length_counts_bytes() {
        assert!(check(&"x".repeat(255)).is_ok());
        assert!(check(&"x".repeat(256)).is_err());
        assert!(check(&"ä".repeat(127)).is_ok());
        assert!(check(&"ä".repeat(128)).is_err());
        assert!(check_segment(&"x".repeat(256)).is_ok());
    }
}
