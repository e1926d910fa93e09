//! Whether what pages link to is there.

use std::path::{Component, Path, PathBuf};

use crate::Fault;
use crate::page::{Pages, To};

pub(crate) fn faults(root: &Path, pages: &Pages) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (path, page) in pages.iter() {
        for link in &page.links {
            let what = match &link.to {
                To::Undefined(reference) => Some(format!("[{reference}] is not defined in this page")),
                To::Target(target) => fault(root, pages, path, target),
            };
            faults.extend(what.map(|what| Fault { page: path.to_owned(), line: link.line, what }));
        }
    }
    faults
}

/// What is wrong with a link of this page. Other sites are not asked.
fn fault(root: &Path, pages: &Pages, from: &Path, target: &str) -> Option<String> {
    if is_elsewhere(target) {
        return None;
    }
    let (file, anchor) = match target.split_once('#') {
        Some((file, anchor)) => (file, Some(anchor)),
        None => (target, None),
    };
    let path = if file.is_empty() {
        from.to_owned()
    } else {
        let Some(path) = resolve(from, file) else {
            return Some(format!("{target} leads out of the repository"));
        };
        path
    };
    if !root.join(&path).exists() {
        return Some(format!("{target} leads to {}, which is not there", path.display()));
    }
    let anchor = anchor?;
    let Some(page) = pages.get(&path) else {
        return Some(format!("{target} names a place in {}, which has none", path.display()));
    };
    (!page.anchors.contains(anchor)).then(|| format!("{} has no heading #{anchor}", path.display()))
}

/// Whether a link leads to another site.
pub(crate) fn is_elsewhere(target: &str) -> bool {
    ["http://", "https://", "mailto:"].iter().any(|other| target.starts_with(other))
}

/// Where a relative link leads, from the root of the repository; `None` out of it.
pub(crate) fn resolve(from: &Path, file: &str) -> Option<PathBuf> {
    let mut path = from.parent().map(Path::to_owned).unwrap_or_default();
    for part in Path::new(file).components() {
        match part {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            Component::ParentDir => {
                if !path.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(path)
}
