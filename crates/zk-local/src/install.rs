//! Installs ZooKeeper from Debian's packages, on machines that are made for it: root's, with `apt-get`.

use std::fs::File;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

use crate::error::{Error, cannot};
use crate::progress::Progress;

const APT: &str = "/usr/bin/apt-get";

/// The jars alone, not the package `zookeeper`: that one wants a Java with windows, sound and printers.
const PACKAGES: [&str; 4] = ["libzookeeper-java", "libslf4j-java", "libnetty-java", "default-jre-headless"];

/// How long one step may take, or another process be at it: a slow mirror takes minutes.
const PATIENCE: Duration = Duration::from_secs(900);

/// Whether this process may install packages here at all.
pub(crate) fn is_possible() -> bool {
    rustix::process::geteuid().is_root() && Path::new(APT).is_file()
}

/// Installs the packages, unless `done` says that somebody else did meanwhile.
pub(crate) async fn debian_packages(done: impl Fn() -> bool) -> Result<(), Error> {
    let progress = Progress::start("ZooKeeper is not installed here; installing Debian's packages");
    // The tests of a workspace are many processes, which all find at once that nothing is there.
    let _turn = turn(&progress).await?;
    if done() {
        progress.finish("ZooKeeper was installed by another process");
        return Ok(());
    }
    progress.step("reading the lists of packages");
    // Stale lists are no reason to give up: the packages may be had all the same.
    let updated = apt(&["update"]).await?;
    progress.step(&format!("installing {}", PACKAGES.join(" ")));
    let wanted = ["install", "--yes", "--no-install-recommends"];
    let installed = apt(&[&wanted[..], &PACKAGES].concat()).await?;
    if !installed.status.success() {
        let failed = if updated.status.success() { vec![&installed] } else { vec![&updated, &installed] };
        return Err(Error::Install(failed.into_iter().map(last_words).collect::<Vec<_>>().join("; ")));
    }
    progress.finish("installed ZooKeeper");
    Ok(())
}

/// Runs one `apt-get`. It is never killed: half installed packages would be worse than late ones.
async fn apt(arguments: &[&str]) -> Result<Output, Error> {
    let mut command = Command::new(APT);
    command.args(["--quiet=2", "--option", &format!("DPkg::Lock::Timeout={}", PATIENCE.as_secs())]);
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
    match timeout(PATIENCE, command.output()).await {
        Ok(output) => output.map_err(cannot(format!("run {APT}"))),
        Err(_) => {
            let awaited = format!("the end of {APT} {}", arguments.join(" "));
            Err(Error::TimedOut { awaited, limit: PATIENCE })
        }
    }
}

/// Waits for our turn, which lasts until the file is closed.
async fn turn(progress: &Progress) -> Result<File, Error> {
    let path = std::env::temp_dir().join("zk-local-install.lock");
    let cannot_lock = || cannot::<std::io::Error>(format!("lock {}", path.display()));
    let file = File::options().create(true).append(true).open(&path).map_err(cannot_lock())?;
    let give_up = Instant::now() + PATIENCE;
    let mut said = false;
    while let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
        if error != rustix::io::Errno::WOULDBLOCK {
            return Err(cannot_lock()(error.into()));
        }
        if Instant::now() > give_up {
            let awaited = format!("another process that installs ZooKeeper and holds {}", path.display());
            return Err(Error::TimedOut { awaited, limit: PATIENCE });
        }
        if !std::mem::replace(&mut said, true) {
            progress.step("another process installs ZooKeeper; waiting for it");
        }
        sleep(Duration::from_millis(500)).await;
    }
    Ok(file)
}

/// What a failed `apt-get` said last.
fn last_words(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<_> = errors.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines[lines.len().saturating_sub(5)..].join("; ");
    format!("apt-get ended with {}: {last}", output.status)
}
