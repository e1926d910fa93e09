//! A child process that cannot be left behind.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tokio::sync::watch;

use crate::error::{Error, cannot};

/// A killed process is gone within milliseconds; only a kernel that cannot end it takes longer.
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// A running child, killed when this is dropped.
///
/// A thread of its own starts it and waits for it. It must be that thread: Linux sends the parent-death signal when
/// the *thread* that started the child ends, and a test's thread may end while others still use the server.
#[derive(Debug)]
pub(crate) struct Process {
    pid: Pid,
    /// Held while a signal is sent, and while the child is reaped: so no signal reaches a stranger with a reused pid.
    reaped: Arc<Mutex<bool>>,
    ended: watch::Receiver<bool>,
    /// Closed when the child is reaped, for [`Drop`], which cannot await.
    gone: Mutex<mpsc::Receiver<()>>,
}

impl Process {
    /// Starts `command`; see [`mortal`] for one that dies with us.
    pub(crate) fn start(mut command: Command) -> Result<Self, Error> {
        let name = format!("start {}", command.get_program().display());
        let reaped = Arc::new(Mutex::new(false));
        let (tell_started, started) = mpsc::channel();
        let (tell_ended, ended) = watch::channel(false);
        let (tell_gone, gone) = mpsc::channel();
        let reap = Arc::clone(&reaped);
        let life = move || {
            // Dropped last, when nothing of the child is left.
            let _gone: mpsc::Sender<()> = tell_gone;
            let mut child = match command.spawn() {
                Ok(child) => child,
                Err(error) => return drop(tell_started.send(Err(error))),
            };
            let pid = Pid::from_child(&child);
            drop(tell_started.send(Ok(pid)));
            // Waits without reaping, so that the pid stays the child's until nobody can send a signal any more.
            let seen = || waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
            while matches!(seen(), Err(Errno::INTR)) {}
            let mut reaped = reap.lock().unwrap_or_else(PoisonError::into_inner);
            *reaped = true;
            // Nothing to say about a child that cannot be waited for: it was just seen to have ended.
            let _ = child.wait();
            tell_ended.send_replace(true);
        };
        thread::Builder::new().name("zk-local child".into()).spawn(life).map_err(cannot(&*name))?;
        // Blocks for the time of a fork, on purpose: an await here could be dropped, and the child left to itself.
        match started.recv() {
            Ok(Ok(pid)) => Ok(Self { pid, reaped, ended, gone: Mutex::new(gone) }),
            Ok(Err(source)) => Err(Error::Io { doing: name, source }),
            Err(_) => Err(Error::Ended(format!("the thread that should {name} panicked"))),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw_pid().unsigned_abs()
    }

    /// Sends a signal; to a process that ended by itself that is nothing.
    pub(crate) fn signal(&self, signal: Signal) -> Result<(), Error> {
        let reaped = self.reaped.lock().unwrap_or_else(PoisonError::into_inner);
        if *reaped {
            return Ok(());
        }
        kill_process(self.pid, signal).map_err(cannot(format!("signal process {}", self.pid())))
    }

    pub(crate) fn is_running(&self) -> bool {
        !*self.reaped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether all its threads have stopped, or it is gone. They run on for a moment after a SIGSTOP was sent.
    pub(crate) fn is_still(&self) -> bool {
        let reaped = self.reaped.lock().unwrap_or_else(PoisonError::into_inner);
        let options = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        *reaped || !matches!(waitid(WaitId::Pid(self.pid), options), Ok(None))
    }

    /// Waits until the process ended.
    pub(crate) fn ended(&self) -> impl Future<Output = ()> + use<> {
        let mut ended = self.ended.clone();
        async move {
            // An error means that the thread that waits for it is gone, which is also an end.
            let _ = ended.wait_for(|ended| *ended).await;
        }
    }
}

impl Drop for Process {
    /// Kills the process and waits until it is gone, so that its port is free and nothing writes to its folder.
    fn drop(&mut self) {
        if let Err(error) = self.signal(Signal::KILL) {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                pid = self.pid(),
                "cannot kill a server"
            );
            return;
        }
        let gone = self.gone.get_mut().unwrap_or_else(PoisonError::into_inner);
        if gone.recv_timeout(GONE_WITHIN) == Err(mpsc::RecvTimeoutError::Timeout) {
            tracing::warn!(pid = self.pid(), "killed a server, but it does not end");
        }
    }
}

/// A command that runs `program` so that it dies when this process does, however that ends.
///
/// With `setpriv`, which every Debian has, the kernel sees to it; the child then gets a process group of its own, so
/// that a Ctrl-C in the terminal leaves the time to stop it in its owner's hands. Without `setpriv` it stays in our
/// group and gets the Ctrl-C itself.
#[must_use]
pub fn mortal(program: &Path) -> Command {
    let setpriv = ["/usr/bin/setpriv", "/bin/setpriv"].map(Path::new).into_iter().find(|file| file.is_file());
    let Some(setpriv) = setpriv else {
        return Command::new(program);
    };
    // We may have died before the kernel was told; then there is nobody to start anything for.
    const UNLESS_ORPHANED: &str = "test \"$PPID\" -eq \"$0\" && exec \"$@\"";
    let mut command = Command::new(setpriv);
    command.args(["--pdeathsig", "KILL", "--", "/bin/sh", "-c", UNLESS_ORPHANED]);
    command.arg(std::process::id().to_string()).arg(program).process_group(0);
    command
}
