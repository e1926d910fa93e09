//! What was measured, as tables for people and as JSON.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::machine;

/// The figures of one bench.
pub(crate) struct Report {
    /// Also the name of the file.
    pub(crate) name: &'static str,
    pub(crate) title: String,
    /// What is measured, and how.
    pub(crate) about: String,
    pub(crate) server: String,
    pub(crate) rounds: u32,
    pub(crate) figures: Vec<Figure>,
    pub(crate) ratios: Vec<Ratio>,
}

/// What one way to do the work took, round by round.
pub(crate) struct Figure {
    pub(crate) what: String,
    pub(crate) unit: &'static str,
    pub(crate) values: Vec<f64>,
}

/// Two figures of the same round, divided.
pub(crate) struct Ratio {
    pub(crate) what: String,
    pub(crate) values: Vec<f64>,
    pub(crate) limit: Limit,
}

#[derive(Clone, Copy)]
pub(crate) enum Limit {
    AtLeast(f64),
    AtMost(f64),
    /// For information.
    None,
}

impl Limit {
    fn is_met(self, value: f64) -> Option<bool> {
        match self {
            Self::AtLeast(limit) => Some(value >= limit),
            Self::AtMost(limit) => Some(value <= limit),
            Self::None => None,
        }
    }

    fn words(self) -> String {
        match self {
            Self::AtLeast(limit) => format!("at least {}", number(limit)),
            Self::AtMost(limit) => format!("at most {}", number(limit)),
            Self::None => String::new(),
        }
    }
}

impl Figure {
    pub(crate) fn new(what: impl Into<String>, unit: &'static str) -> Self {
        Self { what: what.into(), unit, values: Vec::new() }
    }

    pub(crate) fn push(&mut self, value: f64) {
        self.values.push(value);
    }

    /// This one divided by another, round by round.
    pub(crate) fn per(&self, other: &Self) -> Vec<f64> {
        self.values.iter().zip(&other.values).map(|(this, other)| this / other).collect()
    }
}

impl Report {
    /// The tables, as Markdown.
    pub(crate) fn tables(&self) -> String {
        let mut text = format!("## {}\n\n| | median | min .. max |\n| --- | ---: | ---: |\n", self.title);
        for Figure { what, unit, values } in self.measured() {
            let (low, high) = range(values);
            let median = number(median(values));
            let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
            let _ = writeln!(text, "| {what} | {median}{unit} | {} .. {} |", number(low), number(high));
        }
        let _ = write!(
            text,
            "\n| judged | median | limit | met | by round |\n| --- | ---: | --- | --- | --- |\n"
        );
        for Ratio { what, values, limit } in &self.ratios {
            let middle = median(values);
            let met = limit.is_met(middle).map_or("", |met| if met { "yes" } else { "**no**" });
            let each: Vec<_> = values.iter().copied().map(number).collect();
            let _ = writeln!(
                text,
                "| {what} | {} | {} | {met} | {} |",
                number(middle),
                limit.words(),
                each.join(", ")
            );
        }
        text
    }

    /// What could be measured: only a server of our own is asked what it counted.
    fn measured(&self) -> impl Iterator<Item = &Figure> {
        self.figures.iter().filter(|figure| !figure.values.is_empty())
    }

    pub(crate) fn json(&self) -> Value {
        let figure =
            |Figure { what, unit, values }: &Figure| json!({ "what": what, "unit": unit, "rounds": values });
        let ratio = |Ratio { what, values, limit }: &Ratio| {
            let middle = median(values);
            json!({ "what": what, "rounds": values, "median": middle, "limit": limit.words(), "met": limit.is_met(middle) })
        };
        json!({
            "name": self.name,
            "machine": machine::machine(),
            "server": self.server,
            "figures": self.measured().map(figure).collect::<Vec<_>>(),
            "ratios": self.ratios.iter().map(ratio).collect::<Vec<_>>(),
        })
    }

    /// Writes the file of this bench.
    pub(crate) fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let text = format!(
            "# {title}\n\n{about}\n\n\
             Repeat it: `demo bench {name}`. Written by that command; absolute figures depend on the \
             machine and on what else it does, so only ratios within one round are judged.\n\n\
             - Machine: {machine}\n- Server: {server}\n- Clients: zookeeper-client {client}, registry {version}, \
             release build\n- {rounds} rounds, the ways to do it in turn in each; one round before them is \
             not counted\n\n{tables}",
            title = self.title,
            about = self.about,
            name = self.name,
            machine = machine::machine(),
            server = self.server,
            client = machine::client(),
            version = env!("CARGO_PKG_VERSION"),
            rounds = self.rounds,
            tables = self.tables().split_once("\n\n").map_or("", |(_, tables)| tables),
        );
        fs::create_dir_all(folder)?;
        let path = folder.join(self.name).with_extension("md");
        fs::write(&path, text)?;
        eprintln!("written: {}", path.display());
        Ok(())
    }
}

pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[odd / 2],
        even => f64::midpoint(sorted[even / 2 - 1], sorted[even / 2]),
    }
}

fn range(values: &[f64]) -> (f64, f64) {
    values
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &value| (low.min(value), high.max(value)))
}

/// Three digits tell all that such a measurement can.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        large if large >= 100.0 || value.fract() == 0.0 => 0,
        middle if middle >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.digits$}")
}
