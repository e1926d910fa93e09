//! What a person at the terminal sees while something takes its time.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A spinner on stderr, or plain lines where stderr is no terminal.
#[derive(Debug)]
pub(crate) struct Progress(Option<ProgressBar>);

impl Progress {
    pub(crate) fn start(what: &str) -> Self {
        if !std::io::stderr().is_terminal() {
            say(&format!("{what} ..."));
            return Self(None);
        }
        let bar = ProgressBar::new_spinner().with_message(what.to_owned());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(100));
        Self(Some(bar))
    }

    /// Goes on with the next step.
    pub(crate) fn step(&self, what: &str) {
        match &self.0 {
            Some(bar) => bar.set_message(what.to_owned()),
            None => say(&format!("{what} ...")),
        }
    }

    /// Leaves `what` as the last word.
    pub(crate) fn finish(self, what: &str) {
        match &self.0 {
            Some(bar) => bar.finish_with_message(what.to_owned()),
            None => say(what),
        }
    }
}

/// On stderr, whether anybody reads that or not: `eprintln` would panic.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

impl Drop for Progress {
    /// After a failure the spinner goes away; the error is for the caller to tell.
    fn drop(&mut self) {
        if let Some(bar) = self.0.as_ref().filter(|bar| !bar.is_finished()) {
            bar.finish_and_clear();
        }
    }
}
