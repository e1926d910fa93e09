//! Times by the number of instances, drawn. Colours are of a middle tone, and words take the reader's light or dark.

use std::fmt::Write as _;

use super::Report;
use super::table::time;
use crate::cases::FAMILIES;
use crate::ours::{CHOOSE, FIXED, GUARD, OWNED};

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 190.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 44.0;

const COLOURS: [&str; 9] =
    ["#2f81f7", "#57a64a", "#a371f7", "#8b949e", "#d29922", "#db6d28", "#e5534b", "#c96198", "#2aa5a0"];

/// One line: its name, and nanoseconds by numbers of instances.
struct Line {
    name: String,
    points: Vec<(f64, f64)>,
}

/// The files of a run, by name.
pub(super) fn plots(report: &Report) -> Vec<(String, String)> {
    let mut plots = Vec::new();
    for family in FAMILIES {
        // The last of the weights: mixed ones, where they count.
        let Some(weights) = family.weights.last() else { continue };
        let outcomes: Vec<_> = report.outcomes.iter().collect();
        let of_family = outcomes.into_iter().filter(|it| it.of.family == family.name && it.of.threads == 1);
        let of_family: Vec<_> = of_family.filter(|it| it.of.weights == *weights).collect();
        let mut lines: Vec<Line> = Vec::new();
        for outcome in &of_family {
            let shown = |name: &str| {
                [FIXED, CHOOSE, GUARD, OWNED].contains(&name)
                    || !name.contains("::") && !name.starts_with(FIXED)
            };
            for time in outcome.times.iter().filter(|it| shown(it.of)) {
                add(&mut lines, time.of, outcome.of.many, time.nanos);
            }
        }
        let title = format!("{}: a pick on one thread, {} weights", family.name, weights.as_str());
        plots.extend(draw(&title, &lines).map(|plot| (file(family.name), plot)));
    }
    let mut lines = Vec::new();
    for rebuild in report.rebuilds.iter().filter(|it| it.weights == crate::list::Weights::Mixed) {
        add(&mut lines, rebuild.family, rebuild.many, rebuild.nanos);
        if let Some(beside) = &rebuild.beside {
            add(&mut lines, beside.peer, rebuild.many, beside.nanos);
        }
    }
    plots.extend(draw("Preparing for a list, mixed weights", &lines).map(|plot| (file("A new list"), plot)));
    plots
}

/// What the plot of a section is called.
pub(super) fn file(title: &str) -> String {
    format!("pick-{}.svg", title.to_lowercase().replace(' ', "-"))
}

fn add(lines: &mut Vec<Line>, name: &str, many: usize, nanos: f64) {
    let point = (many as f64, nanos);
    match lines.iter_mut().find(|line| line.name == name) {
        Some(line) => line.points.push(point),
        None => lines.push(Line { name: name.to_owned(), points: vec![point] }),
    }
}

/// A plot with both axes by powers of ten; none of fewer than two numbers of instances.
fn draw(title: &str, lines: &[Line]) -> Option<String> {
    let points = || lines.iter().flat_map(|line| &line.points);
    let range = |of: fn(&(f64, f64)) -> f64| {
        let low = points().map(of).fold(f64::INFINITY, f64::min);
        (low, points().map(of).fold(0.0, f64::max))
    };
    let ((least, most), (fast, slow)) = (range(|it| it.0), range(|it| it.1));
    if least >= most {
        return None;
    }
    let (bottom, top) = (fast.log10().floor(), slow.log10().ceil());
    let x = |many: f64| LEFT + (many / least).ln() / (most / least).ln() * (WIDTH - LEFT - RIGHT);
    let y = |nanos: f64| {
        HEIGHT - BOTTOM - (nanos.log10() - bottom) / (top - bottom).max(1.0) * (HEIGHT - TOP - BOTTOM)
    };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         role=\"img\" aria-label=\"{title}\">\n<style>\nsvg {{ background: #ffffff; }}\ntext {{ font: 12px system-ui, sans-serif; fill: #1f2328; }}\n.title {{ font-weight: bold; }}\n\
         .grid {{ stroke: #8b949e; stroke-opacity: 0.35; }}\n\
         @media (prefers-color-scheme: dark) {{ svg {{ background: #0d1117; }} text {{ fill: #e6edf3; }} }}\n</style>\n\
         <text x=\"{LEFT}\" y=\"22\" class=\"title\">{title}</text>\n"
    );
    let (right, floor) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    for power in bottom as i32..=top as i32 {
        let (nanos, at) = (10f64.powi(power), y(10f64.powi(power)));
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\n\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n",
            LEFT - 8.0,
            at + 4.0,
            round(nanos),
        );
    }
    let mut sizes: Vec<_> = points().map(|it| it.0).collect();
    sizes.sort_by(f64::total_cmp);
    sizes.dedup();
    for many in sizes {
        let at = x(many);
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{floor}\"/>\n\
             <text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{many}</text>\n",
            floor + 18.0,
        );
    }
    let _ = writeln!(svg, "<text x=\"{right}\" y=\"{}\" text-anchor=\"end\">instances</text>", floor + 36.0);
    for (number, line) in lines.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        let dashes = if line.name.starts_with("floor") { " stroke-dasharray=\"5 4\"" } else { "" };
        let path: Vec<_> =
            line.points.iter().map(|(many, nanos)| format!("{:.1},{:.1}", x(*many), y(*nanos))).collect();
        let _ = writeln!(
            svg,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"{dashes} points=\"{}\"/>",
            path.join(" ")
        );
        for point in &path {
            let (cx, cy) = point.split_once(',').unwrap_or_default();
            let _ = writeln!(svg, "<circle cx=\"{cx}\" cy=\"{cy}\" r=\"3\" fill=\"{colour}\"/>");
        }
        let at = TOP + 8.0 + 20.0 * number as f64;
        let from = right + 16.0;
        let _ = write!(
            svg,
            "<line x1=\"{from}\" x2=\"{}\" y1=\"{at}\" y2=\"{at}\" stroke=\"{colour}\" stroke-width=\"2\"{dashes}/>\n\
             <text x=\"{}\" y=\"{}\">{}</text>\n",
            from + 22.0,
            from + 28.0,
            at + 4.0,
            line.name,
        );
    }
    Some(svg + "</svg>\n")
}

/// A power of ten.
fn round(nanos: f64) -> String {
    time(nanos).replace(".00", "").replace(".0", "")
}
