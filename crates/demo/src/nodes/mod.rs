//! What is registered, for an operator to see.

use std::collections::HashSet;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args as ClapArgs;
use cli::ending::{self, INTERRUPTED};
use cli::flags::patience;
use cli::output::{chain, complain, tell};
use cli::signals::Stop;
use proto::{Instance, ServiceName};
use registry::{BadNode, Discovery, InstanceChange, Registry, View, changes_between};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::timeout;
use zk_session::Error;

use crate::connection::Connection;
use crate::output::{one_line, point_in_time, shown, trust};
use crate::table::{line, table};

/// For so long ZooKeeper has to refuse something until that is told.
const STANDS: Duration = Duration::from_secs(1);

/// See [`crate::Command::Nodes`].
#[derive(ClapArgs, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The service whose instances to list; without it, the services
    #[arg(long, value_name = "NAME")]
    service: Option<ServiceName>,

    /// Go on and print what changes, until Ctrl-C
    #[arg(long, requires = "service")]
    watch: bool,

    /// One JSON object per line
    #[arg(long)]
    json: bool,

    /// Show the user names and passwords that instances of the master-normal layout tell, as metadata
    #[arg(long)]
    credentials: bool,

    /// How long to wait for ZooKeeper
    #[arg(long, value_name = "TIME", default_value = "5s", allow_hyphen_values = true, value_parser = patience)]
    wait: Duration,

    #[command(flatten)]
    pub(crate) connection: Connection,
}

const EXAMPLES: &str = "\
Examples, with a ZooKeeper on 127.0.0.1:2181:
  demo nodes                          all services, with the number of their instances
  demo nodes --service time           the instances of one
  demo nodes --service time --watch   and what changes, until Ctrl-C
  demo nodes --service time --json    for a script

\"live\" is what ZooKeeper says at this moment; \"stale\" is the last that was known.

Exit codes: 0 listed, also when nothing is there; 1 no answer from ZooKeeper in time, or a refusal (of services, all others are listed); 2 not understood (nothing was sent); 130 \
stopped before the first answer.";

pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    if args.credentials {
        args.connection.has_credentials()?;
    }
    args.connection.log.start("error");
    let mut stop = Stop::listen()?;
    let keeper = args.connection.keep()?;
    let registry = match args.credentials {
        true => args.connection.revealing_registry(keeper.sessions()),
        false => args.connection.registry(keeper.sessions()),
    };
    let mut listed = false;
    let shown = tokio::select! {
        shown = async {
            match &args.service {
                None => services(&args, &registry).await,
                Some(service) => instances(&args, &registry, service, &mut listed).await.map(|()| true),
            }
        } => shown.map(|all| if all { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
        () = stop.requested() => Ok(ExitCode::from(INTERRUPTED)),
    };
    ending::close(keeper).await;
    // Who watches goes on until somebody stops that.
    if listed { shown.map(|_| ExitCode::SUCCESS) } else { shown }
}

/// Why a service cannot be listed, once ZooKeeper keeps to that: a server that is too busy says no for a moment.
async fn refusal(mut problem: watch::Receiver<Option<Error>>) -> String {
    let is_refused = |it: &Option<Error>| matches!(it, Some(Error::Rejected { .. } | Error::Oversize { .. }));
    while problem.wait_for(is_refused).await.is_ok() {
        if timeout(STANDS, problem.wait_for(|it| !is_refused(it))).await.is_err() {
            let told = problem.borrow().clone();
            return told.map(|error| chain(&error)).unwrap_or_default();
        }
    }
    std::future::pending().await
}

/// Lists the services. Gives whether all of them could be looked into: one that ZooKeeper refuses us keeps no other from being listed.
async fn services(args: &Args, registry: &Registry) -> anyhow::Result<bool> {
    let names = args.bounded(registry, registry.services()).await??;
    let (mut rows, mut refusals) = (Vec::new(), Vec::new());
    for service in names {
        let discovery = registry.follow(&service);
        let View { entries, bad, .. } = tokio::select! {
            first = args.first(registry, &discovery) => first?,
            refusal = refusal(discovery.problem()) => {
                refusals.push((service, refusal));
                continue;
            }
        };
        let drained = entries.iter().filter(|instance| instance.data.weight == 0).count();
        if args.json {
            let (kind, instances) = ("service", entries.len());
            tell(one_line(json!({
                "kind": kind, "service": service, "instances": instances, "drained": drained, "bad": bad.len()
            })))
            .await?;
        }
        rows.push([
            service.to_string(),
            entries.len().to_string(),
            drained.to_string(),
            bad.len().to_string(),
        ]);
    }
    if !args.json && !rows.is_empty() {
        tell(table(["SERVICE", "INSTANCES", "DRAINED", "BAD NODES"], &rows)).await?;
    } else if !args.json && refusals.is_empty() {
        tell(format!("no services at {}", args.connection.access.zk)).await?;
        complain(
            "  tip: demo server --service time registers one; --root and --layout say where else to look",
        );
    }
    for (service, refusal) in &refusals {
        complain(&format!("{service} cannot be listed: {refusal}"));
    }
    if refusals.iter().any(|(_, refusal)| refusal.contains("not authorized")) {
        complain(
            "  tip: --zk-digest-file says who we are; whoever registers lets others read by --zk-reader",
        );
    }
    Ok(refusals.is_empty())
}

async fn instances(
    args: &Args,
    registry: &Registry,
    service: &ServiceName,
    listed: &mut bool,
) -> anyhow::Result<()> {
    let discovery = registry.follow(service);
    let mut told = args.first(registry, &discovery).await?;
    let mut views = discovery.view();
    // What came since is told, and what was told already is no news.
    views.mark_changed();
    if args.json {
        let entries = told.entries.iter().map(|it| as_json("instance", service, it, &told));
        let bad = told.bad.iter().map(|bad| bad_as_json(service, bad));
        tell_all(entries.chain(bad).map(one_line)).await?;
    } else {
        tell(as_text(service, &told)).await?;
        if told.entries.is_empty() && !args.watch {
            complain("  tip: demo nodes without --service lists all that there are; --watch waits for one");
        }
    }
    *listed = true;
    while args.watch && views.changed().await.is_ok() {
        let Some(view) = views.borrow_and_update().clone() else { continue };
        tell_all(news(service, &told, &view, args.json)).await?;
        told = view;
    }
    Ok(())
}

/// Prints lines, at once for there may be many.
async fn tell_all(lines: impl IntoIterator<Item = String>) -> anyhow::Result<()> {
    let lines: Vec<_> = lines.into_iter().collect();
    if lines.is_empty() { Ok(()) } else { tell(lines.join("\n")).await }
}

impl Args {
    /// The first whole list.
    async fn first(&self, registry: &Registry, discovery: &Discovery) -> anyhow::Result<View> {
        let mut views = discovery.view();
        let first = async { views.wait_for(Option::is_some).await.ok().and_then(|view| view.clone()) };
        let (sessions, problem) = (registry.sessions(), discovery.problem());
        let view = self.connection.bounded_first(self.wait, sessions, "list", &problem, first).await?;
        Ok(view.ok_or(registry::Error::Closed)?)
    }

    /// Waits for an answer no longer than the flags say.
    async fn bounded<T>(&self, registry: &Registry, answer: impl Future<Output = T>) -> anyhow::Result<T> {
        self.connection.bounded(self.wait, registry.sessions(), answer).await
    }
}

fn as_text(service: &ServiceName, view: &View) -> String {
    let rows: Vec<_> = view.entries.iter().map(|instance| row(instance)).collect();
    let mut text = match rows.len() {
        0 => format!("no instance of {service} is registered ({})", trust(view.source)),
        1 => format!("1 instance of {service} ({})", trust(view.source)),
        many => format!("{many} instances of {service} ({})", trust(view.source)),
    };
    if !rows.is_empty() {
        let heads = ["ID", "ADDRESS", "CODE", "WEIGHT", "REGISTERED", "METADATA"];
        text.push_str(&format!("\n{}", table(heads, &rows)));
    }
    view.bad.iter().for_each(|bad| text.push_str(&format!("\n{}", bad_as_text(bad))));
    text
}

fn row(Instance { id, data }: &Instance) -> [String; 6] {
    let none = || "-".to_owned();
    let metadata: Vec<_> = data.metadata.iter().map(|(key, value)| format!("{key}={value}")).collect();
    [
        id.to_string(),
        data.address.as_ref().map_or_else(none, ToString::to_string),
        data.unique_code.clone().unwrap_or_else(none),
        data.weight.to_string(),
        point_in_time(data.registered_at).unwrap_or_else(none),
        if metadata.is_empty() { none() } else { metadata.join(" ") },
    ]
}

/// What is to be said when one view follows another.
fn news(service: &ServiceName, before: &View, now: &View, json: bool) -> Vec<String> {
    let mut lines = Vec::new();
    if trust(before.source) != trust(now.source) {
        lines.push(if json {
            json!({ "kind": "source", "service": service, "source": trust(now.source) }).to_string()
        } else {
            format!("the list is {} now", trust(now.source))
        });
    }
    lines.extend(changes_between(&before.entries, &now.entries).into_iter().map(|change| {
        let kind = match change {
            InstanceChange::Added(_) => "added",
            InstanceChange::Removed(_) => "removed",
            InstanceChange::Updated { .. } => "updated",
        };
        if json {
            one_line(as_json(kind, service, change.instance(), now))
        } else {
            format!("{kind:<8} {}", line(&row(change.instance())))
        }
    }));
    let known: HashSet<_> = before.bad.iter().collect();
    let new = now.bad.iter().filter(|bad| !known.contains(bad));
    lines.extend(new.map(|bad| if json { one_line(bad_as_json(service, bad)) } else { bad_as_text(bad) }));
    lines
}

fn as_json(kind: &str, service: &ServiceName, instance: &Instance, view: &View) -> Value {
    let mut object = json!({ "kind": kind, "service": service, "source": trust(view.source) });
    if let (Value::Object(object), Ok(Value::Object(fields))) = (&mut object, serde_json::to_value(instance))
    {
        object.extend(fields);
    }
    object
}

fn bad_as_text(BadNode { path, reason, .. }: &BadNode) -> String {
    format!("bad node {}: {}", shown(path), shown(reason))
}

fn bad_as_json(service: &ServiceName, BadNode { path, reason, .. }: &BadNode) -> Value {
    json!({ "kind": "bad", "service": service, "path": path, "reason": reason })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proto::{InstanceId, NodeData, flat};
    use registry::Source;
    use tokio::time::Instant;

    use super::*;

    fn service() -> ServiceName {
        ServiceName::parse("time").unwrap()
    }

    fn view(instances: Vec<Instance>, source: Source, bad: &[&str]) -> View {
        let bad = bad.iter().map(|path| BadNode {
            path: (*path).to_owned(),
            reason: "nonsense".to_owned(),
            czxid: 1,
            mzxid: 1,
        });
        View {
            entries: instances.into_iter().map(Arc::new).collect(),
            source,
            bad: bad.map(Arc::new).collect(),
        }
    }

    fn rich() -> Instance {
        let data = NodeData { registered_at: 1_700_000_000_123, ..NodeData::behind_broker("c\x1b[2J") };
        let data = data.with_weight(3).with_metadata("zone", "a").with_metadata("tag", "x");
        Instance { id: InstanceId::parse("b").unwrap(), data }
    }

    #[test]
    fn the_table_shows_all_fields_and_no_control_characters() {
        let plain = flat::instance("127.0.0.1:8897").unwrap();
        let text = as_text(&service(), &view(vec![plain, rich()], Source::Live, &["/time/x"]));
        assert_eq!(
            text,
            "2 instances of time (live)\n\
             ID              ADDRESS         CODE        WEIGHT  REGISTERED            METADATA\n\
             127.0.0.1:8897  127.0.0.1:8897  -           1       -                     -\n\
             b               -               c\\u{1b}[2J  3       2023-11-14T22:13:20Z  tag=x zone=a\n\
             bad node /time/x: nonsense"
        );
        let empty = as_text(&service(), &view(vec![], Source::Live, &[]));
        assert_eq!(empty, "no instance of time is registered (live)");
    }

    #[test]
    fn json_has_the_fields_of_the_node_beside_what_it_is() {
        let view = view(vec![rich()], Source::Live, &[]);
        assert_eq!(
            as_json("instance", &service(), &rich(), &view),
            json!({
                "kind": "instance", "service": "time", "source": "live", "id": "b", "server_unique_code": "c\u{1b}[2J",
                "weight": 3, "registered_at": 1_700_000_000_123_u64, "metadata": {"tag": "x", "zone": "a"}
            })
        );
    }

    #[test]
    fn news_are_what_changed_each_once() {
        let (a, b) = (flat::instance("a:1").unwrap(), rich());
        let mut heavier = rich();
        heavier.data.weight = 4;
        let stale = Source::Stale { since: Instant::now() };
        let first = view(vec![a, b.clone()], Source::Live, &["/x"]);
        for (next, json, expected) in [
            (view(vec![b.clone()], Source::Live, &["/x"]), true, vec!["removed"]),
            (
                view(vec![b, flat::instance("c:1").unwrap()], stale, &["/x", "/y"]),
                true,
                vec!["source", "removed", "added", "bad"],
            ),
            (view(vec![flat::instance("a:1").unwrap(), heavier], Source::Live, &[]), true, vec!["updated"]),
            (first.clone(), true, vec![]),
        ] {
            let lines = news(&service(), &first, &next, json);
            let kinds: Vec<String> = lines
                .iter()
                .map(|line| serde_json::from_str::<Value>(line).unwrap()["kind"].as_str().unwrap().to_owned())
                .collect();
            assert_eq!(kinds, expected);
            assert_eq!(news(&service(), &first, &next, false).len(), expected.len());
        }
    }
}
