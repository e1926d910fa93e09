//! Whether the changelog goes with the version.

/// What is wrong with a changelog of a workspace with this version. Its newest section is either `Unreleased`, and then the newest
/// release below, if there was one, is this version; or it is this version itself, with a day.
pub(crate) fn faults(text: &str, version: &str) -> Vec<String> {
    let mut sections = text.split("\n## ").skip(1).map(|section| {
        let (heading, body) = section.split_once('\n').unwrap_or((section, ""));
        (heading.trim(), body)
    });
    let Some((heading, body)) = sections.next() else {
        return vec!["CHANGELOG.md has no section".to_owned()];
    };
    let mut faults = Vec::new();
    if !body.lines().any(|line| line.starts_with("- ")) {
        faults.push(format!("CHANGELOG.md says nothing under {heading}"));
    }
    if heading == "Unreleased" {
        let released = sections.next().map(|(heading, _)| of(heading));
        faults.extend(released.filter(|released| *released != version).map(|released| {
            format!(
                "the packages have version {version}, and the newest release in CHANGELOG.md is {released}"
            )
        }));
        return faults;
    }
    if of(heading) != version {
        faults.push(format!(
            "the packages have version {version}, and CHANGELOG.md begins with {heading}: neither that nor Unreleased"
        ));
    } else if !has_day(heading) {
        faults.push(format!("the section {heading} of CHANGELOG.md has no day: {version} (2026-01-31)"));
    }
    faults
}

/// The version of a heading.
fn of(heading: &str) -> &str {
    heading.split(' ').next().unwrap_or(heading)
}

fn has_day(heading: &str) -> bool {
    let day = heading.split_once(" (").and_then(|(_, rest)| rest.strip_suffix(')'));
    day.is_some_and(|day| {
        let parts: Vec<_> = day.split('-').collect();
        parts.iter().all(|part| part.chars().all(|digit| digit.is_ascii_digit()))
            && [4, 2, 2].into_iter().eq(parts.iter().copied().map(str::len))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_section_is_the_version_or_what_comes_after_it() {
        let table = [
            ("## Unreleased\n\n- a\n", None),
            ("## Unreleased\n\n- a\n\n## 0.1.0 (2026-01-31)\n\n- b\n", None),
            ("## 0.1.0 (2026-01-31)\n\n- a\n", None),
            ("", Some("has no section")),
            ("## Unreleased\n", Some("says nothing under Unreleased")),
            ("## Unreleased\n\n## 0.1.0 (2026-01-31)\n\n- b\n", Some("says nothing under Unreleased")),
            (
                "## Unreleased\n\n- a\n\n## 0.2.0 (2026-01-31)\n\n- b\n",
                Some("newest release in CHANGELOG.md is 0.2.0"),
            ),
            ("## 0.2.0 (2026-01-31)\n\n- a\n", Some("begins with 0.2.0 (2026-01-31): neither")),
            ("## 0.1.0\n\n- a\n", Some("has no day")),
            ("## 0.1.0 (soon)\n\n- a\n", Some("has no day")),
        ];
        for (text, expected) in table {
            let faults = faults(&format!("# Changelog\n\n{text}"), "0.1.0");
            match expected {
                None => assert_eq!(faults, [""; 0], "{text}"),
                Some(expected) => {
                    assert!(faults.len() == 1 && faults[0].contains(expected), "{text}: {faults:?}");
                }
            }
        }
    }
}
