//! Which paths servers accept.

#[cfg(any(feature = "fake", feature = "zookeeper"))]
use std::borrow::Cow;

use crate::Error;

/// The longest path that is sent, in bytes: a multi-read of [`READ_BATCH`](crate::READ_BATCH) paths stays under the
/// 1 MiB at which servers drop the connection.
pub(crate) const MAX_PATH: usize = 4096;

/// Refuses what a server would refuse, or would take for another node, and what is too long to be sent.
pub(crate) fn check(path: &str) -> Result<(), Error> {
    if path.len() > MAX_PATH {
        return Err(unusable(path, &format!("it has {} bytes", path.len())));
    }
    check_form(path)
}

/// Refuses what a server would refuse, or would take for another node. Of others, who send longer ones, it takes those as well.
pub(crate) fn check_form(path: &str) -> Result<(), Error> {
    let refused = |why: &str| unusable(path, why);
    let Some(names) = path.strip_prefix('/') else { return Err(refused("it does not begin with '/'")) };
    if names.is_empty() {
        return Ok(());
    }
    for name in names.split('/') {
        match name {
            "" => return Err(refused("a name in it is empty")),
            "." | ".." => return Err(refused("it has '.' or '..' for a name")),
            _ if !is_plain(name) && name.chars().any(forbidden) => {
                return Err(refused("it has characters that servers refuse"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Those of `paths` that can be sent, and why each other one cannot be, by its place.
#[cfg(any(feature = "fake", feature = "zookeeper"))]
pub(crate) fn sort_out(paths: &[String]) -> (Cow<'_, [String]>, Vec<(usize, Error)>) {
    let refusal = |(place, path): (usize, &String)| Some((place, check(path).err()?));
    let refused: Vec<_> = paths.iter().enumerate().filter_map(refusal).collect();
    if refused.is_empty() {
        return (paths.into(), refused);
    }
    (paths.iter().filter(|path| check(path).is_ok()).cloned().collect(), refused)
}

/// The answers for what could be sent, with each refusal in its place.
#[cfg(any(feature = "fake", feature = "zookeeper"))]
pub(crate) fn put_back<T>(
    answers: Vec<Result<T, Error>>,
    refused: Vec<(usize, Error)>,
) -> Vec<Result<T, Error>> {
    let mut all = Vec::with_capacity(answers.len() + refused.len());
    let mut answers = answers.into_iter();
    for (place, error) in refused {
        all.extend(answers.by_ref().take(place - all.len()));
        all.push(Err(error));
    }
    all.extend(answers);
    all
}

fn unusable(path: &str, why: &str) -> Error {
    let shown: String = path.chars().take(200).collect();
    Error::Invalid(format!(
        "the path {shown:?} is unusable: {why}; a path is \"/\" or has a name behind each '/', up to {MAX_PATH} bytes in all"
    ))
}

/// As [`check`], for a node that is to be made or deleted, which the root cannot be.
#[cfg(any(feature = "fake", feature = "zookeeper"))]
pub(crate) fn check_node(path: &str) -> Result<(), Error> {
    match path {
        "/" => Err(Error::Invalid("the root can be neither made nor deleted".to_owned())),
        _ => check(path),
    }
}

/// As [`check`], for a node that gets a sequence behind its path, which may therefore end with '/'.
#[cfg(any(feature = "fake", feature = "zookeeper"))]
pub(crate) fn check_prefix(path: &str) -> Result<(), Error> {
    match path.strip_suffix('/') {
        Some("") => Ok(()),
        Some(parent) => check(parent),
        None => check(path),
    }
}

/// The directory may be the top of the tree: what users see of it under a chroot.
pub(crate) fn child(directory: &str, name: &str) -> String {
    [directory.trim_end_matches('/'), "/", name].concat()
}

/// The name of a direct child.
pub(crate) fn child_of<'a>(directory: &str, path: &'a str) -> Option<&'a str> {
    let name = path.strip_prefix(directory.trim_end_matches('/'))?.strip_prefix('/')?;
    (!name.is_empty() && !name.contains('/')).then_some(name)
}

/// The directory that a node is in.
pub(crate) fn parent(path: &str) -> &str {
    match path.rfind('/') {
        Some(end) if end > 0 => &path[..end],
        _ => "/",
    }
}

/// Most names are, and that is seen at once.
fn is_plain(name: &str) -> bool {
    name.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

fn forbidden(c: char) -> bool {
    matches!(c, '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_refused_that_servers_refuse() {
        for good in ["/", "/a", "/a/b", "/a/...", "/ä/日本", "/a b", "/.a", "/a,b"] {
            assert!(check(good).is_ok(), "{good}");
        }
        let long = format!("/{}", "x".repeat(MAX_PATH));
        let bad = [
            "",
            "a",
            "a/b",
            "//",
            "/a/",
            "/a//b",
            "/.",
            "/a/..",
            "/../a",
            "/a/./b",
            "/a\0",
            "/a\n",
            "/a\u{7f}",
            "/a\u{f000}",
            "/a\u{fffe}",
            "/a\u{1f600}",
            &long,
        ];
        for bad in bad {
            assert!(matches!(check(bad), Err(Error::Invalid(text)) if text.contains("a path is")), "{bad:?}");
        }
    }

    #[test]
    fn what_cannot_be_sent_is_refused_in_its_place() {
        let bad = ["", "/a//b", "/.."];
        for paths in [&[][..], &["/a", "/b"], &["", "/a"], &["/a", "/..", "/a//b", "/b", "/c", ""], &["", ""]]
        {
            let paths: Vec<_> = paths.iter().map(|&path| path.to_owned()).collect();
            let (sent, refused) = sort_out(&paths);
            let answers = put_back(sent.iter().cloned().map(Ok).collect(), refused);
            assert_eq!(answers.len(), paths.len());
            for (path, answer) in paths.iter().zip(answers) {
                match answer {
                    Ok(sent) => assert_eq!(&sent, path),
                    Err(error) => assert!(bad.contains(&path.as_str()), "{path:?}: {error}"),
                }
            }
        }
    }

    #[test]
    fn a_child_is_right_below_its_directory() {
        let table = [
            ("/a", "/a/b", Some("b")),
            ("/", "/b", Some("b")),
            ("/a", "/a", None),
            ("/a", "/a/", None),
            ("/a", "/ab", None),
            ("/a", "/a/b/c", None),
            ("/", "/b/c", None),
        ];
        for (directory, path, expected) in table {
            assert_eq!(child_of(directory, path), expected, "{directory} {path}");
        }
    }

    #[test]
    fn a_node_is_in_its_directory() {
        for (path, expected) in [("/a/b/c", "/a/b"), ("/a/b", "/a"), ("/a", "/")] {
            assert_eq!(parent(path), expected, "{path}");
        }
    }

    #[test]
    fn only_a_sequential_path_may_end_with_a_slash() {
        assert!(check_prefix("/").is_ok());
        assert!(check_prefix("/a/").is_ok());
        assert!(check_prefix("/a/b-").is_ok());
        assert!(check_prefix("/a//").is_err());
        assert!(check_prefix("a/").is_err());
        assert!(check("/a/").is_err());
    }

    #[test]
    fn the_root_can_be_read_only() {
        assert!(check("/").is_ok());
        assert!(check_node("/").is_err());
        assert!(check_node("/a").is_ok());
    }
}
