//! The list of promises names tests that are there.

use std::fs;
use std::path::Path;

#[test]
fn every_promise_has_tests_and_they_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let list = fs::read_to_string(root.join("docs/reliability.md")).unwrap();
    let mut promises = Vec::new();
    for row in list.lines().filter(|line| line.starts_with("| P")) {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [promise, _, _, _, tested] = cells[..] else { panic!("{row}") };
        promises.push(promise[1..].parse::<usize>().unwrap());
        for place in tested.split("; ") {
            let (_, rest) = place.split_once('`').unwrap_or_else(|| panic!("{promise}: {place}"));
            let (file, rest) = rest.split_once('`').unwrap();
            let text = fs::read_to_string(root.join("crates").join(file));
            let text = text.unwrap_or_else(|error| panic!("{promise}: {file}: {error}"));
            let names = rest.strip_prefix(": ").into_iter().flat_map(|names| names.split(", "));
            for name in names {
                assert!(text.contains(&format!("fn {name}(")), "{promise}: {file} has no {name}");
            }
            assert!(
                text.contains("#[test]") || text.contains("#[tokio::test"),
                "{promise}: {file} has no tests"
            );
        }
    }
    assert_eq!(promises, (1..=28).collect::<Vec<_>>());
}
