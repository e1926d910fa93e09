//! What was measured, as tables for people and as JSON.

mod judged;
mod machine;
mod plot;
mod reasons;
mod table;
mod tables;

use std::fmt::Write as _;
use std::path::Path;
use std::{fs, io};

use serde_json::{Value, json};

use self::judged::judged;
use self::plot::plots;
use crate::churn::Churn;
use crate::peers;
use crate::quality::Finding;
use crate::race::Outcome;
use crate::rebuild::Rebuild;

/// All that one run has found out.
#[derive(Default)]
pub(crate) struct Report {
    /// Of which commit the code was when it began, where that is known.
    pub(crate) commit: Option<String>,
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) rebuilds: Vec<Rebuild>,
    pub(crate) findings: Vec<Finding>,
    pub(crate) churns: Vec<Churn>,
}

const ABOUT: &str = "\
What a pick costs beside the least that it can cost, and beside what others offer, all in one run.

Repeat it: `make bench`, or `make bench QUICK=1` for fewer sizes without this file. Written by that command; absolute
figures depend on the machine and on what else it does, so only ratios are judged.

How it is measured. All ways to pick in a table are taken turn about, a lap of 1 ms each (0.4 ms with two threads), in
another order each time, and each first fills the caches with what is its own. One thread is timed by its own processor
clock. Two are timed by the wall, and only laps count in which both ran side by side without a gap; what has a `~` had
fewer than 5 of them and is not judged. A ratio is the median of the ratios within the rounds. Targets are for up to
10,000 instances; 100,000 are for information.

- `fixed list` is the algorithm's picker behind `Arc<dyn Picker>` and a look at the list; `counted`: with a guard
  that counts. `Handle::choose`, `Handle::pick` (with the guard) and `Balancer::pick` (with a guard of its own) pick from a
  list that may be replaced at any time.
- The floors are what every implementation has to do: (a) a shared counter, (d) a draw from the thread's own wyrand,
  (e) XXH3 of the key and a look at a table of 128 slots for each instance, (f) two draws, a comparison of two counters
  that lie in the list, and one of them up and down. They are pickers too, behind the same `Arc<dyn Picker>`, with the
  same look at the list.
- pingora's selector is a fixed list, its LoadBalancer one that can be replaced; both have at most 65,535 places.
  The nginx-style scan is weighted-rs, without its lock. tower's balancer is behind a mutex. pingora-ketama has 160
  points for each unit of weight, and up to a million units were tried.
- Keys are 4,096 addresses of clients, as text. Mixed weights are 1 to 100.
";

impl Report {
    /// The whole page.
    pub(crate) fn page(&self) -> String {
        let peers: Vec<_> =
            peers::versions().iter().map(|(name, version)| format!("{name} {version}")).collect();
        let mut page = format!(
            "# What a pick costs\n\nOf 100 instances, on one thread, in nanoseconds (with mixed weights where they count):\n\n{}\n{ABOUT}\n{}- Machine: {}\n- {}, {}, thin LTO and one code unit\n- Beside: {}\n\n",
            tables::in_short(self).markdown(),
            self.commit.as_ref().map(|commit| format!("- Commit: {commit}\n")).unwrap_or_default(),
            measured::machine(),
            machine::today(),
            machine::compiler(),
            peers.join(", "),
        );
        let _ = write!(page, "## What is to be reached\n\n{}\n", judged(self).markdown());
        page += "`A / B` is the time of A to that of B. The worst is the one nearest to its limit, or furthest above.\n\n";
        let missed = reasons::missed(self);
        if !missed.is_empty() {
            let _ = write!(page, "## Where a target is not reached\n\n{missed}\n");
        }
        for (title, about, table) in tables::sections(self) {
            let _ = write!(page, "## {title}\n\n{about}");
            let name = plot::file(&title);
            if plots(self).iter().any(|(file, _)| *file == name) {
                let _ = write!(page, "![{title}]({name})\n\n");
            }
            let _ = writeln!(page, "{}", table.markdown());
        }
        page.trim_end().to_owned() + "\n"
    }

    /// The same for a terminal.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for (title, _, table) in tables::sections(self) {
            let _ = write!(text, "\n{title}\n\n{}", table.text());
        }
        let _ = write!(text, "\nWhat is to be reached\n\n{}", judged(self).text());
        text
    }

    pub(crate) fn write(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        for (file, plot) in plots(self) {
            fs::write(folder.join(file), plot)?;
        }
        fs::write(folder.join("pick.md"), self.page())
    }

    pub(crate) fn json(&self) -> Value {
        let race = |it: &Outcome| {
            let times: Vec<_> = it
                .times
                .iter()
                .map(|time| json!({ "of": time.of, "ns": time.nanos, "clean": time.clean }))
                .collect();
            let ratios: Vec<_> = it.ratios.iter().map(|ratio| {
                json!({ "of": ratio.of, "to": ratio.to, "ratio": ratio.value, "from": ratio.middle.0, "until": ratio.middle.1,
                    "at_most": ratio.at_most, "reached": ratio.is_reached(), "clean": ratio.clean })
            }).collect();
            json!({ "algorithm": it.of.family, "instances": it.of.many, "weights": it.of.weights.as_str(),
                "threads": it.of.threads, "times": times, "ratios": ratios })
        };
        let rebuild = |it: &Rebuild| {
            let beside = it.beside.as_ref().map(|it| {
                json!({ "peer": it.peer, "ns": it.nanos, "bytes": it.bytes, "ratio": it.ratio, "at_most": it.at_most,
                    "memory_at_most": it.memory_at_most })
            });
            json!({ "algorithm": it.family, "instances": it.many, "weights": it.weights.as_str(), "ns": it.nanos,
                "bytes": it.bytes, "beside": beside })
        };
        let finding = |it: &Finding| json!({ "what": it.what, "value": it.value, "unit": it.unit, "at_most": it.at_most });
        let tail = |it: &crate::churn::Tail| json!({ "median": it.median, "p99": it.p99, "p999": it.p999, "most": it.most });
        let churn = |it: &Churn| {
            json!({ "algorithm": it.name.as_str(), "quiet": tail(&it.quiet), "churning": tail(&it.churning),
                "ratio": it.ratio, "changes": it.changes, "prepared": it.prepared })
        };
        json!({
            "commit": self.commit,
            "machine": measured::machine(),
            "date": machine::today(),
            "compiler": machine::compiler(),
            "peers": peers::versions().into_iter().map(|(name, version)| json!({ "name": name, "version": version })).collect::<Vec<_>>(),
            "races": self.outcomes.iter().map(race).collect::<Vec<_>>(),
            "rebuilds": self.rebuilds.iter().map(rebuild).collect::<Vec<_>>(),
            "findings": self.findings.iter().map(finding).collect::<Vec<_>>(),
            "churn": self.churns.iter().map(churn).collect::<Vec<_>>(),
        })
    }
}
