//! Who may read and who may write, by what they show.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use subtle::{Choice, ConstantTimeEq};

/// The fewest characters of a token: fewer could be guessed.
const LEAST: usize = 16;

/// The most characters of a token.
const MOST: usize = 512;

/// The most bytes of a file of tokens.
const LARGEST: u64 = 1024 * 1024;

/// The tokens that are accepted. Debug output shows none.
#[derive(Clone, Default)]
pub struct Tokens {
    read: Vec<Box<[u8]>>,
    write: Vec<Box<[u8]>>,
}

/// What somebody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// Look.
    Read,
    /// Look, register and change.
    Write,
}

/// Why there are no tokens.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    /// The file cannot be read.
    #[error("{path} cannot be read")]
    Unreadable {
        /// Which file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Others could read the tokens, or put theirs in.
    #[error(
        "{path} may be read by everybody, or written by others (mode {mode:03o}); accepted: chmod 600, or 640 for a group that may read"
    )]
    Open {
        /// Which file.
        path: String,
        /// How it is protected.
        mode: u32,
    },
    /// It is larger than any such file should be. What stands at its end would be lost.
    #[error("{path} is larger than {LARGEST} bytes")]
    Large {
        /// Which file.
        path: String,
    },
    /// A line is none. The line itself is not told: it may be a token.
    #[error("line {line}: {problem}; accepted: read TOKEN, write TOKEN, and lines that begin with #")]
    Line {
        /// Which line, counted from 1.
        line: usize,
        /// What is wrong.
        problem: &'static str,
    },
    /// There is nothing in it.
    #[error("there is no token; accepted: at least one line, read TOKEN or write TOKEN")]
    Empty,
}

impl Tokens {
    /// Reads a file that has a token on each line, after the word `read` or `write`.
    ///
    /// # Errors
    ///
    /// When it cannot be read, is open to others, or a line is wrong.
    pub fn load(path: &Path) -> Result<Self, TokensError> {
        let shown = || path.display().to_string();
        let read = || {
            let file = File::open(path)?;
            // Of the file that was opened, whatever has its name by now.
            let mode = file.metadata()?.mode() & 0o777;
            let mut bytes = Vec::new();
            file.take(LARGEST + 1).read_to_end(&mut bytes)?;
            Ok((mode, bytes))
        };
        let (mode, bytes) = read().map_err(|source| TokensError::Unreadable { path: shown(), source })?;
        if mode & 0o027 != 0 {
            return Err(TokensError::Open { path: shown(), mode });
        }
        if bytes.len() as u64 > LARGEST {
            return Err(TokensError::Large { path: shown() });
        }
        // What is no text is no token either.
        Self::parse(&String::from_utf8_lossy(&bytes))
    }

    /// Reads what stands in such a file.
    ///
    /// # Errors
    ///
    /// When a line is wrong, or there is no token.
    pub fn parse(text: &str) -> Result<Self, TokensError> {
        let mut tokens = Self::default();
        for (index, line) in text.lines().enumerate() {
            let refuse = |problem| Err(TokensError::Line { line: index + 1, problem });
            let mut words = line.split_whitespace();
            let (right, token) = match (words.next(), words.next(), words.next()) {
                (None, ..) => continue,
                (Some(word), ..) if word.starts_with('#') => continue,
                (Some("read"), Some(token), None) => (&mut tokens.read, token),
                (Some("write"), Some(token), None) => (&mut tokens.write, token),
                (Some("read" | "write"), None, _) => return refuse("there is no token"),
                (Some("read" | "write"), ..) => return refuse("there is something behind the token"),
                _ => return refuse("it begins with another word"),
            };
            if !(LEAST..=MOST).contains(&token.len()) {
                return refuse("the token has fewer than 16 or more than 512 characters");
            }
            if !token.bytes().all(may_stand_in_a_token) {
                return refuse("the token has other characters than letters, digits and -._~+/=");
            }
            right.push(token.as_bytes().into());
        }
        match tokens.read.is_empty() && tokens.write.is_empty() {
            true => Err(TokensError::Empty),
            false => Ok(tokens),
        }
    }

    /// What somebody may do who shows this. How long it takes tells nothing of the tokens but how many there are and how long.
    pub fn right_of(&self, shown: &[u8]) -> Option<Right> {
        let among = |tokens: &[Box<[u8]>]| {
            let tokens = tokens.iter().map(|token| token.ct_eq(shown));
            bool::from(tokens.fold(Choice::from(0), |found, is| found | is))
        };
        let (read, write) = (among(&self.read), among(&self.write));
        match (write, read) {
            (true, _) => Some(Right::Write),
            (false, true) => Some(Right::Read),
            (false, false) => None,
        }
    }
}

fn may_stand_in_a_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte)
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("read", &self.read.len()).field("write", &self.write.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions, write};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const TEXT: &str = "# for the console\nread 0123456789abcdef\n\n  write  ABCDEFGHIJKLMNOP+/=\n";

    #[test]
    fn a_token_gives_its_right_and_nothing_else_does() {
        let tokens = Tokens::parse(TEXT).unwrap();
        for (shown, right) in [
            ("0123456789abcdef", Some(Right::Read)),
            ("ABCDEFGHIJKLMNOP+/=", Some(Right::Write)),
            ("", None),
            ("0123456789abcde", None),
            ("0123456789abcdef0", None),
            ("0123456789abcdeF", None),
            ("read", None),
        ] {
            assert_eq!(tokens.right_of(shown.as_bytes()), right, "{shown}");
        }
        assert_eq!(format!("{tokens:?}"), "Tokens { read: 1, write: 1 }");
    }

    #[test]
    fn a_line_that_is_wrong_is_told_without_what_stands_in_it() {
        for (text, told) in [
            ("read 0123456789abcdef\nadmin secret-secret-secret", "line 2: it begins with another word"),
            ("write", "line 1: there is no token"),
            ("write short", "line 1: the token has fewer than 16"),
            ("write 0123456789abcdef secret", "line 1: there is something behind the token"),
            ("write 0123456789abcdef\"", "line 1: the token has other characters"),
            ("# nothing\n", "there is no token"),
            ("", "there is no token"),
        ] {
            let error = Tokens::parse(text).unwrap_err().to_string();
            assert!(error.starts_with(told) && !error.contains("secret"), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_file_that_is_open_to_others_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens");
        assert!(matches!(Tokens::load(&path), Err(TokensError::Unreadable { .. })));
        write(&path, TEXT).unwrap();
        for (mode, accepted) in
            [(0o600, true), (0o400, true), (0o640, true), (0o644, false), (0o660, false), (0o602, false)]
        {
            set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert_eq!(Tokens::load(&path).is_ok(), accepted, "{mode:o}");
        }
        set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let most = usize::try_from(LARGEST).unwrap();
        let filled = |more: usize| format!("{TEXT}\n#{}", " ".repeat(most - TEXT.len() - 2 + more));
        write(&path, filled(0)).unwrap();
        assert!(Tokens::load(&path).is_ok());
        write(&path, filled(1)).unwrap();
        assert!(matches!(Tokens::load(&path), Err(TokensError::Large { .. })));
    }
}
