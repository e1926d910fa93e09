//! Who takes part, and under which names.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a process is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Role {
    Instance,
    Watcher,
    Candidate,
}

impl Role {
    pub(crate) const ALL: [Self; 3] = [Self::Instance, Self::Watcher, Self::Candidate];

    /// How many of them take part.
    pub(crate) const fn many(self) -> usize {
        match self {
            Self::Instance => 20,
            Self::Watcher | Self::Candidate => 5,
        }
    }

    /// All who have it.
    pub(crate) fn all(self) -> impl Iterator<Item = Who> {
        (0..self.many()).map(move |number| Who { role: self, number })
    }

    const fn letter(self) -> char {
        match self {
            Self::Instance => 'i',
            Self::Watcher => 'w',
            Self::Candidate => 'c',
        }
    }
}

/// A process, however often it is started: its name is also its id in ZooKeeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(crate) struct Who {
    pub(crate) role: Role,
    pub(crate) number: usize,
}

impl Who {
    /// Everybody.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        Role::ALL.into_iter().flat_map(Role::all)
    }

    /// Whether it lives from the beginning to the end, so that what it uses can be compared. No candidate does: whoever leads has to
    /// be one that can be killed.
    pub(crate) fn is_elder(self) -> bool {
        self.number == 0 && self.role != Role::Candidate
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:02}", self.role.letter(), self.number)
    }
}

impl From<Who> for String {
    fn from(who: Who) -> Self {
        who.to_string()
    }
}

impl FromStr for Who {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let role = Role::ALL.into_iter().find(|role| name.starts_with(role.letter()));
        let number = name
            .get(1..)
            .filter(|digits| digits.len() == 2 && !digits.contains('+'))
            .and_then(|digits| digits.parse().ok());
        let who = role.zip(number).map(|(role, number)| Self { role, number });
        who.filter(|who| who.number < who.role.many()).ok_or_else(|| format!("nobody is called {name:?}"))
    }
}

impl TryFrom<String> for Who {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        name.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_is_found_by_name_and_nobody_else() {
        assert_eq!(Who::all().count(), 30);
        for who in Who::all() {
            assert_eq!(who.to_string().parse(), Ok(who));
        }
        for nobody in ["", "i20", "c05", "i1", "x01", "i001", "i+1", "ä01"] {
            assert!(nobody.parse::<Who>().is_err(), "{nobody}");
        }
    }
}
