//! An agent that follows the instances of a service.

use std::collections::HashSet;
use std::io::stdin;
use std::sync::Arc;

use clap::Args as ClapArgs;
use cli::ending;
use cli::output::chain;
use cli::signals::Stop;
use proto::ServiceName;
use registry::{BadNode, Instances, Source, View};

use super::Identity;
use super::commands::{self, Command};
use super::events::{Event, Seen, Trust};
use super::voice::Voice;

/// See [`super::Role::Watch`].
#[derive(ClapArgs, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) who: Identity,
}

pub(super) async fn run(args: Args) -> anyhow::Result<()> {
    let Identity { service, connection, .. } = args.who;
    let mut stop = Stop::listen()?;
    let mut commands = commands::read(stdin())?;
    let mut voice = Voice::begin()?;

    let keeper = connection.keep()?;
    let mut state = keeper.sessions().state();
    let discovery = connection.registry(keeper.sessions()).follow(&service);
    let (mut view, mut trouble) = (discovery.view(), discovery.problem());
    let mut shown = Shown::of(service);
    state.mark_changed();
    view.mark_changed();
    trouble.mark_changed();
    loop {
        tokio::select! {
            biased;
            () = stop.requested() => break,
            Ok(()) = state.changed() => voice.session(&state.borrow_and_update().clone()),
            Ok(()) = view.changed() => {
                if let Some(view) = view.borrow_and_update().clone() {
                    shown.change(&view).iter().for_each(|event| voice.say(event));
                }
            }
            Ok(()) = trouble.changed() => {
                if let Some(why) = trouble.borrow_and_update().as_ref().map(|error| chain(error)) {
                    voice.error(why);
                }
            }
            command = commands.next() => match command {
                Ok(Command::Quit) => break,
                Ok(Command::Tasks) => voice.tasks(),
                Ok(_) => voice.refuse("an agent that watches is told nothing but to quit and to count its tasks"),
                Err(why) => voice.error(why),
            },
        }
    }
    let closed = ending::close(keeper).await;
    voice.end(closed, "the session expires").await;
    Ok(())
}

/// What was told of a service so far.
struct Shown {
    service: ServiceName,
    list: Option<(Instances, Trust)>,
    bad: HashSet<Arc<BadNode>>,
}

impl Shown {
    fn of(service: ServiceName) -> Self {
        Self { service, list: None, bad: HashSet::new() }
    }

    /// What is to be told of `view`: it as a whole when callers get another list or trust it differently, and each
    /// version of a bad node once.
    fn change(&mut self, view: &View) -> Vec<Event> {
        let mut events = Vec::new();
        let trust = match view.source {
            Source::Live => Trust::Live,
            Source::Stale { .. } => Trust::Stale,
        };
        let same = |(list, told): &(Instances, Trust)| *told == trust && *list == view.entries;
        if !self.list.as_ref().is_some_and(same) {
            self.list = Some((view.entries.clone(), trust));
            let instances = view.entries.iter().map(|instance| Seen::from(&**instance)).collect();
            events.push(Event::View { service: self.service.clone(), instances, source: trust });
        }
        let bad: HashSet<_> = view.bad.iter().cloned().collect();
        let new = view.bad.iter().filter(|bad| !self.bad.contains(*bad));
        events.extend(new.map(|bad| Event::BadNode { path: bad.path.clone(), reason: bad.reason.clone() }));
        // Those that are gone are forgotten: the same path with the same transactions never comes back.
        self.bad = bad;
        events
    }
}

#[cfg(test)]
mod tests {
    use proto::{Instance, flat};
    use tokio::time::Instant;

    use super::*;

    fn view(names: &[&str], source: Source, bad: &[(&str, i64)]) -> View {
        let instance = |name: &&str| Arc::new(flat::instance(name).unwrap());
        let bad = bad.iter().map(|(path, mzxid)| BadNode {
            path: (*path).to_owned(),
            reason: "nonsense".to_owned(),
            czxid: 1,
            mzxid: *mzxid,
        });
        View { entries: names.iter().map(instance).collect(), source, bad: bad.map(Arc::new).collect() }
    }

    fn names(events: &[Event]) -> Vec<String> {
        let name = |event: &Event| match event {
            Event::View { instances, source, .. } => format!("{} {source:?}", instances.len()),
            Event::BadNode { path, .. } => path.clone(),
            other => panic!("{other:?}"),
        };
        events.iter().map(name).collect()
    }

    #[test]
    fn a_view_is_told_when_callers_get_something_else_or_trust_it_differently() {
        let stale = || Source::Stale { since: Instant::now() };
        let mut shown = Shown::of(ServiceName::parse("time").unwrap());
        for (view, expected) in [
            (view(&[], Source::Live, &[]), vec!["0 Live"]),
            (view(&["a:1"], Source::Live, &[]), vec!["1 Live"]),
            (view(&["a:1"], Source::Live, &[]), vec![]),
            (view(&["a:1"], stale(), &[]), vec!["1 Stale"]),
            (view(&["a:1"], stale(), &[]), vec![]),
            (view(&["a:1", "b:1"], stale(), &[]), vec!["2 Stale"]),
            (view(&["a:1", "b:1"], Source::Live, &[]), vec!["2 Live"]),
        ] {
            assert_eq!(names(&shown.change(&view)), expected);
        }
        let mut heavier: Instance = flat::instance("a:1").unwrap();
        heavier.data.weight = 7;
        let other =
            View { entries: [Arc::new(heavier)].into_iter().collect(), ..view(&[], Source::Live, &[]) };
        assert_eq!(names(&shown.change(&view(&["a:1"], Source::Live, &[]))), ["1 Live"]);
        assert_eq!(names(&shown.change(&other)), ["1 Live"]);
    }

    #[test]
    fn a_bad_node_is_told_once_for_each_of_its_versions() {
        let mut shown = Shown::of(ServiceName::parse("time").unwrap());
        for (bad, expected) in [
            (&[("/x", 1)][..], vec!["0 Live", "/x"]),
            (&[("/x", 1)], vec![]),
            (&[("/x", 1), ("/y", 2)], vec!["/y"]),
            (&[("/x", 3), ("/y", 2)], vec!["/x"]),
            (&[], vec![]),
        ] {
            assert_eq!(names(&shown.change(&view(&[], Source::Live, bad))), expected);
        }
    }
}
