//! Whether a program understands what pages tell people to type.

use std::path::Path;

use anyhow::Context;
use clap::Command;
use clap::error::ErrorKind;

use crate::page::{Page, Pages};
use crate::shell::{after, commands};

/// What is written down once, and stays.
const HISTORY: &str = "CHANGELOG.md";

/// The command lines of a program in the pages of this checkout that it would refuse, each with its place; for tests of programs, which alone
/// know their flags.
///
/// A line that is to be typed has to be understood as it is. Where a command is only mentioned, `demo nodes --service`, values may be
/// missing, but its words have to be there.
///
/// # Errors
///
/// When the pages cannot be read, or have no line of this program, so that nothing would be tested.
pub fn misunderstood(program: &Command) -> anyhow::Result<Vec<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let pages = Pages::read(&root).with_context(|| format!("cannot read the pages in {}", root.display()))?;
    let name = program.get_name();
    let mut lines = 0;
    let mut refused = Vec::new();
    for (path, page) in pages.iter().filter(|(path, _)| *path != Path::new(HISTORY)) {
        for line in lines_of(page) {
            for words in commands(line.text).iter().filter_map(|command| of(command, name)) {
                lines += 1;
                let Some(why) = refusal(program, &words, line.to_be_typed) else { continue };
                refused.push(format!("{}:{}: {}: {why}", path.display(), line.line, words.join(" ")));
            }
        }
    }
    anyhow::ensure!(lines > 0, "no page has a line of {name}");
    Ok(refused)
}

/// Something that could be a command.
struct Line<'a> {
    line: usize,
    text: &'a str,
    to_be_typed: bool,
}

fn lines_of(page: &Page) -> Vec<Line<'_>> {
    let typed = page.typed().map(|(line, text)| Line { line, text, to_be_typed: true });
    let mentioned = page.codes.iter().filter(|(_, text)| !text.contains('…'));
    let mentioned = mentioned.map(|(line, text)| Line { line: *line, text, to_be_typed: false });
    typed.chain(mentioned).collect()
}

/// The words of a command, if it runs this program: by its name, by Cargo, or in a container.
fn of(command: &[String], program: &str) -> Option<Vec<String>> {
    let rest = match command {
        [first, rest @ ..] if Path::new(first).file_name().is_some_and(|file| file == program) => rest,
        [cargo, run, ..] if cargo == "cargo" && run == "run" && after(command, "-p") == Some(program) => {
            let end = command.iter().position(|word| word == "--").map_or(command.len(), |at| at + 1);
            &command[end..]
        }
        [docker, ..] if docker.starts_with("docker") => {
            let at = command.iter().position(|word| word == "exec")?;
            // Behind the name of the service.
            return of(command.get(at + 2..)?, program);
        }
        _ => return None,
    };
    Some([&[program.to_owned()], rest].concat())
}

/// Why a program would not do it.
fn refusal(program: &Command, words: &[String], to_be_typed: bool) -> Option<String> {
    let error = program.clone().try_get_matches_from(words).err()?;
    let is_refused = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => false,
        ErrorKind::UnknownArgument | ErrorKind::InvalidSubcommand => true,
        _ => to_be_typed,
    };
    is_refused.then(|| error.to_string().lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use clap::{Arg, value_parser};

    use super::*;

    fn refusals(text: &str) -> Vec<String> {
        let weight = Arg::new("weight").long("weight").value_parser(value_parser!(u32)).required(true);
        let program = Command::new("prog").subcommand(Command::new("serve").arg(weight));
        let page = Page::parse(text);
        let mut refused = Vec::new();
        for line in lines_of(&page) {
            for words in commands(line.text).iter().filter_map(|command| of(command, "prog")) {
                refused.extend(refusal(&program, &words, line.to_be_typed));
            }
        }
        refused
    }

    #[test]
    fn what_a_program_would_refuse_is_found_however_it_is_run() {
        let refused = "error: unexpected argument '--wait' found";
        for line in [
            "prog serve --wait",
            "A=b target/debug/prog serve --wait | less",
            "cargo run -q -p prog -- serve --wait &",
            "docker compose -f x.yaml exec one prog serve --wait",
        ] {
            assert_eq!(refusals(&format!("```console\n$ {line}\n```\n")), [refused], "{line}");
            assert_eq!(refusals(&format!("See `{line}`.\n")), [refused], "{line}");
        }
    }

    #[test]
    fn what_is_to_be_typed_is_whole_and_what_is_mentioned_need_not_be() {
        for line in ["prog serve", "prog serve --weight", "prog serve --weight many"] {
            assert_eq!(refusals(&format!("```console\n$ {line}\n```\n")).len(), 1, "{line}");
            assert_eq!(refusals(&format!("See `{line}`.\n")), Vec::<String>::new(), "{line}");
        }
        for line in
            ["prog serve --weight 3 # a remark", "prog --help", "other serve --wait", "echo prog serve"]
        {
            assert_eq!(refusals(&format!("```console\n$ {line}\n```\n")), Vec::<String>::new(), "{line}");
        }
    }
}
