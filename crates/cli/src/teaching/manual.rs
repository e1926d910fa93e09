//! Manual pages, made of the flags and of what stands behind them in the help.

use std::io;

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use super::sections::{Kind, Section, is_indented, sections};

/// A page for the program and for each of its commands that is shown, by their names.
///
/// # Errors
///
/// None in practice: it is written into memory.
pub(super) fn pages(program: &Command) -> io::Result<Vec<(String, String)>> {
    let mut program = program.clone().disable_help_subcommand(true);
    program.build();
    let mut pages = Vec::new();
    let version = format!("{} {}", program.get_name(), program.get_version().unwrap_or_default());
    add(&program, version.trim_end(), &mut pages)?;
    Ok(pages)
}

fn add(command: &Command, version: &str, pages: &mut Vec<(String, String)>) -> io::Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let page = page(&name, version, command)?;
    pages.push((name, page));
    for subcommand in command.get_subcommands().filter(|it| !it.is_hide_set()) {
        add(subcommand, version, pages)?;
    }
    Ok(())
}

fn page(name: &str, version: &str, command: &Command) -> io::Result<String> {
    let man = Man::new(command.clone());
    // Not by `render_title`, which leaves out a date that is not there: what follows would be taken for it.
    let mut page = format!(".TH {name} 1 \"\" \"{version}\" Headkeeper\n").into_bytes();
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.get_subcommands().any(|it| !it.is_hide_set()) {
        man.render_subcommands_section(&mut page)?;
    }
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let mut behind = Roff::new();
    sections(&help).iter().for_each(|section| add_section(&mut behind, section));
    behind.to_writer(&mut page)?;
    String::from_utf8(page).map_err(io::Error::other)
}

fn add_section(page: &mut Roff, section: &Section<'_>) {
    let title = match section.kind {
        Kind::Examples => "EXAMPLES",
        Kind::ExitStatus => "EXIT STATUS",
        Kind::Notes => "NOTES",
    };
    page.control("SH", [title]);
    for (number, paragraph) in section.paragraphs.iter().enumerate() {
        if number > 0 {
            page.control("PP", []);
        }
        add_paragraph(page, paragraph);
    }
}

/// What is indented stays as it is, line by line.
fn add_paragraph(page: &mut Roff, paragraph: &str) {
    let mut literal = false;
    for line in paragraph.lines() {
        if is_indented(line) != literal {
            literal = !literal;
            let around: [&[&str]; 2] = if literal { [&["RS", "4"], &["nf"]] } else { [&["fi"], &["RE"]] };
            for control in around {
                page.control(control[0], control[1..].iter().copied());
            }
        }
        page.text([roman(if literal { line.strip_prefix("  ").unwrap_or(line) } else { line })]);
    }
    if literal {
        page.control("fi", []);
        page.control("RE", []);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_stay_as_they_are_and_have_a_section_of_their_own() {
        let help = "Example:\n  prog -x 'a b'\n    .deep\nand more.\n\nExit codes: 0 always.\n\nA note.";
        let program = Command::new("prog").version("1.2").about("Does it").after_help(help);
        let all = pages(&program).unwrap();
        let [(name, text)] = &all[..] else { panic!("{all:?}") };
        assert_eq!(name, "prog");
        assert!(text.starts_with(".TH prog 1 \"\" \"prog 1.2\" Headkeeper\n"), "{text}");
        let behind = &text[text.find(".SH EXAMPLES").unwrap()..];
        assert_eq!(
            behind
                .lines()
                .filter(|line| !line.starts_with(".ie") && !line.starts_with(".el"))
                .collect::<Vec<_>>(),
            [
                ".SH EXAMPLES",
                "Example:",
                ".RS 4",
                ".nf",
                "prog \\-x \\*(Aqa b\\*(Aq",
                "  .deep",
                ".fi",
                ".RE",
                "and more.",
                ".SH \"EXIT STATUS\"",
                "Exit codes: 0 always.",
                ".SH NOTES",
                "A note.",
            ]
        );
    }
}
