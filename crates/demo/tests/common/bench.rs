//! One round of a bench, as it is told to programs.

use serde_json::Value;

use super::{demo, run, stderr, stdout};

/// What a scenario measured in one round that counts, at this size.
pub(crate) async fn at(which: &str, size: &str) -> Value {
    let output = run(demo(["bench", which, "--instances", size, "--rounds", "1", "--json"])).await;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let told: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let [scenario] = told["scenarios"].as_array().unwrap().as_slice() else { panic!("{told}") };
    assert_eq!(scenario["name"], which);
    let [sizes] = scenario["sizes"].as_array().unwrap().as_slice() else { panic!("{told}") };
    sizes.clone()
}
