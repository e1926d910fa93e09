//! Whom a request goes to: the one before it was answered by, for as long as that one is there.

use std::collections::HashSet;

use loadbalance::Instances;
use tokio::time::Instant;

use super::super::link::State;

/// Whom a request goes to next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// To the same one again.
    Stick,
    /// To one that has to be picked first.
    MoveOn,
}

/// Whom a request goes to next, when the last one was answered by the instance with the code `stuck_to`.
///
/// It stays with the code and not with the id, which an instance of the master/normal layout changes when it becomes the master.
pub(super) fn next(stuck_to: Option<&str>, listed: Option<&Instances>, tried: &HashSet<String>) -> Next {
    match stuck_to {
        Some(code) if is_there(code, listed) && !tried.contains(code) => Next::Stick,
        _ => Next::MoveOn,
    }
}

/// Whether the instance with this code is on the list and takes requests. Without a list nothing speaks against it.
fn is_there(code: &str, listed: Option<&Instances>) -> bool {
    listed.is_none_or(|listed| listed.iter().any(|it| it.data.weight > 0 && has_code(it, code)))
}

/// Whether the instance with this code is on the list, drained or not. Without a list nothing speaks against it.
pub(super) fn is_listed(code: &str, listed: Option<&Instances>) -> bool {
    listed.is_none_or(|listed| listed.iter().any(|it| has_code(it, code)))
}

fn has_code(instance: &proto::Instance, code: &str) -> bool {
    instance.data.unique_code.as_deref().is_some_and(|its| proto::accepts(its, code))
}

/// Whose fault it is that no answer came in time.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Blame {
    /// The broker's: nobody else would have got the request either.
    Broker,
    /// The instance's.
    Instance,
}

/// Whose fault it is that no answer came in time: `taken`, how messages reached us when the broker took the request and when that was;
/// `now`, how they reach us at the end.
///
/// An instance is blamed when it had all the time, on one connection of ours, and could be expected to be back at the broker.
pub(super) fn blame(taken: Option<&(State, Instant)>, now: &State) -> Blame {
    match taken {
        Some((state, at)) if state.is_listening() && state == now && !state.is_settling(*at) => {
            Blame::Instance
        }
        _ => Blame::Broker,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use proto::{Instance, InstanceId, NodeData};

    use super::*;

    fn list(instances: &[(&str, &str, u32)]) -> Instances {
        let instance = |(id, code, weight): &(&str, &str, u32)| {
            let data = NodeData::behind_broker(*code).with_weight(*weight);
            Arc::new(Instance { id: InstanceId::parse(id).unwrap(), data })
        };
        instances.iter().map(instance).collect()
    }

    #[test]
    fn a_client_sticks_to_a_code_until_it_is_gone_drained_or_was_tried() {
        let both = list(&[("a", "a", 1), ("b", "b", 1)]);
        let promoted = list(&[("master", "a", 1), ("normal0000000001", "b", 1)]);
        let drained = list(&[("a", "a", 0), ("b", "b", 1)]);
        let without = list(&[("b", "b", 1), ("aa", "aa", 1)]);
        let nobody = list(&[]);
        for (stuck_to, listed, tried, expected) in [
            (Some("a"), Some(&both), &[][..], Next::Stick),
            (Some("a"), Some(&both), &["b"], Next::Stick),
            (Some("a"), Some(&promoted), &[], Next::Stick),
            (Some("a"), None, &[], Next::Stick),
            (Some("a"), Some(&both), &["a"], Next::MoveOn),
            (Some("a"), Some(&drained), &[], Next::MoveOn),
            (Some("a"), Some(&without), &[], Next::MoveOn),
            (Some("a"), Some(&nobody), &[], Next::MoveOn),
            (None, Some(&both), &[], Next::MoveOn),
            (None, None, &[], Next::MoveOn),
        ] {
            let tried = tried.iter().map(|&code| code.to_owned()).collect();
            assert_eq!(next(stuck_to, listed, &tried), expected, "{stuck_to:?} {listed:?} {tried:?}");
        }
    }

    #[test]
    fn an_instance_is_blamed_only_when_the_broker_did_its_part() {
        let since = Instant::now();
        let later = |seconds| since + Duration::from_secs(seconds);
        let (calm, returned) =
            (State::Listening { since, returned: false }, State::Listening { since, returned: true });
        let (away, again) =
            (State::Away { why: None, refused: None }, State::Listening { since: later(9), returned: true });
        for (taken, now, expected) in [
            (Some((&calm, 0)), &calm, Blame::Instance),
            (Some((&returned, 3)), &returned, Blame::Instance),
            // Others may not have been back yet.
            (Some((&returned, 2)), &returned, Blame::Broker),
            (Some((&calm, 0)), &away, Blame::Broker),
            // It was away meanwhile, however short that was.
            (Some((&calm, 0)), &again, Blame::Broker),
            (Some((&away, 0)), &away, Blame::Broker),
            (Some((&away, 0)), &calm, Blame::Broker),
            (None, &calm, Blame::Broker),
            (None, &returned, Blame::Broker),
            (None, &away, Blame::Broker),
        ] {
            let taken = taken.map(|(state, after)| (state.clone(), later(after)));
            assert_eq!(blame(taken.as_ref(), now), expected, "{taken:?} {now:?}");
        }
    }
}
