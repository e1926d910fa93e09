//! The page of a run, with its plots.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::machine;
use super::number::rounds;
use super::plot::plots;
use super::side_by_side::{SideBySide, verdict};

const PAGE: &str = "zookeeper.md";

/// Writes the page into a folder, and tells where it is. It says at its head what failed, if it is not whole.
pub(crate) fn write(done: &[SideBySide], failed: Option<&str>, folder: &Path) -> anyhow::Result<PathBuf> {
    let mut files = vec![(PAGE.to_owned(), page(done, failed))];
    files.extend(done.iter().flat_map(plots).map(|plot| (plot.file, plot.svg)));
    for (name, text) in files {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(folder.join(PAGE))
}

fn page(done: &[SideBySide], failed: Option<&str>) -> String {
    let server = done.first().map_or("", SideBySide::server);
    let missed = verdict(done).replace("\n  ", "\n- ").replacen(":\n", ":\n\n", 1);
    let incomplete = failed.map_or_else(String::new, |why| {
        format!(
            "**Not all of it: what is not here was not measured, because something failed** (`{why}`).\n\n"
        )
    });
    let mut text = format!(
        "# Beside ZooKeeper\n\n{incomplete}\
         Written by `demo bench`; `demo bench --help` tells how to repeat one of these, on servers of yours or at other sizes. \
         Where a figure has one of the bare client, which ours stands on, and their ratio directly below it, the bare client did the same \
         work in the same round; all other figures stand alone. Absolute figures depend on the machine, which the server \
         shares, and on what else it does: judged are ratios within one round, counts, and a few times and sizes that were promised. \
         Shown is the median of all rounds, with the least and the most; a round before them is not counted.\n\n\
         - Machine: {}\n- Server: {server}\n- Clients: {}\n\n{missed}\n",
        machine::machine(),
        machine::clients(),
    );
    for scenario in done {
        text += &section(scenario);
    }
    text
}

fn section(of: &SideBySide) -> String {
    let mut text = format!(
        "\n## {}\n\n{}\n\n{}; `demo bench {}` repeats it.\n\n{}",
        of.title(),
        of.about(),
        rounds(of.rounds()),
        of.name(),
        of.measured().markdown()
    );
    let judged = of.judged();
    if !judged.is_empty() {
        text += &format!("\n{}", judged.markdown());
    }
    for plot in plots(of) {
        text += &format!("\n![{}]({})\n", plot.title.replace(['[', ']', '\n'], " "), plot.file);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::side_by_side::tests::example;
    use super::*;

    #[test]
    fn a_page_has_a_section_with_tables_and_plots_for_each_scenario() {
        let page = page(&[example(), example()], None);
        let section = "
## How <long>?

What & how.

3 rounds; `demo bench example` repeats it.

| median (least..most) | 100 instances | 10,000 instances |
| --- | ---: | ---: |
| ours | 20 µs (10..30) | 40,000 µs |
| &emsp;bare client | 10 µs | 10,000 µs |
| &emsp;ratio | 2 (1..3) | 4 |
| large alone |  | 3 µs |

| judged, by medians unless said otherwise | 100 instances | 10,000 instances |
| --- | ---: | ---: |
| ours / bare client | 2 ≤ 2.50 | **4 > 2.50** |

![How <long>?: time](zookeeper-example-time.svg)
";
        assert_eq!(page.matches(section).count(), 2, "{page}");
        assert!(!page.contains("Not all of it"), "{page}");
        assert!(page.contains("2 MISSED it:\n\n- example, 10,000 instances: "), "{page}");
    }

    #[test]
    fn every_plot_of_the_page_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let page = write(&[example()], None, folder.path()).unwrap();
        assert_eq!(page, folder.path().join(PAGE));
        assert!(
            fs::read_to_string(folder.path().join("zookeeper-example-time.svg"))
                .unwrap()
                .ends_with("</svg>\n")
        );
        let missing = write(&[example()], None, &folder.path().join("missing")).unwrap_err().to_string();
        assert!(missing.starts_with("cannot write "), "{missing}");
    }
}
