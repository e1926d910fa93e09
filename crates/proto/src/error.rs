//! Why node data was not encoded, or bytes were not decoded.

use crate::{InvalidData, MAX_BYTES};

/// Why node data was not encoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The data cannot be stored as it is.
    #[error("invalid node data: {0}")]
    Invalid(InvalidData),

    /// It takes more than [`MAX_BYTES`].
    #[error("the node data takes {bytes} bytes; at most {MAX_BYTES} are accepted")]
    TooLarge {
        /// How many it takes.
        bytes: usize,
    },

    /// The layout that it is for has no place for a part of it, and nothing is left out silently.
    #[error("this layout cannot store {what}")]
    NotInLayout {
        /// Which part.
        what: &'static str,
    },
}

impl From<InvalidData> for EncodeError {
    fn from(invalid: InvalidData) -> Self {
        Self::Invalid(invalid)
    }
}

/// Why bytes are not node data. None of these messages repeats more than a little of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// It is more than [`MAX_BYTES`], and was not looked at.
    #[error("the value has {bytes} bytes; at most {MAX_BYTES} are accepted")]
    TooLarge {
        /// How many it has.
        bytes: usize,
    },

    /// It is of a kind that nobody here writes.
    #[error("the value {}; accepted: an envelope, which begins with C1 9D and a version, or JSON, which begins with '{{'", start_in_words(.start))]
    Unrecognized {
        /// Its first bytes, eight at most.
        start: Vec<u8>,
    },

    /// A newer release wrote it.
    #[error("the value is of version {version}; up to version {} is accepted", crate::envelope::VERSION)]
    NewerVersion {
        /// The version that it has.
        version: u8,
    },

    /// One field of an envelope cannot be read.
    #[error("{field}: {what}")]
    Field {
        /// Which one.
        field: &'static str,
        /// What is wrong with it.
        what: String,
    },

    /// An envelope goes on after its last field.
    #[error("{bytes} bytes are left after the last field; none are accepted")]
    Trailing {
        /// How many are left.
        bytes: usize,
    },

    /// It is not JSON, or a field in it has the wrong type: the text names it.
    #[error("JSON: {what}")]
    Json {
        /// What the parser says.
        what: String,
    },

    /// It could be read, and makes no sense.
    #[error("invalid node data: {0}")]
    Invalid(InvalidData),
}

impl From<InvalidData> for DecodeError {
    fn from(invalid: InvalidData) -> Self {
        Self::Invalid(invalid)
    }
}

fn start_in_words(start: &[u8]) -> String {
    if start.is_empty() {
        return "is empty".into();
    }
    let hex: Vec<_> = start.iter().map(|byte| format!("{byte:02X}")).collect();
    format!("begins with {}", hex.join(" "))
}
