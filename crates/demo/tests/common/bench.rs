//! One round of a bench, as it is told to programs.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use tokio::time::timeout;

use super::{demo, stderr, stdout};

/// No round at a small size takes that long, on a busy machine and built for debugging.
const LIMIT: Duration = Duration::from_secs(300);

/// What a scenario measured in one round that counts, at this size.
pub(crate) async fn at(which: &str, size: &str) -> Value {
    let mut command = demo(["bench", which, "--instances", size, "--rounds", "1", "--json"]);
    let output = timeout(LIMIT, command.output()).await.unwrap().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let told: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let [scenario] = told["scenarios"].as_array().unwrap().as_slice() else { panic!("{told}") };
    assert_eq!(scenario["name"], which);
    let [sizes] = scenario["sizes"].as_array().unwrap().as_slice() else { panic!("{told}") };
    for kind in ["figures", "ratios"] {
        let all = sizes[kind].as_array().unwrap();
        let names: BTreeSet<_> = all.iter().map(|it| it["what"].as_str().unwrap()).collect();
        assert_eq!(names.len(), all.len(), "{kind} that are called the same: {sizes}");
    }
    sizes.clone()
}

/// The only ratio whose name is this. A program that is built for debugging need not keep its limit.
pub(crate) fn ratio<'a>(report: &'a Value, what: &str) -> &'a Value {
    let ratios = report["ratios"].as_array().unwrap();
    let ratio = ratios.iter().find(|ratio| ratio["what"] == what);
    ratio.unwrap_or_else(|| panic!("no {what:?} in {ratios:#?}"))
}

/// The value of a ratio, which must be within its limit.
pub(crate) fn kept(report: &Value, what: &str) -> f64 {
    let ratio = ratio(report, what);
    assert_eq!(ratio["met"], true, "{ratio}");
    ratio["median"].as_f64().unwrap()
}
