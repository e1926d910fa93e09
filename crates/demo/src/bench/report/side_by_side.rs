//! The reports of one scenario at several sizes, side by side.

use serde_json::{Value, json};

use super::grid::{Grid, Mark};
use super::number::{grouped, median, number, range, rounds, unit};
use super::{Figure, Ratio, Report};

/// How a row that belongs to the one above it begins.
const BELOW: &str = "  ";

/// At least one report, by sizes, rising.
pub(crate) struct SideBySide {
    /// What the sizes are numbers of.
    of: &'static str,
    sizes: Vec<u32>,
    reports: Vec<Report>,
}

/// One figure at all sizes; nothing where it was not measured.
pub(crate) struct Row<'a> {
    pub(crate) what: &'a str,
    pub(crate) unit: &'static str,
    pub(crate) role: Role,
    /// Whether it is what the bare client took, beside a figure or not.
    pub(crate) is_bare: bool,
    pub(crate) cells: Vec<Option<Spread>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Figure,
    /// The bare client's for the same work as the figure above it.
    Bare,
    /// Of the two rows above it, within rounds.
    Ratio,
}

/// What the rounds have in common.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl SideBySide {
    pub(crate) fn new(of: &'static str, reports: Vec<(u32, Report)>) -> Self {
        let (sizes, reports) = reports.into_iter().unzip();
        Self { of, sizes, reports }
    }

    /// What the sizes are numbers of.
    pub(crate) fn of(&self) -> &'static str {
        self.of
    }

    /// The one of the largest size, which speaks for all.
    fn spokesman(&self) -> Option<&Report> {
        self.reports.last()
    }

    pub(crate) fn name(&self) -> &'static str {
        self.spokesman().map_or("", |report| report.name)
    }

    pub(crate) fn title(&self) -> &str {
        self.spokesman().map_or("", |report| &report.title)
    }

    pub(crate) fn about(&self) -> &str {
        self.spokesman().map_or("", |report| &report.about)
    }

    pub(crate) fn server(&self) -> &str {
        self.spokesman().map_or("", |report| &report.server)
    }

    pub(crate) fn rounds(&self) -> u32 {
        self.spokesman().map_or(0, |report| report.rounds)
    }

    pub(crate) fn sizes(&self) -> &[u32] {
        &self.sizes
    }

    /// All figures in order, each with the bare client's and the ratio below it where it has one.
    pub(crate) fn rows(&self) -> Vec<Row<'_>> {
        let figures = names(&self.reports, |report| {
            let measured = report.figures.iter().filter(|figure| !figure.values.is_empty());
            measured.map(|figure| &*figure.what).collect()
        });
        let partner = |what: &str| self.figures(what).flatten().find_map(|figure| figure.beside.as_deref());
        let partners: Vec<_> = figures.iter().filter_map(|what| partner(what)).collect();
        let mut rows = Vec::new();
        for &what in figures.iter().filter(|what| !partners.contains(what)) {
            rows.push(self.row(what, Role::Figure));
            if let Some(bare) = partner(what).filter(|bare| figures.contains(bare)) {
                rows.push(self.row(bare, Role::Bare));
                let pairs = self.figures(what).zip(self.figures(bare));
                let ratio: Vec<_> = pairs.map(|(ours, bare)| Spread::of(&ours?.per(bare?))).collect();
                if ratio.iter().any(Option::is_some) {
                    rows.push(Row {
                        what: "ratio",
                        unit: "",
                        role: Role::Ratio,
                        is_bare: false,
                        cells: ratio,
                    });
                }
            }
        }
        rows
    }

    fn row<'a>(&self, what: &'a str, role: Role) -> Row<'a> {
        let unit = self.figures(what).flatten().map(|figure| figure.unit).next().unwrap_or_default();
        let is_bare = self.figures(what).flatten().any(|figure| figure.is_bare);
        let cells = self.figures(what).map(|figure| Spread::of(&figure?.values)).collect();
        Row { what, unit, role, is_bare, cells }
    }

    /// A figure by its name at each size.
    fn figures(&self, what: &str) -> impl Iterator<Item = Option<&Figure>> {
        self.reports.iter().map(move |report| report.figures.iter().find(|figure| figure.what == what))
    }

    pub(super) fn measured(&self) -> Grid {
        let mut grid =
            Grid::new(self.heads(if self.rounds() == 1 { "one round" } else { "median (least..most)" }));
        for row in self.rows() {
            let what =
                if row.role == Role::Figure { row.what.to_owned() } else { format!("{BELOW}{}", row.what) };
            let cell = |spread: &Option<Spread>| spread.map_or_else(String::new, |it| it.words(row.unit));
            grid.push(what, row.cells.iter().map(|it| (cell(it), Mark::None)));
        }
        grid
    }

    pub(super) fn judged(&self) -> Grid {
        let mut grid = Grid::new(self.heads(match self.rounds() {
            1 => "judged, by one round",
            _ => "judged, by medians unless said otherwise",
        }));
        let whats = names(&self.reports, |report| {
            let measured = report.ratios.iter().filter(|ratio| !ratio.values.is_empty());
            measured.map(|ratio| &*ratio.what).collect()
        });
        for what in whats {
            let cells =
                self.reports.iter().map(|report| match report.ratios.iter().find(|it| it.what == what) {
                    Some(ratio) if !ratio.values.is_empty() => {
                        (ratio.limit.judged(median(&ratio.values)), Mark::of(ratio.is_met()))
                    }
                    _ => (String::new(), Mark::None),
                });
            grid.push(what.to_owned(), cells);
        }
        grid
    }

    fn heads(&self, first: &str) -> Vec<String> {
        let sizes = self.sizes.iter().map(|size| format!("{} {}", grouped((*size).into()), self.of));
        [first.to_owned()].into_iter().chain(sizes).collect()
    }

    /// The tables, for a terminal.
    pub(crate) fn text(&self) -> String {
        let head = format!("{}: {} ({})", self.name(), self.title(), rounds(self.rounds()));
        let tables = [self.measured(), self.judged()].into_iter().filter(|grid| !grid.is_empty());
        [head].into_iter().chain(tables.map(|grid| grid.text())).collect::<Vec<_>>().join("\n\n")
    }

    /// All rounds of everything.
    pub(crate) fn json(&self) -> Value {
        let figure = |it: &Figure| json!({ "what": it.what, "unit": it.unit, "beside": it.beside, "bare": it.is_bare, "median": median(&it.values), "rounds": it.values });
        let ratio = |it: &Ratio| json!({ "what": it.what, "median": median(&it.values), "limit": it.limit.words(), "met": it.is_met(), "why_missed": it.limit.why_missed(), "rounds": it.values });
        let size = |(count, report): (&u32, &Report)| {
            let figures = report.figures.iter().filter(|it| !it.values.is_empty());
            let ratios = report.ratios.iter().filter(|it| !it.values.is_empty());
            json!({
                "size": count,
                "figures": figures.map(figure).collect::<Vec<_>>(),
                "ratios": ratios.map(ratio).collect::<Vec<_>>(),
            })
        };
        json!({
            "name": self.name(),
            "title": self.title(),
            "about": self.about(),
            "server": self.server(),
            "rounds": self.rounds(),
            "sizes_of": self.of,
            "sizes": self.sizes.iter().zip(&self.reports).map(size).collect::<Vec<_>>(),
        })
    }
}

impl Spread {
    fn of(values: &[f64]) -> Option<Self> {
        let (least, most) = range(values);
        (!values.is_empty()).then(|| Self { median: median(values), least, most })
    }

    fn words(self, unit_: &str) -> String {
        let median = format!("{}{}", number(self.median), unit(unit_));
        match self {
            same if same.least == same.most => median,
            _ => format!("{median} ({}..{})", number(self.least), number(self.most)),
        }
    }
}

/// What is missed in all of it, or that nothing is.
pub(crate) fn verdict(done: &[SideBySide]) -> String {
    let mut lines = Vec::new();
    let mut judged = 0;
    for scenario in done {
        for (&size, report) in scenario.sizes.iter().zip(&scenario.reports) {
            for ratio in report.ratios.iter().filter(|it| it.is_met().is_some()) {
                judged += 1;
                if ratio.is_met() == Some(false) {
                    let (value, limit) = (number(median(&ratio.values)), ratio.limit.words());
                    let (name, size, of) = (report.name, grouped(size.into()), scenario.of);
                    let why = ratio.limit.why_missed().map_or_else(String::new, |why| format!(": {why}"));
                    lines.push(format!("  {name}, {size} {of}: {}: {value}, limit {limit}{why}", ratio.what));
                }
            }
        }
    }
    match lines.len() {
        0 => format!("Of {judged} figures with a limit all are within it."),
        missed => format!("Of {judged} figures with a limit {missed} MISSED it:\n{}", lines.join("\n")),
    }
}

/// The names in all reports, in the order of the largest one; what only smaller ones have comes behind.
fn names<'a>(reports: &'a [Report], of: impl Fn(&'a Report) -> Vec<&'a str>) -> Vec<&'a str> {
    let mut names: Vec<&str> = Vec::new();
    for name in reports.iter().rev().flat_map(of) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::Limit;
    use super::*;

    /// Two sizes of a scenario; the larger one has a figure of its own and misses a limit.
    pub(crate) fn example() -> SideBySide {
        example_of("instances", Limit::AtMost(2.5))
    }

    /// The same figures at two sizes.
    pub(crate) fn of_two_sizes(of: &'static str, figures: impl Fn() -> Vec<Figure>) -> SideBySide {
        let report = || Report {
            name: "example",
            title: "Many".to_owned(),
            about: String::new(),
            server: String::new(),
            rounds: 1,
            figures: figures(),
            ratios: Vec::new(),
        };
        SideBySide::new(of, vec![(100, report()), (10_000, report())])
    }

    fn example_of(of: &'static str, limit: Limit) -> SideBySide {
        let figure =
            |what: &str, values: &[f64]| Figure { values: values.to_vec(), ..Figure::new(what, "us") };
        let report = |figures, ratios| Report {
            name: "example",
            title: "How <long>?".to_owned(),
            about: "What & how.".to_owned(),
            server: "ZooKeeper".to_owned(),
            rounds: 3,
            figures,
            ratios,
        };
        let small = report(
            vec![
                figure("ours", &[10.0, 30.0, 20.0]).beside("bare client"),
                figure("bare client", &[10.0, 10.0, 10.0]).bare(),
                figure("not measured", &[]),
            ],
            vec![Ratio::new("ours / bare client", vec![1.0, 3.0, 2.0], limit)],
        );
        let large = report(
            vec![
                figure("ours", &[4e4]).beside("bare client"),
                figure("bare client", &[1e4]).bare(),
                figure("large alone", &[3.0]),
            ],
            vec![Ratio::new("ours / bare client", vec![4.0], limit)],
        );
        SideBySide::new(of, vec![(100, small), (10_000, large)])
    }

    #[test]
    fn the_bare_client_and_the_ratio_are_below_the_figure_and_sizes_are_columns() {
        let text = "\
example: How <long>? (3 rounds)

median (least..most)  100 instances   10,000 instances
ours                  20 µs (10..30)  40,000 µs
  bare client         10 µs           10,000 µs
  ratio               2 (1..3)        4
large alone                           3 µs

judged, by medians unless said otherwise  100 instances  10,000 instances
ours / bare client                        2 ≤ 2.50 yes   4 > 2.50 NO";
        assert_eq!(example().text(), text);
    }

    #[test]
    fn what_cannot_be_divided_has_no_ratio_in_the_table() {
        let figure = |what: &str, value| Figure { values: vec![value], ..Figure::new(what, "us") };
        let text = of_two_sizes("instances", || {
            vec![figure("ours", -1.0).beside("bare client"), figure("bare client", 2.0).bare()]
        });
        assert!(!text.text().contains("ratio"), "{}", text.text());
    }

    #[test]
    fn one_round_is_not_called_a_median() {
        let text =
            of_two_sizes("instances", || vec![Figure { values: vec![1.0], ..Figure::new("a", "") }]).text();
        assert!(text.contains("one round") && !text.contains("median"), "{text}");
    }

    #[test]
    fn sizes_are_called_what_they_are_numbers_of() {
        let example = example_of("candidates", Limit::None);
        assert_eq!(example.text().matches(" candidates").count(), 4, "{}", example.text());
        assert!(!example.text().contains("instances"), "{}", example.text());
        assert_eq!(example.json()["sizes_of"], "candidates");
    }

    #[test]
    fn the_verdict_names_what_is_missed_and_why_where_that_is_known() {
        let missed = "Of 2 figures with a limit 1 MISSED it:\n  example, 10,000 instances: ours / bare client: 4, limit at most 2.50";
        assert_eq!(verdict(&[example()]), missed);
        let known = "Of 2 figures with a limit 1 MISSED it:\n  example, 10,000 changes: ours / bare client: 4, limit at most 2.50: it is so";
        assert_eq!(verdict(&[example_of("changes", Limit::AtMostBut(2.5, "it is so"))]), known);
        assert_eq!(verdict(&[]), "Of 0 figures with a limit all are within it.");
    }

    #[test]
    fn json_has_every_round_of_what_was_measured() {
        let json = example().json();
        let sizes = json["sizes"].as_array().unwrap();
        assert_eq!(sizes.iter().map(|it| it["size"].as_u64().unwrap()).collect::<Vec<_>>(), [100, 10_000]);
        assert_eq!(sizes[0]["figures"].as_array().unwrap().len(), 2);
        assert_eq!(sizes[0]["figures"][0]["rounds"], json!([10.0, 30.0, 20.0]));
        assert_eq!(sizes[0]["figures"][0]["beside"], "bare client");
        let bare = |number: usize| &sizes[0]["figures"][number]["bare"];
        assert_eq!((bare(0), bare(1)), (&json!(false), &json!(true)));
        assert_eq!(
            (&json["sizes_of"], &sizes[1]["ratios"][0]["why_missed"]),
            (&json!("instances"), &json!(null))
        );
        let ratio = &sizes[1]["ratios"][0];
        assert_eq!((&ratio["met"], &ratio["limit"]), (&json!(false), &json!("at most 2.50")));
    }
}
