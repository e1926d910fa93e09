//! On what machine, and with which code, a bench measured: what the heads of all pages say that benches write.
//!
//! Nothing here fails: what this machine or git does not tell is left out.
//!
//! # Examples
//!
//! ```
//! println!("- Machine: {}", measured::machine());
//! if let Some(commit) = measured::commit(env!("CARGO_MANIFEST_DIR")) {
//!     println!("- Commit: {commit}");
//! }
//! ```

use std::fs;
use std::path::Path;
use std::process::Command;

/// Pages of benches are no code: one that was just written does not make the next one doubtful.
const NOT_PAGES: [&str; 2] = [".", ":(top,exclude)docs/bench"];

/// The processor, the kernel and the number of cores.
pub fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    format!("{cores} cores; {}; {} {}", processor(&info), std::env::consts::OS, kernel.trim())
}

/// The commit that is checked out at `source`, a folder of the code, and whether something is not as it has it. `None` where git does not
/// know: there is no repository, or no git.
///
/// Ask when the bench begins. It is what was built, if that was built then.
pub fn commit(source: &str) -> Option<String> {
    commit_by("git", Path::new(source))
}

fn commit_by(git: &str, source: &Path) -> Option<String> {
    let ask = |words: &[&str]| {
        let mut command = Command::new(git);
        // A hook of another repository would have these set for it.
        command.env_remove("GIT_DIR").env_remove("GIT_WORK_TREE").env_remove("GIT_INDEX_FILE");
        let said = command.arg("-C").arg(source).args(words).output().ok()?;
        said.status.success().then(|| String::from_utf8_lossy(&said.stdout).trim().to_owned())
    };
    let commit = ask(&["rev-parse", "--short=12", "HEAD"])?;
    let top = ask(&["rev-parse", "--show-toplevel"])?;
    let changes = ask(&[&["-C", &*top, "status", "--porcelain", "--"][..], &NOT_PAGES].concat())?;
    Some(if changes.is_empty() { commit } else { format!("{commit}, with changes") })
}

/// Its name, and of which kind it is where that is told: names alone are those of many.
fn processor(info: &str) -> String {
    let value = |name: &str| {
        let mut values = info.lines().filter_map(|line| line.split_once(':'));
        values.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim())
    };
    let kind = value("cpu family").zip(value("model"));
    let kind = kind.map(|(family, model)| format!(" family {family} model {model}"));
    format!("{}{}", value("model name").unwrap_or_default(), kind.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git(folder: &Path, words: &[&str]) {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=somebody", "-c", "user.email=", "-c", "commit.gpgsign=false"]);
        let output = command.arg("-C").arg(folder).args(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    #[test]
    fn a_commit_is_told_and_whether_something_is_not_as_it_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let (top, source) = (folder.path(), folder.path().join("crates/bench"));
        fs::create_dir_all(&source).unwrap();
        fs::create_dir_all(top.join("docs/bench")).unwrap();
        let write = |file: &str, text: &str| fs::write(top.join(file), text).unwrap();
        git(top, &["init", "--quiet"]);
        write("code", "1");
        write("docs/bench/page", "1");
        git(top, &["add", "."]);
        git(top, &["commit", "--quiet", "--message", "first"]);

        let commit = || commit_by("git", &source).unwrap();
        let clean = commit();
        assert!(clean.len() == 12 && clean.chars().all(|c| c.is_ascii_hexdigit()), "{clean}");
        write("docs/bench/page", "2");
        assert_eq!(commit(), clean, "pages are no code");
        write("code", "2");
        assert_eq!(commit(), format!("{clean}, with changes"));
        write("code", "1");
        assert_eq!(commit(), clean);
        write("more", "code that no commit has");
        assert_eq!(commit(), format!("{clean}, with changes"));
        git(top, &["add", "."]);
        git(top, &["commit", "--quiet", "--message", "second"]);
        assert_ne!(commit(), clean);
    }

    #[test]
    fn without_a_repository_or_without_git_there_is_no_commit() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(commit_by("git", folder.path()), None);
        assert_eq!(commit_by("git", &folder.path().join("missing")), None);
        assert_eq!(commit_by("no-such-git", Path::new(env!("CARGO_MANIFEST_DIR"))), None);
    }

    #[test]
    fn a_processor_is_told_with_its_kind_where_it_has_one() {
        let intel =
            "processor\t: 0\ncpu family\t: 6\nmodel\t\t: 143\nmodel name\t: Intel(R) Xeon(R) Processor\n";
        assert_eq!(processor(intel), "Intel(R) Xeon(R) Processor family 6 model 143");
        assert_eq!(processor("model name : ARMv8\n"), "ARMv8");
        assert_eq!(processor(""), "");
        assert!(machine().contains(" cores; "));
    }
}
