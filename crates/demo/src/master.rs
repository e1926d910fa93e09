//! Who leads a service, for an operator to see.

use std::convert::Infallible;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args as ClapArgs;
use cli::ending::{self, INTERRUPTED};
use cli::flags::patience;
use cli::output::{chain, complain, tell};
use cli::signals::Stop;
use jiff::Timestamp;
use leader::{Error, Master, Observer, View};
use proto::ServiceName;
use serde_json::{Value, json};
use tokio::sync::watch;
use zk_session::Sessions;

use crate::connection::Connection;
use crate::output::{one_line, point_in_time, shown, trust};

/// See [`crate::Command::Master`].
#[derive(ClapArgs, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The service whose leader to name
    #[arg(long, value_name = "NAME")]
    service: ServiceName,

    /// Go on and print what changes, until Ctrl-C
    #[arg(long)]
    watch: bool,

    /// One JSON object per line
    #[arg(long)]
    json: bool,

    /// How long to wait for ZooKeeper's first answer, with --watch too
    #[arg(long, value_name = "TIME", default_value = "5s", allow_hyphen_values = true, value_parser = patience)]
    wait: Duration,

    #[command(flatten)]
    pub(crate) connection: Connection,
}

const EXAMPLES: &str = "\
Examples, with a ZooKeeper on 127.0.0.1:2181:
  demo master --service time           who leads; ends with 1 when nobody does
  demo master --service time --watch   and who leads next, until Ctrl-C
  demo master --service time --json    for a script; \"master\" is null when nobody leads

The term is the fencing token: every later leader has a greater one. \"Stands since\" is when it joined the election, by \
the clock of a ZooKeeper server; since when it leads is not stored, but --watch puts before each line when that was seen. \
\"live\" is what ZooKeeper says at this moment; \"stale\" is the last that was known. Named is who is first in the line: \
whether it knows that, and may act, only its own lease tells; one that hangs stays named until its session ends.

Exit codes: 0 somebody leads, or it was watched; 1 nobody leads, or no answer from ZooKeeper in time; 2 not understood (nothing was sent); 130 \
stopped before the first answer.";

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    args.connection.has_elections()?;
    args.connection.log.start("error");
    let mut stop = Stop::listen()?;
    let keeper = args.connection.keep()?;
    let observer = args.connection.election(keeper.sessions()).observe(&args.service);
    let sessions = keeper.sessions();
    let mut named = false;
    let shown = tokio::select! {
        shown = show(&args, &observer, &sessions, &mut named) => shown,
        never = tell_problems(observer.problem()) => match never {},
        () = stop.requested() => Ok(ExitCode::from(INTERRUPTED)),
    };
    drop(observer);
    ending::close(keeper).await;
    // Who watches goes on until somebody stops that.
    if named && args.watch { shown.map(|_| ExitCode::SUCCESS) } else { shown }
}

async fn show(
    args: &Args,
    observer: &Observer,
    sessions: &Sessions,
    named: &mut bool,
) -> anyhow::Result<ExitCode> {
    let mut views = observer.view();
    let (word, problem) = ("word on who leads", observer.problem());
    let first = args.connection.bounded_first(args.wait, sessions, word, &problem, observer.ready());
    let mut view = first.await??;
    loop {
        tell(args.line(&view, Timestamp::now())).await?;
        *named = true;
        if !args.watch {
            if view.master.is_none() && !args.json {
                complain(
                    "  tip: demo server and demo agent lead stand for election; --watch waits for one that leads",
                );
            }
            return Ok(if view.master.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        let other = views.wait_for(|now| now.as_ref().is_some_and(|now| *now != view)).await;
        let other = other.ok().and_then(|now| now.clone());
        view = other.ok_or(Error::Over)?;
    }
}

/// Says on stderr what keeps us from the truth, whenever that changes.
async fn tell_problems(mut problems: watch::Receiver<Option<Error>>) -> Infallible {
    while problems.changed().await.is_ok() {
        if let Some(problem) = &*problems.borrow_and_update() {
            complain(&format!("cannot follow who leads: {}", chain(problem)));
        }
    }
    std::future::pending().await
}

impl Args {
    /// What to print of a view that was seen at this time.
    fn line(&self, view: &View, seen: Timestamp) -> String {
        match (self.json, self.watch) {
            (true, _) => one_line(as_json(&self.service, view, seen)),
            (false, true) => format!("{seen:.3}  {}", as_text(&self.service, view)),
            (false, false) => as_text(&self.service, view),
        }
    }
}

fn as_text(service: &ServiceName, view: &View) -> String {
    let trust = trust(view.source);
    let Some(master) = &view.master else { return format!("nobody leads {service} ({trust})") };
    let Master { id, term, stands_since, .. } = &**master;
    let since = point_in_time(*stands_since).unwrap_or_else(|| "an unknown time".to_owned());
    format!(
        "{} leads {service} in term {term}, {}, stands since {since} ({trust})",
        shown(id),
        reached(master)
    )
}

/// How a leader is reached, or why that cannot be told.
fn reached(master: &Master) -> String {
    match &master.data {
        Ok(data) => match (&data.address, &data.unique_code) {
            (Some(address), None) => format!("at {address}"),
            (Some(address), Some(code)) => format!("at {address} with code {}", shown(code)),
            (None, Some(code)) => format!("with code {}", shown(code)),
            (None, None) => "without an address".to_owned(),
        },
        Err(reason) => format!("its data cannot be read: {}", shown(reason)),
    }
}

fn as_json(service: &ServiceName, view: &View, seen: Timestamp) -> Value {
    let master = view.master.as_deref().map(|Master { id, term, data, path, stands_since }| {
        let mut object = json!({
            "id": id, "term": term.0, "path": path, "stands_since": point_in_time(*stands_since)
        });
        match data {
            Ok(data) => object["data"] = json!(data),
            Err(reason) => object["bad"] = json!(reason),
        }
        object
    });
    json!({
        "kind": "master", "service": service, "master": master, "source": trust(view.source), "seen": format!("{seen:.3}")
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use leader::{NodeData, Source, Term};
    use tokio::time::Instant;

    use super::*;

    fn service() -> ServiceName {
        ServiceName::parse("time").unwrap()
    }

    fn view(data: Result<NodeData, String>) -> View {
        let master = Master {
            id: "a\x1b[2J".to_owned(),
            term: Term(7),
            data,
            path: "/p".to_owned(),
            stands_since: 1_700_000_000_123,
        };
        View { master: Some(Arc::new(master)), source: Source::Live }
    }

    #[test]
    fn a_line_says_who_leads_how_it_is_reached_and_how_far_to_trust_that() {
        let at = NodeData::at("127.0.0.1:80".parse().unwrap());
        for (data, how) in [
            (Ok(at.clone()), "at 127.0.0.1:80"),
            (Ok(at.with_code("c")), "at 127.0.0.1:80 with code c"),
            (Ok(NodeData::behind_broker("c\x07")), "with code c\\u{7}"),
            (Err("non\nsense".to_owned()), "its data cannot be read: non\\nsense"),
        ] {
            assert_eq!(
                as_text(&service(), &view(data)),
                format!(
                    "a\\u{{1b}}[2J leads time in term 7, {how}, stands since 2023-11-14T22:13:20Z (live)"
                )
            );
        }
        let nobody = View { master: None, source: Source::Stale { since: Instant::now() } };
        assert_eq!(as_text(&service(), &nobody), "nobody leads time (stale)");
    }

    #[test]
    fn json_says_the_same_for_scripts() {
        let seen = Timestamp::from_millisecond(1_700_000_001_500).unwrap();
        let nobody = View { master: None, source: Source::Live };
        assert_eq!(
            as_json(&service(), &nobody, seen),
            json!({"kind": "master", "service": "time", "master": null, "source": "live", "seen": "2023-11-14T22:13:21.500Z"})
        );
        let led = as_json(&service(), &view(Ok(NodeData::behind_broker("c"))), seen);
        let master = &led["master"];
        assert_eq!(
            (&master["id"], &master["term"], &master["path"], &master["stands_since"]),
            (&json!("a\x1b[2J"), &json!(7), &json!("/p"), &json!("2023-11-14T22:13:20Z"))
        );
        assert_eq!(master["data"]["server_unique_code"], "c");
        let bad = as_json(&service(), &view(Err("nonsense".to_owned())), seen);
        assert_eq!((&bad["master"]["bad"], &bad["master"]["data"]), (&json!("nonsense"), &Value::Null));
    }
}
