//! Who is the master and who is normal, in the layout of the old Go framework.

use std::sync::Arc;

use proto::Instance;
use proto::master_normal::{MASTER, is_same_process};
use tokio::sync::watch;

use crate::Instances;

/// Who is what among the instances of a service in the [master/normal layout](crate::MasterNormal).
///
/// # Examples
///
/// ```
/// use proto::master_normal::instance;
/// use registry::Roles;
///
/// let node = |name, port: u16| {
///     let value = format!(r#"{{"serverip":"10.0.0.1","serverport":{port}}}"#);
///     instance(name, value.as_bytes()).map(|(instance, _)| std::sync::Arc::new(instance))
/// };
/// let alone = Roles::of(&[node("master", 50001)?]);
/// assert_eq!(alone.for_requests()[0].id.as_str(), "master");
///
/// let both = Roles::of(&[node("master", 50001)?, node("normal0000000001", 50002)?]);
/// assert_eq!(both.for_requests()[0].id.as_str(), "normal0000000001");
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    /// Who came first; `None` when nobody is the master now.
    pub master: Option<Arc<Instance>>,
    /// All others, in the order of their ids. One that was just promoted, and has its old node still, is the master alone.
    pub normal: Instances,
}

impl Roles {
    /// Who is what on a list.
    pub fn of<'a>(list: impl IntoIterator<Item = &'a Arc<Instance>, IntoIter: Clone>) -> Self {
        let list = list.into_iter();
        let master = list.clone().find(|instance| instance.id.as_str() == MASTER).cloned();
        let is_normal = |instance: &&Arc<Instance>| {
            instance.id.as_str() != MASTER
                && !master.as_ref().is_some_and(|master| is_same_process(master, instance))
        };
        let normal = list.filter(is_normal).cloned().collect();
        Self { master, normal }
    }

    /// Whom requests go to that anybody may answer: the normal ones; the master as well when there are none, or all of them are
    /// drained.
    pub fn for_requests(&self) -> Instances {
        match &self.master {
            Some(master) if self.normal.iter().all(|instance| instance.data.weight == 0) => {
                self.normal.iter().chain([master]).cloned().collect()
            }
            _ => self.normal.clone(),
        }
    }

    /// The lists that a balancer follows, made of those of a [`Discovery`](crate::Discovery): each time
    /// [whom requests go to](Self::for_requests).
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn follow_for_requests(
        mut lists: watch::Receiver<Option<Instances>>,
    ) -> watch::Receiver<Option<Instances>> {
        let made = |list: &Option<Instances>| list.as_ref().map(|list| Self::of(list).for_requests());
        let (tx, rx) = watch::channel(made(&lists.borrow_and_update()));
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    more = lists.changed() => if more.is_err() { return },
                    () = tx.closed() => return,
                }
                let now = made(&lists.borrow_and_update());
                tx.send_if_modified(|told| {
                    let news = *told != now;
                    if news {
                        *told = now;
                    }
                    news
                });
            }
        });
        rx
    }
}

#[cfg(test)]
mod tests {
    use proto::InstanceId;

    use super::*;

    fn instance(name: &str, address: &str, code: &str) -> Arc<Instance> {
        let data = proto::NodeData::at(address.parse().unwrap()).with_code(code);
        Arc::new(Instance { id: InstanceId::parse(name).unwrap(), data })
    }

    fn ids(list: &Instances) -> Vec<&str> {
        list.iter().map(|instance| instance.id.as_str()).collect()
    }

    #[test]
    fn whoever_is_not_the_master_is_normal_and_nobody_is_both() {
        let list = [
            instance("anything", "h:9", "z"),
            instance("master", "h:1", "a"),
            instance("normal0000000001", "h:1", "a"),
            instance("normal0000000002", "h:1", "b"),
            instance("normal0000000003", "h:3", "c"),
        ];
        for (listed, master, normal, for_requests) in [
            (
                &list[..],
                Some("master"),
                vec!["anything", "normal0000000002", "normal0000000003"],
                vec!["anything", "normal0000000002", "normal0000000003"],
            ),
            (&list[1..3], Some("master"), vec![], vec!["master"]),
            (&list[1..2], Some("master"), vec![], vec!["master"]),
            (
                &list[2..4],
                None,
                vec!["normal0000000001", "normal0000000002"],
                vec!["normal0000000001", "normal0000000002"],
            ),
            (&list[..0], None, vec![], vec![]),
        ] {
            let roles = Roles::of(listed);
            assert_eq!(roles.master.as_ref().map(|master| master.id.as_str()), master);
            assert_eq!(ids(&roles.normal), normal);
            assert_eq!(ids(&roles.for_requests()), for_requests);
        }
    }

    #[test]
    fn the_master_answers_when_all_others_are_drained() {
        let drained = |name| {
            let one = instance(name, "h:2", "b");
            Arc::new(Instance { data: one.data.clone().with_weight(0), ..(*one).clone() })
        };
        let master = instance("master", "h:1", "a");
        let list = [master, drained("normal0000000001"), instance("normal0000000002", "h:3", "c")];
        assert_eq!(ids(&Roles::of(&list).for_requests()), ["normal0000000001", "normal0000000002"]);
        assert_eq!(ids(&Roles::of(&list[..2]).for_requests()), ["normal0000000001", "master"]);
    }

    #[tokio::test]
    async fn lists_for_requests_follow_and_end_with_those_they_are_made_of() {
        let (tx, lists) = watch::channel(None);
        let mut made = Roles::follow_for_requests(lists);
        assert_eq!(*made.borrow(), None);
        for (list, expected) in [
            (vec![instance("master", "h:1", "a")], vec!["master"]),
            (
                vec![instance("master", "h:1", "a"), instance("normal0000000002", "h:2", "b")],
                vec!["normal0000000002"],
            ),
            (vec![], vec![]),
        ] {
            tx.send_replace(Some(list.into()));
            let now = made.wait_for(|now| now.as_ref().is_some_and(|now| ids(now) == expected)).await;
            assert!(now.is_ok());
        }
        drop(tx);
        assert!(made.changed().await.is_err());
    }
}
