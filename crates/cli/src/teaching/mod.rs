//! What a program teaches shells and readers about itself.

mod manual;
mod sections;

use std::fs::{create_dir_all, write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Command, Subcommand};
use clap_complete::{Shell, generate};

use self::manual::pages;
use self::sections::{Kind, sections};
use crate::ending::Usage;
use crate::output::print;

/// What every program of ours can be asked about itself.
#[derive(Debug, Subcommand)]
pub enum Teach {
    /// Print completions for a shell, which then completes commands and flags
    #[command(after_help = COMPLETIONS)]
    Completions(Completions),
    /// Print a manual page, or write all of them into a folder
    #[command(after_help = MANUAL)]
    Man(Manual),
}

const COMPLETIONS: &str = "\
Examples; for one shell after the other, of which each reads it when it starts the next time:
  mkdir -p ~/.local/share/bash-completion/completions ~/.local/share/zsh/site-functions ~/.config/fish/completions
  demo completions bash > ~/.local/share/bash-completion/completions/demo
  demo completions zsh > ~/.local/share/zsh/site-functions/_demo      # with that folder in $fpath
  demo completions fish > ~/.config/fish/completions/demo.fish
  gateway completions bash > ~/.local/share/bash-completion/completions/gateway

Exit codes: 0 printed, 2 not understood.";

const MANUAL: &str = "\
Examples:
  demo man | man -l -              the page of the program
  demo man nodes | man -l -        that of one command
  demo man --to ~/.local/share/man/man1    all of them, for `man demo` and `man demo-nodes`
  gateway man --to ~/.local/share/man/man1

Exit codes: 0 printed or written, 1 the folder cannot be written, 2 not understood.";

/// Which completions.
#[derive(Args, Debug)]
#[group(skip)]
pub struct Completions {
    /// The shell
    shell: Shell,
}

/// Which pages.
#[derive(Args, Debug)]
#[group(skip)]
pub struct Manual {
    /// The command whose page to print; that of the program unless told
    command: Vec<String>,

    /// Write the pages of the program and of all its commands into this folder, which is made where it is missing
    #[arg(long, value_name = "FOLDER", conflicts_with = "command")]
    to: Option<PathBuf>,
}

impl Teach {
    /// Prints what was asked for, about `program`.
    ///
    /// # Errors
    ///
    /// When there is no such command, or something cannot be written.
    pub fn run(&self, program: Command) -> anyhow::Result<ExitCode> {
        match self {
            Self::Completions(Completions { shell }) => print(completions(*shell, program)?.trim_end())?,
            Self::Man(Manual { to: Some(folder), .. }) => write_all(&program, folder)?,
            Self::Man(Manual { command, to: None }) => print(page(&program, command)?.trim_end())?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn completions(shell: Shell, mut program: Command) -> anyhow::Result<String> {
    let name = program.get_name().to_owned();
    let mut script = Vec::new();
    generate(shell, &mut program, name, &mut script);
    String::from_utf8(script).context("the completions are no text")
}

/// The page of one command.
fn page(program: &Command, command: &[String]) -> anyhow::Result<String> {
    let name = [&[program.get_name().to_owned()], command].concat().join("-");
    let mut all = pages(program)?;
    match all.iter().position(|(page, _)| *page == name) {
        Some(at) => Ok(all.swap_remove(at).1),
        None => {
            let prefix = format!("{}-", program.get_name());
            let has_page = |name: &String| {
                let page = format!("{prefix}{}", name.replace(' ', "-"));
                all.iter().any(|(there, _)| *there == page)
            };
            let mut known = Vec::new();
            add_names(program, "", &mut known);
            known.retain(has_page);
            let (asked, known) = (command.join(" "), known.join(", "));
            Err(Usage(format!("there is no command {asked:?}; accepted: none, or one of {known}")).into())
        }
    }
}

/// The names of all commands below this one, as they are typed.
fn add_names(command: &Command, above: &str, names: &mut Vec<String>) {
    for below in command.get_subcommands() {
        let name = format!("{above}{}", below.get_name());
        add_names(below, &format!("{name} "), names);
        names.push(name);
    }
}

fn write_all(program: &Command, folder: &Path) -> anyhow::Result<()> {
    create_dir_all(folder).with_context(|| format!("--to {}: cannot make the folder", folder.display()))?;
    for (name, text) in pages(program)? {
        let path = folder.join(format!("{name}.1"));
        write(&path, text).with_context(|| format!("--to: cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Which commands of a program do not teach by an example, or do not say what they end with; for tests.
pub fn without_lessons(program: &Command) -> Vec<String> {
    let mut program = program.clone();
    program.build();
    let mut without = Vec::new();
    look(&program, &mut without);
    without
}

fn look(command: &Command, without: &mut Vec<String>) {
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    for (kind, lesson) in [(Kind::Examples, "an example"), (Kind::ExitStatus, "its exit codes")] {
        if !sections(&help).iter().any(|section| section.kind == kind) {
            without.push(format!("{}: {lesson}", command.get_bin_name().unwrap_or_default()));
        }
    }
    let shown = command.get_subcommands().filter(|it| !it.is_hide_set() && it.get_name() != "help");
    shown.for_each(|it| look(it, without));
}

#[cfg(test)]
mod tests {
    use clap::{Arg, Parser};

    use super::*;

    #[derive(Debug, Parser)]
    #[command(
        name = "prog",
        version = "1.2",
        about = "A program",
        after_help = "Example:\n  prog a\n\nExit codes: 0 always."
    )]
    struct Program {
        #[command(subcommand)]
        command: Which,
    }

    #[derive(Debug, Subcommand)]
    enum Which {
        /// A command
        #[command(after_help = "Example:\n  prog sub --flag x")]
        Sub {
            /// A flag
            #[arg(long)]
            flag: String,
        },
        #[command(flatten)]
        Teach(Teach),
    }

    fn program() -> Command {
        use clap::CommandFactory;
        Program::command()
    }

    #[test]
    fn every_shell_gets_completions() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::Elvish, Shell::PowerShell] {
            let script = completions(shell, program()).unwrap();
            assert!(script.contains("sub") && script.contains("flag"), "{shell}: {script}");
        }
    }

    #[test]
    fn a_page_is_found_by_its_command_and_an_unknown_one_is_told_with_those_there_are() {
        let text = page(&program(), &["sub".to_owned()]).unwrap();
        assert!(text.contains(".TH prog-sub 1") && text.contains("prog sub \\-\\-flag x"), "{text}");
        let refused = page(&program(), &["sup".to_owned()]).unwrap_err();
        assert!(refused.is::<Usage>());
        assert_eq!(
            refused.to_string(),
            "there is no command \"sup\"; accepted: none, or one of sub, completions, man"
        );
    }

    #[test]
    fn all_pages_go_into_a_folder_that_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("man/man1");
        write_all(&program(), &to).unwrap();
        let mut files: Vec<_> = std::fs::read_dir(&to)
            .unwrap()
            .map(|it| it.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        assert_eq!(files, ["prog-completions.1", "prog-man.1", "prog-sub.1", "prog.1"]);
        let file = to.join("prog.1");
        let refused = write_all(&program(), &file).unwrap_err();
        assert!(
            refused.to_string().contains("--to /") && refused.to_string().contains("prog.1"),
            "{refused}"
        );
    }

    #[test]
    fn a_command_that_teaches_nothing_is_found() {
        assert_eq!(without_lessons(&program()), ["prog sub: its exit codes"]);
        let silent = Command::new("prog").arg(Arg::new("a"));
        assert_eq!(without_lessons(&silent).len(), 2);
    }
}
