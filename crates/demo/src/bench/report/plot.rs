//! Figures by size, drawn. Colours are of a middle tone, and words take the reader's light or dark.

use std::fmt::Write as _;

use super::axis::{Kind, factor, ticks};
use super::lines::{letters, wrapped};
use super::number::grouped;
use super::side_by_side::{Role, SideBySide};

const WIDTH: f64 = 760.0;
const PLOT: f64 = 300.0;
const LEFT: f64 = 84.0;
const RIGHT: f64 = 28.0;
const TOP: f64 = 60.0;
/// Below the plot come the sizes, what they are numbers of, and a line for each figure.
const BELOW: f64 = 62.0;
const ENTRY: f64 = 20.0;
/// A name that goes on in another line.
const MORE: f64 = 16.0;
/// Where names begin.
const NAMES: f64 = LEFT + 34.0;

/// How the names of all plots begin.
pub(super) const PLOTS: &str = "zookeeper-";

/// Each has a contrast of three at least to white as to a dark page.
const COLOURS: [&str; 8] =
    ["#2f81f7", "#57a64a", "#a371f7", "#b8860b", "#db6d28", "#e5534b", "#c96198", "#2aa5a0"];

/// What stands at each value: those whose colour was given before get the next one.
const MARKERS: [Marker; 4] = [Marker::Dot, Marker::Square, Marker::Triangle, Marker::Diamond];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Marker {
    Dot,
    Square,
    Triangle,
    Diamond,
}

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Style {
    colour: &'static str,
    marker: Marker,
    is_dashed: bool,
}

/// A file with a plot.
pub(super) struct Plot {
    pub(super) file: String,
    pub(super) title: String,
    pub(super) svg: String,
    /// What it cannot show.
    pub(super) left_out: Vec<String>,
}

/// One figure: sizes, and the median, the least and the most there.
struct Line<'a> {
    name: &'a str,
    style: Style,
    points: Vec<(f64, [f64; 3])>,
}

/// The plots of a scenario, one for each kind of figures.
pub(super) fn plots(of: &SideBySide) -> Vec<Plot> {
    let mut kinds: Vec<Kind> = Vec::new();
    for kind in of.rows().iter().filter(|row| row.role != Role::Ratio).map(|row| Kind::of(row.unit)) {
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    let plot = |kind: Kind| {
        let title = format!("{}: {}", of.title(), kind.title());
        let (lines, left_out) = lines(of, kind);
        let svg = draw(&title, of.of(), kind, &lines)?;
        Some(Plot { file: file(of.name(), kind), title, svg, left_out })
    };
    kinds.into_iter().filter_map(plot).collect()
}

fn file(scenario: &str, kind: Kind) -> String {
    let kind: String =
        kind.title().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    format!("{PLOTS}{scenario}-{}.svg", kind.trim_matches('-'))
}

/// What cannot be on such an axis is left out, and told as such: nothing, and less than nothing. So is the bare client's where it was drawn
/// already.
fn lines(of: &SideBySide, kind: Kind) -> (Vec<Line<'_>>, Vec<String>) {
    let mut lines: Vec<Line<'_>> = Vec::new();
    let mut left_out = Vec::new();
    let mut figures = 0;
    for row in of.rows().into_iter().filter(|row| row.role != Role::Ratio && Kind::of(row.unit) == kind) {
        if lines.iter().any(|line| line.name == row.what) {
            continue;
        }
        figures += usize::from(row.role != Role::Bare);
        let per = factor(row.unit);
        let cells = of.sizes().iter().zip(&row.cells);
        let points = cells.filter_map(|(&size, spread)| {
            let spread = (*spread)?;
            if spread.least <= 0.0 {
                left_out.push(format!("{}, {} {}", row.what, grouped(size.into()), of.of()));
                return None;
            }
            Some((f64::from(size), [spread.median, spread.least, spread.most].map(|value| value * per)))
        });
        // The bare client's beside a figure of ours has the same colour.
        let style = Style::new(figures.max(1) - 1, row.is_bare);
        let line = Line { name: row.what, style, points: points.collect() };
        if !line.points.is_empty() {
            lines.push(line);
        }
    }
    (lines, left_out)
}

/// Both axes by powers; nothing of fewer than two sizes, which are numbers `of` something.
fn draw(title: &str, of: &str, kind: Kind, lines: &[Line<'_>]) -> Option<String> {
    let mut sizes: Vec<f64> = lines.iter().flat_map(|line| &line.points).map(|point| point.0).collect();
    sizes.sort_by(f64::total_cmp);
    sizes.dedup();
    let [fewest, .., many] = sizes[..] else { return None };
    let values = || lines.iter().flat_map(|line| &line.points).flat_map(|point| point.1);
    let ticks = ticks(kind, values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
    let [lowest, .., highest] = ticks[..] else { return None };

    let (right, floor) = (WIDTH - RIGHT, TOP + PLOT);
    let x = |size: f64| LEFT + (size / fewest).ln() / (many / fewest).ln() * (right - LEFT);
    let y = |value: f64| floor - (value / lowest).ln() / (highest / lowest).ln() * PLOT;
    let names: Vec<_> = lines.iter().map(|line| wrapped(line.name, letters(NAMES, right))).collect();
    let rows = |name: &Vec<String>| ENTRY + MORE * (name.len() - 1) as f64;
    let height = floor + BELOW + names.iter().map(rows).sum::<f64>();
    let title = escaped(title);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         role=\"img\" aria-label=\"{title}\">\n<style>\nsvg {{ background: #ffffff; }}\ntext {{ font: 12px system-ui, sans-serif; fill: #1f2328; }}\n.title {{ font-weight: bold; }}\n\
         .grid {{ stroke: #8b949e; stroke-opacity: 0.35; }}\n\
         @media (prefers-color-scheme: dark) {{ svg {{ background: #0d1117; }} text {{ fill: #e6edf3; }} }}\n</style>\n\
         <text x=\"{LEFT}\" y=\"22\" class=\"title\">{title}</text>\n\
         <text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\n\
         <text x=\"{right}\" y=\"{}\" text-anchor=\"end\">{of}</text>\n",
        LEFT - 8.0,
        TOP - 14.0,
        escaped(kind.title()),
        floor + 38.0,
    );
    for tick in &ticks {
        let at = y(*tick);
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\n\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n",
            LEFT - 8.0,
            at + 4.0,
            escaped(&kind.words(*tick)),
        );
    }
    for &size in &sizes {
        let at = x(size);
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{floor}\"/>\n\
             <text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n",
            floor + 18.0,
            grouped(size as i64),
        );
    }
    let mut at = floor + BELOW;
    for (line, name) in lines.iter().zip(&names) {
        draw_line(&mut svg, line, x, y);
        let (Style { colour, .. }, dashes) = (line.style, line.style.dashes());
        let _ = write!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{at}\" y2=\"{at}\" stroke=\"{colour}\" stroke-width=\"2\"{dashes}/>\n{}",
            LEFT + 26.0,
            line.style.marker_at(LEFT + 13.0, at),
        );
        for (row, text) in name.iter().enumerate() {
            let (y, text) = (at + 4.0 + MORE * row as f64, escaped(text));
            let _ = writeln!(svg, "<text x=\"{NAMES}\" y=\"{y}\">{text}</text>");
        }
        at += rows(name);
    }
    Some(svg + "</svg>\n")
}

/// Medians joined, and at each the least and the most as a thin line.
fn draw_line(svg: &mut String, line: &Line<'_>, x: impl Fn(f64) -> f64, y: impl Fn(f64) -> f64) {
    let (colour, dashes) = (line.style.colour, line.style.dashes());
    let path: Vec<_> =
        line.points.iter().map(|(size, [it, ..])| format!("{:.1},{:.1}", x(*size), y(*it))).collect();
    let path = path.join(" ");
    let _ = writeln!(
        svg,
        "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"{dashes} points=\"{path}\"/>"
    );
    for &(size, [median, least, most]) in &line.points {
        let (at, middle, low, high) = (x(size), y(median), y(least), y(most));
        let _ = write!(
            svg,
            "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{low:.1}\" y2=\"{high:.1}\" stroke=\"{colour}\"/>\n{}",
            line.style.marker_at(at, middle),
        );
    }
}

impl Style {
    /// Of so many figures before it. Those of two figures differ until all colours had all markers, and a figure's from the bare
    /// client's beside it.
    fn new(before: usize, is_bare: bool) -> Self {
        Self {
            colour: COLOURS[before % COLOURS.len()],
            marker: MARKERS[before / COLOURS.len() % MARKERS.len()],
            is_dashed: is_bare,
        }
    }

    fn dashes(self) -> &'static str {
        if self.is_dashed { " stroke-dasharray=\"5 4\"" } else { "" }
    }

    fn marker_at(self, x: f64, y: f64) -> String {
        let Self { colour, .. } = self;
        let corners: &[(f64, f64)] = match self.marker {
            Marker::Dot => {
                return format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>\n");
            }
            Marker::Square => &[(-5.0, -5.0), (5.0, -5.0), (5.0, 5.0), (-5.0, 5.0)],
            Marker::Triangle => &[(0.0, -6.0), (6.0, 5.0), (-6.0, 5.0)],
            Marker::Diamond => &[(0.0, -7.0), (7.0, 0.0), (0.0, 7.0), (-7.0, 0.0)],
        };
        let corners: Vec<_> =
            corners.iter().map(|(right, down)| format!("{:.1},{:.1}", x + right, y + down)).collect();
        let corners = corners.join(" ");
        // Not filled, so that a dot of the same colour is something else from afar.
        format!("<polygon points=\"{corners}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n")
    }
}

/// Text in an element or an attribute. Backticks are for Markdown.
fn escaped(text: &str) -> String {
    text.replace('`', "")
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::Figure;
    use super::super::lines::LETTER;
    use super::super::side_by_side::tests::{example, of_two_sizes};
    use super::*;

    #[test]
    fn a_scenario_gets_a_plot_for_each_kind_with_its_axes_and_lines_named() {
        let plots = plots(&example());
        let [plot] = &plots[..] else { panic!("{}", plots.len()) };
        assert_eq!(plot.file, "zookeeper-example-time.svg");
        for part in
            ["How &lt;long&gt;?: time", ">instances<", ">100<", ">10,000<", ">10 µs<", ">100 ms<", ">ours<"]
        {
            assert!(plot.svg.contains(part), "{part}: {}", plot.svg);
        }
        // A line for each figure, and one of them is dashed, there and where it is named.
        assert_eq!(plot.svg.matches("<polyline").count(), 3);
        assert_eq!(plot.svg.matches("stroke-dasharray").count(), 2);
        assert!(!plot.svg.contains("NaN") && !plot.svg.contains("inf"), "{}", plot.svg);
    }

    #[test]
    fn nothing_is_drawn_of_one_size_or_of_what_is_not_above_zero() {
        let line = |points| Line { name: "a", style: Style::new(0, false), points };
        assert_eq!(draw("a", "instances", Kind::Time, &[line(vec![(100.0, [1.0; 3])])]), None);
        assert_eq!(draw("a", "instances", Kind::Time, &[]), None);
        assert!(
            draw("a", "instances", Kind::Count, &[line(vec![(100.0, [1.0; 3]), (1e3, [1.0; 3])])]).is_some()
        );
    }

    #[test]
    fn what_is_not_above_zero_is_told_where_it_is_not_drawn() {
        let figures = || {
            let figure = |what: &str, value| Figure { values: vec![value], ..Figure::new(what, "ms") };
            vec![figure("some", 1.0), figure("before", -1.0)]
        };
        let example = of_two_sizes("instances", figures);
        let [plot] = &plots(&example)[..] else { panic!("not one plot") };
        assert_eq!(plot.left_out, ["before, 100 instances", "before, 10,000 instances"]);
        assert!(plot.svg.contains(">some<") && !plot.svg.contains(">before<"), "{}", plot.svg);
    }

    #[test]
    fn no_name_is_wider_than_the_plot_and_none_lies_on_another() {
        let long = "server down past the timeout: from then until every process knows all of its own to be registered, and both lists \
                    are known to be whole";
        let figures = || {
            let figure = |what: &str| Figure { values: vec![1.0], ..Figure::new(what, "ms") };
            vec![figure(long), figure("short"), figure(&format!("{long} and {long}"))]
        };
        let example = of_two_sizes("instances", figures);
        let [plot] = &plots(&example)[..] else { panic!("not one plot") };
        let number = |line: &str, name: &str| -> Option<f64> {
            line.split_once(&format!(" {name}=\""))?.1.split_once('"')?.0.parse().ok()
        };
        let height = number(plot.svg.lines().next().unwrap(), "height").unwrap();
        let (mut words, mut rows) = (Vec::new(), Vec::new());
        for line in
            plot.svg.lines().filter(|line| line.starts_with("<text ") && !line.contains("text-anchor"))
        {
            let (x, y) = (number(line, "x").unwrap(), number(line, "y").unwrap());
            let text = line.split_once('>').unwrap().1.strip_suffix("</text>").unwrap();
            // The widest letters of such sentences are narrower on the average.
            assert!(x + text.chars().count() as f64 * LETTER <= WIDTH - RIGHT, "{text}");
            assert!(y < height, "{text} is below {height}");
            words.push(text.to_owned());
            rows.push(y);
        }
        assert!(rows.windows(2).all(|pair| pair[1] - pair[0] >= 12.0), "{rows:?}");
        assert_eq!(words[1..].join(" "), format!("{long} short {long} and {long}"));
    }

    #[test]
    fn nothing_that_is_drawn_is_fainter_than_its_colour() {
        let plots = plots(&example());
        let drawn = plots[0].svg.split_once("</style>").unwrap().1;
        assert!(drawn.contains("stroke=") && !drawn.contains("opacity"), "{drawn}");
    }

    #[test]
    fn every_colour_is_seen_on_white_and_on_a_dark_page() {
        let part = |colour: &str, at: usize| {
            let part = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
            if part <= 0.03928 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        };
        let light = |colour| 0.2126 * part(colour, 1) + 0.7152 * part(colour, 3) + 0.0722 * part(colour, 5);
        let contrast = |a, b| {
            let (a, b) = (light(a), light(b));
            (a.max(b) + 0.05) / (a.min(b) + 0.05)
        };
        for colour in COLOURS {
            for page in ["#ffffff", "#0d1117"] {
                assert!(contrast(colour, page) >= 3.0, "{colour} on {page}: {}", contrast(colour, page));
            }
        }
    }

    #[test]
    fn no_two_lines_of_a_plot_look_the_same() {
        let figures: Vec<_> = (0..32).map(|number| Figure::new(number.to_string(), "ms")).collect();
        let pairs = figures.into_iter().flat_map(|figure| {
            let bare = Figure::new(format!("bare {}", figure.what), "ms").bare();
            [figure.beside(bare.what.clone()), bare]
        });
        let figures: Vec<_> = pairs.map(|figure| Figure { values: vec![1.0], ..figure }).collect();
        let example = of_two_sizes("changes", || figures.iter().map(copy).collect());
        let (lines, _) = lines(&example, Kind::Time);
        assert_eq!(lines.len(), 64);
        for (index, line) in lines.iter().enumerate() {
            let same = lines[..index].iter().find(|before| before.style == line.style);
            assert!(same.is_none(), "{} looks like {}", line.name, same.map_or("", |same| same.name));
        }
        // Nor do they where they are drawn and named.
        let drawn = |style: Style| format!("{}{}{}", style.colour, style.dashes(), style.marker_at(0.0, 0.0));
        let drawn: BTreeSet<_> = lines.iter().map(|line| drawn(line.style)).collect();
        assert_eq!(drawn.len(), 64);
        let [plot] = &plots(&example)[..] else { panic!("not one plot") };
        for shape in ["<circle", "<polygon"] {
            let each = if shape == "<circle" { 16 } else { 48 };
            assert_eq!(plot.svg.matches(shape).count(), each * 3, "{shape}: two values each, and the name");
        }
        assert!(plot.svg.contains(">changes<") && !plot.svg.contains(">instances<"), "{}", plot.svg);
    }

    #[test]
    fn what_is_dashed_is_said_by_the_figure_and_not_by_its_name() {
        let figures = || {
            let figure = |what: &str| Figure { values: vec![1.0], ..Figure::new(what, "ms") };
            vec![figure("new ids: bare client").bare(), figure("bare client in name")]
        };
        let example = of_two_sizes("instances", figures);
        let dashed: Vec<_> = lines(&example, Kind::Time)
            .0
            .iter()
            .map(|line| (line.name.to_owned(), line.style.is_dashed))
            .collect();
        assert_eq!(
            dashed,
            [("new ids: bare client".to_owned(), true), ("bare client in name".to_owned(), false)]
        );
    }

    /// A copy of a figure; scenarios have no use for one.
    fn copy(figure: &Figure) -> Figure {
        let (what, beside) = (figure.what.clone(), figure.beside.clone());
        Figure {
            values: figure.values.clone(),
            beside,
            is_bare: figure.is_bare,
            ..Figure::new(what, figure.unit)
        }
    }

    #[test]
    fn words_cannot_become_markup() {
        assert_eq!(escaped("`a` <b> & \"c\""), "a &lt;b&gt; &amp; &quot;c&quot;");
    }
}
