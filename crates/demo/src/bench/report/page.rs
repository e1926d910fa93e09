//! The page of a run, with its plots.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use jiff::Timestamp;

use super::machine;
use super::number::rounds;
use super::plot::{PLOTS, plots};
use super::side_by_side::{SideBySide, verdict};

const PAGE: &str = "zookeeper.md";

/// How the figures of a page came about.
pub(crate) struct Circumstances<'a> {
    pub(crate) began: Timestamp,
    /// Of which commit the code was then, where that is known.
    pub(crate) commit: Option<String>,
    /// What was asked for, if that was not all of it.
    pub(crate) part: Option<String>,
    /// What could not be measured, and why.
    pub(crate) failed: &'a [String],
}

/// Writes the page into a folder, and tells where it is. Plots of an earlier one that it does not have are deleted. It says at its head
/// if it is not whole.
pub(crate) fn write(done: &[SideBySide], of: &Circumstances<'_>, folder: &Path) -> anyhow::Result<PathBuf> {
    let mut files = vec![(PAGE.to_owned(), page(done, of))];
    files.extend(done.iter().flat_map(plots).map(|plot| (plot.file, plot.svg)));
    for stale in plots_in(folder)?.into_iter().filter(|name| files.iter().all(|(file, _)| file != name)) {
        let path = folder.join(stale);
        fs::remove_file(&path).with_context(|| format!("cannot delete {}", path.display()))?;
    }
    for (name, text) in files {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(folder.join(PAGE))
}

/// The plots of such pages in a folder, by their names.
fn plots_in(folder: &Path) -> anyhow::Result<Vec<String>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot write to {}", folder.display()))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(names.filter(|name| name.starts_with(PLOTS) && name.ends_with(".svg")).collect())
}

fn page(done: &[SideBySide], of: &Circumstances<'_>) -> String {
    let server = done.first().map_or("", SideBySide::server);
    let missed = verdict(done).replace("\n  ", "\n- ").replacen(":\n", ":\n\n", 1);
    let mut incomplete = String::new();
    if let Some(part) = &of.part {
        incomplete += &format!("**Not all of it: this is what `demo bench {part}` measures.**\n\n");
    }
    if !of.failed.is_empty() {
        let failed: Vec<_> = of.failed.iter().map(|why| format!("`{why}`")).collect();
        incomplete += &format!(
            "**Not all of it: what is not here was not measured, because something failed** ({}).\n\n",
            failed.join("; ")
        );
    }
    let mut text = format!(
        "# Beside ZooKeeper\n\n{incomplete}\
         Written by `demo bench`; `demo bench --help` tells how to repeat one of these, on servers of yours or at other sizes. \
         Where a figure has one of the bare client, which ours stands on, and their ratio directly below it, the bare client did the same \
         work in the same round; all other figures stand alone. Absolute figures depend on the machine, which the server \
         shares, and on what else it does: judged are ratios within one round, counts, and a few times and sizes. What was promised is in [the table of targets](../benchmarks.md#what-was-to-be-reached); all other limits are our own. \
         Shown is the median of all rounds, with the least and the most; a ratio is the median of the rounds' ratios, which is not the ratio of the medians above it; and a single value where a section says that it had one round; a round before them is not counted.\n\n\
         - Measured: {}\n{}- Machine: {}\n- Server: {server}\n- Clients: {}\n\n{missed}\n",
        of.began.strftime("%Y-%m-%d, from %H:%M UTC"),
        of.commit.as_ref().map(|commit| format!("- Commit: {commit}\n")).unwrap_or_default(),
        measured::machine(),
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
        if !plot.left_out.is_empty() {
            text += &format!("\nNot in this plot, whose axis has no zero: {}.\n", plot.left_out.join("; "));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::side_by_side::tests::example;
    use super::*;

    fn whole() -> Circumstances<'static> {
        let began = Timestamp::from_second(1_800_000_000).unwrap();
        Circumstances { began, commit: None, part: None, failed: &[] }
    }

    #[test]
    fn a_page_has_a_section_with_tables_and_plots_for_each_scenario() {
        let page = page(&[example(), example()], &whole());
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
        assert!(page.contains("\n- Measured: 2027-01-15, from 08:00 UTC\n"), "{page}");
    }

    #[test]
    fn a_page_says_from_which_commit_it_is_where_that_is_known() {
        let of = Circumstances { commit: Some("0123456789ab, with changes".to_owned()), ..whole() };
        let known = page(&[example()], &of);
        assert!(known.contains(" UTC\n- Commit: 0123456789ab, with changes\n- Machine: "), "{known}");
        let unknown = page(&[example()], &whole());
        assert!(unknown.contains(" UTC\n- Machine: ") && !unknown.contains("ommit"), "{unknown}");
    }

    #[test]
    fn every_plot_of_the_page_is_written() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("zookeeper-gone-time.svg", "stale"), ("pick-time.svg", "another's")] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let page = write(&[example()], &whole(), folder.path()).unwrap();
        assert_eq!(page, folder.path().join(PAGE));
        assert!(
            fs::read_to_string(folder.path().join("zookeeper-example-time.svg"))
                .unwrap()
                .ends_with("</svg>\n")
        );
        assert!(!folder.path().join("zookeeper-gone-time.svg").exists());
        assert!(folder.path().join("pick-time.svg").exists());
        let missing = write(&[example()], &whole(), &folder.path().join("missing")).unwrap_err().to_string();
        assert!(missing.starts_with("cannot write "), "{missing}");
    }

    #[test]
    fn a_page_that_is_not_whole_says_so_and_why() {
        let failed = ["cannot measure a".to_owned(), "cannot measure b".to_owned()];
        let of = Circumstances { part: Some("register --rounds 1".to_owned()), failed: &failed, ..whole() };
        let page = page(&[example()], &of);
        assert!(
            page.contains("**Not all of it: this is what `demo bench register --rounds 1` measures.**"),
            "{page}"
        );
        assert!(page.contains("something failed** (`cannot measure a`; `cannot measure b`)"), "{page}");
    }
}
