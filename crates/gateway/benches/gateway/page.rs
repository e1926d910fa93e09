//! What was measured, as text and as a page.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::figures::{Limit, judged, median, shown};
use crate::load::{Load, Measured};
use crate::peers::nginx_program;
use crate::picking::{self, Round};
use crate::streams::Streams;

/// Where the page of profiles has the proxy.
const PROXY: &str = "the-gateways-proxy";

/// One thing that was measured.
pub(crate) struct Section {
    title: String,
    about: String,
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    /// What was promised of it.
    judged: Vec<Judged>,
}

/// What was promised of a figure, and whether it is so.
struct Judged {
    of: &'static str,
    value: f64,
    limit: Limit,
    /// Where it says why it is not, on the page of profiles.
    why: &'static str,
}

impl Judged {
    fn text(&self) -> String {
        format!("{}: {}", self.of, judged(self.value, self.limit))
    }

    fn markdown(&self) -> String {
        let why = format!("; [where the time goes](profiles.md#{})", self.why);
        format!("- {}{}\n", self.text(), if self.limit.is_met(self.value) { "" } else { &why })
    }
}

impl Section {
    pub(crate) fn text(&self) -> String {
        let plain = |text: &str| text.replace(['*', '`'], "");
        let rows = std::iter::once(self.head.iter().map(|cell| plain(cell)).collect())
            .chain(self.rows.iter().map(|row| row.iter().map(|cell| plain(cell)).collect::<Vec<_>>()));
        let rows: Vec<Vec<String>> = rows.collect();
        let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or_default();
        let widths: Vec<_> = (0..self.head.len()).map(width).collect();
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).enumerate();
            let cells = cells.map(|(at, (cell, width))| match at {
                0 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            });
            cells.collect::<Vec<_>>().join("  ")
        };
        let table: Vec<_> = rows.iter().map(line).collect();
        let judged =
            self.judged.iter().map(|judged| format!("\n  {}", plain(&judged.text()))).collect::<String>();
        format!("{}\n{}{judged}", self.title, table.join("\n"))
    }

    fn markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let head: Vec<_> = self.head.iter().map(|cell| (*cell).to_owned()).collect();
        let rows: String = self.rows.iter().map(|row| line(row)).collect();
        let judged: String = self.judged.iter().map(Judged::markdown).collect();
        let rule = " ---: |".repeat(self.head.len() - 1);
        format!("\n## {}\n\n{}\n\n{}| --- |{rule}\n{rows}\n{judged}", self.title, self.about, line(&head))
    }
}

/// How it was when a bench began.
pub(crate) struct Before {
    /// How many wanted a processor during the last minute.
    load: String,
    commit: Option<String>,
}

impl Before {
    pub(crate) fn now() -> anyhow::Result<Self> {
        Ok(Self { load: load()?, commit: measured::commit(env!("CARGO_MANIFEST_DIR")) })
    }
}

/// Writes the page into a folder, and tells where it is.
pub(crate) fn write(sections: &[Section], before: &Before, folder: &Path) -> anyhow::Result<PathBuf> {
    let commit = before.commit.as_ref().map(|commit| format!("- Commit: {commit}\n")).unwrap_or_default();
    let sections: String = sections.iter().map(Section::markdown).collect();
    let page = format!(
        "# The gateway\n\n\
         Written by `make bench-gateway`; `cargo bench -p gateway --bench gateway -- --help` tells how to repeat one of these. Absolute figures \
         depend on the machine, and on what else it does: judged are ratios within one round, and counts. Shown is the median of all rounds, \
         with the least and the most; a round before them is not counted. What misses its limit stands out.\n\n\
         {commit}- Machine: {}\n- Its load, over a minute: {} before the first round, {} after the last; a machine that does nothing else begins with less than 1\n\
         - Beside: {}\n{sections}",
        measured::machine(),
        before.load,
        load()?,
        nginx()?,
    );
    fs::create_dir_all(folder).with_context(|| format!("cannot write to {}", folder.display()))?;
    let path = folder.join("gateway.md");
    fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// How many wanted a processor during the last minute.
fn load() -> anyhow::Result<String> {
    let text = fs::read_to_string("/proc/loadavg").context("cannot read the load of the machine")?;
    Ok(text.split(' ').next().unwrap_or_default().to_owned())
}

/// The version of nginx, as it says.
fn nginx() -> anyhow::Result<String> {
    let output = Command::new(nginx_program()).arg("-v").output().context("cannot start nginx")?;
    let said = String::from_utf8_lossy(&output.stderr);
    Ok(said.trim().trim_start_matches("nginx version: ").to_owned())
}

/// Proxies beside each other under one load.
pub(crate) fn proxying(load: &Load, peers: &[&'static str], measured: &[Vec<Measured>]) -> Section {
    let all = |rounds: &[Measured], of: fn(&Measured) -> f64| rounds.iter().map(of).collect::<Vec<_>>();
    let mut rows: Vec<_> = peers
        .iter()
        .zip(measured)
        .map(|(peer, rounds)| {
            let processor = match *peer {
                "direct" => String::new(),
                _ => shown(&all(rounds, |it| it.processor)),
            };
            vec![
                (*peer).to_owned(),
                shown(&all(rounds, |it| it.per_second)),
                shown(&all(rounds, |it| it.median)),
                shown(&all(rounds, |it| it.p99)),
                shown(&all(rounds, |it| it.p99_of_time)),
                processor,
            ]
        })
        .collect();
    let place = |name: &str| peers.iter().position(|peer| *peer == name);
    let mut promised = Vec::new();
    if let (Some(ours), Some(nginx)) = (place("gateway"), place("nginx")) {
        let beside = |of: fn(&Measured) -> f64| {
            let pairs = measured[ours].iter().zip(&measured[nginx]);
            pairs.map(|(ours, nginx)| of(ours) / of(nginx)).collect::<Vec<_>>()
        };
        let (requests, p99) = (beside(|it| it.per_second), beside(|it| it.p99));
        let p99_of_time = beside(|it| it.p99_of_time);
        rows.push(vec![
            "gateway / nginx".to_owned(),
            shown(&requests),
            shown(&beside(|it| it.median)),
            shown(&p99),
            shown(&p99_of_time),
            shown(&beside(|it| it.processor)),
        ]);
        promised = vec![
            Judged {
                of: "requests a second, to nginx",
                value: median(&requests),
                limit: Limit::AtLeast(0.8),
                why: PROXY,
            },
            Judged { of: "p99, to nginx", value: median(&p99), limit: Limit::AtMost(1.5), why: PROXY },
            Judged {
                of: "p99 of time, to nginx",
                value: median(&p99_of_time),
                limit: Limit::AtMost(1.5),
                why: PROXY,
            },
        ];
    }
    Section {
        title: format!("Proxying: {}", load.name),
        about: "Each proxy is a process with one worker on a processor of its own; wrk, which asks over connections that it keeps, and the service that answers \
                share the other one. `direct` is that service without a proxy. nginx keeps connections to the service as ours does, sends the same headers on and \
                buffers as it does unless told otherwise; both write no log. The time of the processor is that of the proxy's process for one request. \
                p99 is of requests as they were answered; of time it is what wrk tells, which counts one that takes long for all that could have been asked meanwhile: \
                whatever stops the machine for a hundredth of the time decides that one."
            .to_owned(),
        head: vec!["", "requests/s", "median, ms", "p99, ms", "p99 of time, ms", "processor, \u{b5}s"],
        rows,
        judged: promised,
    }
}

/// A pick beside a constant.
pub(crate) fn picking(rounds: &[Round]) -> Section {
    let (picks, constants): (Vec<_>, Vec<_>) = rounds.iter().copied().unzip();
    let ratios: Vec<_> = rounds.iter().map(|(pick, constant)| constant / pick).collect();
    let row = |name: &str, figures: &[f64]| vec![name.to_owned(), shown(figures)];
    Section {
        title: "A pick over HTTP".to_owned(),
        about: format!(
            "`GET /v1/services/time/pick` among {} instances, and a handler of axum that returns the same bytes and does nothing else; both \
             are served by one worker, and asked over {} connections.",
            picking::INSTANCES,
            picking::CONNECTIONS
        ),
        head: vec!["", "requests/s"],
        rows: vec![row("pick", &picks), row("constant", &constants), row("constant / pick", &ratios)],
        judged: vec![Judged {
            of: "a pick, to a constant",
            value: median(&ratios),
            limit: Limit::AtMost(1.3),
            why: "a-pick-over-http",
        }],
    }
}

/// Many streams of one service.
pub(crate) fn streams(of: &Streams) -> Section {
    let row = |what: &str, figure: String| vec![what.to_owned(), figure];
    let (one, many) = (&of.one, &of.many);
    let per_stream = (many.memory - one.memory) / (many.streams - one.streams);
    Section {
        title: format!("{} streams of events on one service", many.streams),
        about: format!(
            "The program, on a ZooKeeper server of its own with a service of {} instances; every stream is a connection that reads `GET \
             /v1/services/time/watch`. Watches are what the server counts (`mntr`), less those that were there before the first stream. Memory is what the \
             gateway's process has resident. A change is the weight of one instance: from the call that sets it until a stream has read all of the \
             state that has it, the last of all streams. {} bytes are one state.",
            of.instances, of.state
        ),
        head: vec!["", "measured"],
        rows: vec![
            row(&format!("watches with {} stream", one.streams), one.watches.to_string()),
            row(&format!("watches with {} streams", many.streams), many.watches.to_string()),
            row(&format!("memory with {} stream, KiB", one.streams), one.memory.to_string()),
            row(&format!("memory with {} streams, KiB", many.streams), many.memory.to_string()),
            row("memory of a stream more, KiB", per_stream.to_string()),
            row("a change, until one stream has it, ms", shown(&of.one_has_it)),
            row(&format!("a change, until all {} streams have it, ms", many.streams), shown(&of.all_have_it)),
        ],
        judged: vec![Judged {
            of: "watches that many streams need and one does not",
            value: f64::from(many.watches) - f64::from(one.watches),
            limit: Limit::AtMost(0.0),
            why: "the-memory-of-a-follower",
        }],
    }
}
