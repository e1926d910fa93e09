//! Where things are in ZooKeeper: the one place that builds paths.

use std::fmt;
use std::str::FromStr;

use crate::name::{NameError, check_segment};
use crate::text::quoted;
use crate::{InstanceId, ServiceName};

/// The longest path of a directory, in bytes.
pub const MAX_DIRECTORY: usize = 1024;

/// The directory below which each service has its own, in the native and in the master/normal layout. Shown as it is written:
/// `/headkeeper`.
///
/// # Examples
///
/// ```
/// use proto::{Root, ServiceName};
///
/// let time = ServiceName::parse("time")?;
/// assert_eq!(Root::default().instances_dir(&time), "/headkeeper/time/instances");
/// // Under a chroot the root may be the top.
/// assert_eq!(Root::parse("/")?.instances_dir(&time), "/time/instances");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Root(Directory);

impl Root {
    /// Checks an absolute path without a slash at its end; `/` is the top of the tree.
    ///
    /// # Errors
    ///
    /// When servers would refuse the path, or it is longer than [`MAX_DIRECTORY`].
    pub fn parse(path: &str) -> Result<Self, PathError> {
        Directory::parse(path).map(Self)
    }

    /// The path of the root itself: its children are the services.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The directory that everything of a service is in.
    pub fn service_dir(&self, service: &ServiceName) -> String {
        self.0.child(service.as_str())
    }

    /// The directory of a service's instances.
    pub fn instances_dir(&self, service: &ServiceName) -> String {
        join(&self.service_dir(service), "instances")
    }

    /// The node of one instance.
    pub fn instance_path(&self, service: &ServiceName, id: &InstanceId) -> String {
        join(&self.instances_dir(service), id.as_str())
    }

    /// The directory of a service's candidates for leadership.
    pub fn election_dir(&self, service: &ServiceName) -> String {
        join(&self.service_dir(service), "election")
    }

    /// In the master/normal layout, the node of a service's master.
    pub fn master_path(&self, service: &ServiceName) -> String {
        join(&self.service_dir(service), crate::master_normal::MASTER)
    }

    /// What to create a candidate's node as; the server puts the sequence behind it.
    pub fn candidate_path(&self, service: &ServiceName, id: &InstanceId) -> String {
        join(&self.election_dir(service), &candidate_prefix(id))
    }
}

impl Default for Root {
    fn default() -> Self {
        Self(Directory("/headkeeper".into()))
    }
}

impl FromStr for Root {
    type Err = PathError;

    fn from_str(path: &str) -> Result<Self, PathError> {
        Self::parse(path)
    }
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The directory of the flat layout, whose children are the instances. Shown as it is written: `/go_servers`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Dir(Directory);

impl Dir {
    /// Checks an absolute path without a slash at its end; `/` is the top of the tree.
    ///
    /// # Errors
    ///
    /// When servers would refuse the path, or it is longer than [`MAX_DIRECTORY`].
    pub fn parse(path: &str) -> Result<Self, PathError> {
        Directory::parse(path).map(Self)
    }

    /// The path of the directory itself.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The node of one instance.
    pub fn child(&self, name: &InstanceId) -> String {
        self.0.child(name.as_str())
    }
}

impl Default for Dir {
    fn default() -> Self {
        Self(Directory("/go_servers".into()))
    }
}

impl FromStr for Dir {
    type Err = PathError;

    fn from_str(path: &str) -> Result<Self, PathError> {
        Self::parse(path)
    }
}

impl fmt::Display for Dir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What the name of a candidate's node begins with, before the sequence.
pub fn candidate_prefix(id: &InstanceId) -> String {
    format!("{id}-")
}

/// The id and the sequence in the name of a candidate's node, `None` when it is not one.
///
/// Ids are compared whole: `a` did not make `a-1-0000000007`. A sequence ends at 2,147,483,647; what servers write
/// after that has a sign and other widths, and is no candidate.
///
/// # Examples
///
/// ```
/// assert_eq!(proto::path::split_candidate("a-1-0000000007"), Some(("a-1", 7)));
/// assert_eq!(proto::path::split_candidate("a-1"), None);
/// ```
pub fn split_candidate(name: &str) -> Option<(&str, u32)> {
    let (id, sequence) = name.rsplit_once('-')?;
    let ten_digits = sequence.len() == 10 && sequence.bytes().all(|byte| byte.is_ascii_digit());
    if id.is_empty() || !ten_digits {
        return None;
    }
    // Servers count in an i32.
    let sequence: i32 = sequence.parse().ok()?;
    Some((id, sequence.unsigned_abs()))
}

/// The path of a child, whose name was checked or was listed by a server. Check a name from anybody else first.
pub fn join(dir: &str, child: &str) -> String {
    let dir = if dir == "/" { "" } else { dir };
    [dir, "/", child].concat()
}

/// Why a text is not the path of a directory. Says what was wrong and what is accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{shown} cannot be a directory: {problem}; accepted: an absolute path of {MAX_DIRECTORY} bytes at most without a slash at \
     its end, as in /headkeeper, or /"
)]
pub struct PathError {
    shown: String,
    problem: Problem,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Problem {
    #[error("it is empty")]
    Empty,
    #[error("it does not begin with a slash")]
    Relative,
    #[error("it ends with a slash")]
    Slash,
    #[error("it has {0} bytes")]
    TooLong(usize),
    #[error("it has two slashes in a row")]
    TwoSlashes,
    #[error("{0}")]
    Segment(NameError),
}

/// A checked absolute path.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Directory(Box<str>);

impl Directory {
    fn parse(path: &str) -> Result<Self, PathError> {
        match check_path(path) {
            Ok(()) => Ok(Self(path.into())),
            Err(problem) => Err(PathError { shown: quoted(path), problem }),
        }
    }

    fn as_str(&self) -> &str {
        &self.0
    }

    fn child(&self, name: &str) -> String {
        join(&self.0, name)
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

fn check_path(path: &str) -> Result<(), Problem> {
    if path.is_empty() {
        return Err(Problem::Empty);
    }
    if path.len() > MAX_DIRECTORY {
        return Err(Problem::TooLong(path.len()));
    }
    let below = path.strip_prefix('/').ok_or(Problem::Relative)?;
    if below.is_empty() {
        return Ok(());
    }
    if below.contains("//") || below.starts_with('/') {
        return Err(Problem::TwoSlashes);
    }
    if below.ends_with('/') {
        return Err(Problem::Slash);
    }
    below.split('/').try_for_each(check_segment).map_err(Problem::Segment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_has_its_place() {
        let service = ServiceName::parse("time").unwrap();
        let id = InstanceId::parse("127.0.0.1:8897").unwrap();
        for (root, prefix) in [("/headkeeper", "/headkeeper"), ("/a/b", "/a/b"), ("/", "")] {
            let root = Root::parse(root).unwrap();
            assert_eq!(root.service_dir(&service), format!("{prefix}/time"));
            assert_eq!(root.instances_dir(&service), format!("{prefix}/time/instances"));
            assert_eq!(root.instance_path(&service, &id), format!("{prefix}/time/instances/127.0.0.1:8897"));
            assert_eq!(root.election_dir(&service), format!("{prefix}/time/election"));
            assert_eq!(root.master_path(&service), format!("{prefix}/time/master"));
            assert_eq!(root.candidate_path(&service, &id), format!("{prefix}/time/election/127.0.0.1:8897-"));
        }
        assert_eq!(Dir::default().child(&id), "/go_servers/127.0.0.1:8897");
        assert_eq!(Dir::parse("/").unwrap().child(&id), "/127.0.0.1:8897");
        assert_eq!(join("/", "a"), "/a");
        assert_eq!(join("/a", "b"), "/a/b");
    }

    #[test]
    fn a_directory_is_shown_as_it_was_given() {
        assert_eq!(Root::default().to_string(), "/headkeeper");
        assert_eq!(Root::parse("/").unwrap().as_str(), "/");
        assert_eq!(Dir::default().to_string(), "/go_servers");
        assert_eq!("/a/b".parse::<Dir>().unwrap().as_str(), "/a/b");
    }

    #[test]
    fn a_candidate_is_split_at_the_last_dash_and_whole() {
        for (name, split) in [
            ("a-0000000000", Some(("a", 0))),
            ("a-2147483647", Some(("a", 2_147_483_647))),
            ("a-1-0000000007", Some(("a-1", 7))),
            ("a--0000000007", Some(("a-", 7))),
            ("a-0000000001-0000000002", Some(("a-0000000001", 2))),
            ("ä-0000000003", Some(("ä", 3))),
            ("a-2147483648", None),
            ("a--000000001", None),
            ("a-00000000001", None),
            ("a-000000001", None),
            ("a-+000000001", None),
            ("a-٠٠٠٠٠", None),
            ("a0000000001", None),
            ("-0000000001", None),
            ("a-", None),
            ("", None),
        ] {
            assert_eq!(split_candidate(name), split, "{name:?}");
        }
    }

    #[test]
    fn each_refusal_says_what_is_wrong() {
        let segment = |name| Problem::Segment(check_segment(name).unwrap_err());
        let long = format!("/{}", "x".repeat(5_000));
        for (path, problem) in [
            ("", Problem::Empty),
            ("headkeeper", Problem::Relative),
            ("/headkeeper/", Problem::Slash),
            ("//", Problem::TwoSlashes),
            ("/a//b", Problem::TwoSlashes),
            ("//a", Problem::TwoSlashes),
            ("/a/../b", segment("..")),
            ("/.", segment(".")),
            ("/zookeeper", segment("zookeeper")),
            ("/a\n", segment("a\n")),
            (&long, Problem::TooLong(5_001)),
        ] {
            let error = PathError { shown: quoted(path), problem };
            assert_eq!(Root::parse(path).unwrap_err(), error, "{path:?}");
            assert_eq!(Dir::parse(path).unwrap_err(), error, "{path:?}");
        }
        assert_eq!(
            Root::parse("a").unwrap_err().to_string(),
            "\"a\" cannot be a directory: it does not begin with a slash; accepted: an absolute path of 1024 bytes at most \
             without a slash at its end, as in /headkeeper, or /"
        );
    }
}
