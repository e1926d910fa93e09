//! What the guide says that rules can have.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

use std::collections::BTreeSet;

use gateway::proxy::Rules;

/// The part of the guide that has every key.
fn keys_of_the_guide() -> String {
    let guide = include_str!("../../../docs/gateway.md");
    let block = guide.split("```toml\n").nth(1).expect("there is one").split("```").next().unwrap();
    assert!(block.contains("trusted = "), "it is the one with every key: {block}");
    block.to_owned()
}

/// What is accepted in a table, as a refusal of anything else says.
fn accepted(table: &str) -> BTreeSet<String> {
    let error = Rules::read(&format!("{table}\nnothing = 1\n")).unwrap_err().to_string();
    let line = error.lines().find(|line| line.contains(", nothing: ")).expect("it is refused");
    line.rsplit("accepted: ").next().unwrap().split(", ").map(str::to_owned).collect()
}

#[test]
fn the_rules_of_the_guide_are_right_and_have_every_key() {
    let guide = keys_of_the_guide();
    assert_eq!(Rules::read(&guide).unwrap().len(), 1);
    let hashed =
        guide.replace("algorithm = \"round-robin\"", "algorithm = \"hash\"").replace("# hash = ", "hash = ");
    Rules::read(&hashed).unwrap();

    let keys = accepted("")
        .into_iter()
        .chain(accepted("[ejection]"))
        .chain(accepted("[retries]"))
        .chain(accepted("[[rule]]"));
    for key in keys.filter(|key| !["rule", "ejection", "retries"].contains(&key.as_str())) {
        assert!(guide.contains(&format!("{key} = ")), "the guide says nothing of {key}");
    }
}

#[test]
fn what_the_guide_says_is_there_unless_it_is_set() {
    // A key that has another value in the program than in the guide would be seen here: both are printed as they are read.
    let guide = keys_of_the_guide();
    let set = Rules::read(&guide).unwrap();
    let unset = Rules::read("[[rule]]\npath = \"/data\"\nservice = \"video\"\n").unwrap();
    assert_eq!(format!("{set:?}"), format!("{unset:?}"));
}
