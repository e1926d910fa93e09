//! Who has promised to renew what, and until when. Knows no clock: it is told what time it is.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use proto::{InstanceId, ServiceName};
use tokio::time::Instant;

/// The instance that a lease is for.
pub(super) type Key = (ServiceName, InstanceId);

/// What is held for as long as it is renewed.
#[derive(Debug)]
pub(super) struct Lease<T> {
    /// Tells this lease from earlier and later ones of the same instance.
    pub(super) token: Box<str>,
    pub(super) ttl: Duration,
    /// It is over from then on; `None` while its time has not begun.
    pub(super) ends: Option<Instant>,
    pub(super) held: T,
}

/// Why a lease was not found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// There is none, or it was not renewed in time.
    Unknown,
    /// There is one, but of somebody else who came later.
    Another,
}

/// All leases.
#[derive(Debug)]
pub(super) struct Table<T> {
    leases: HashMap<Key, Lease<T>>,
    /// The same in the order of their ends.
    ends: BTreeSet<(Instant, Key)>,
}

impl<T> Lease<T> {
    fn is_over(&self, now: Instant) -> bool {
        self.ends.is_some_and(|ends| ends <= now)
    }
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { leases: HashMap::new(), ends: BTreeSet::new() }
    }
}

impl<T> Table<T> {
    pub(super) fn len(&self) -> usize {
        self.leases.len()
    }

    /// All, in no order.
    pub(super) fn all(&self) -> impl Iterator<Item = &Lease<T>> {
        self.leases.values()
    }

    /// Grants a lease. One whose time has not begun is not over before it does.
    pub(super) fn grant(&mut self, key: Key, lease: Lease<T>) -> &mut Lease<T> {
        self.remove(&key);
        if let Some(ends) = lease.ends {
            self.ends.insert((ends, key.clone()));
        }
        self.leases.entry(key).insert_entry(lease).into_mut()
    }

    /// Lets the time of a lease begin, or begin anew.
    pub(super) fn begin(&mut self, key: &Key, token: &str, now: Instant) -> Result<&mut Lease<T>, Missing> {
        self.find(key, Some(token), now)?;
        self.extend(key, now)
    }

    /// A lease that is not over. Without a token, whoever has it.
    pub(super) fn find(
        &mut self,
        key: &Key,
        token: Option<&str>,
        now: Instant,
    ) -> Result<&mut Lease<T>, Missing> {
        let lease = self.leases.get_mut(key).filter(|lease| !lease.is_over(now)).ok_or(Missing::Unknown)?;
        match token {
            Some(token) if *token != *lease.token => Err(Missing::Another),
            _ => Ok(lease),
        }
    }

    /// Lets a lease last for its whole time again, from now on. One whose time has not begun stays as it is.
    pub(super) fn renew(
        &mut self,
        key: &Key,
        token: Option<&str>,
        now: Instant,
    ) -> Result<&mut Lease<T>, Missing> {
        match self.find(key, token, now)?.ends {
            Some(_) => self.extend(key, now),
            None => self.find(key, token, now),
        }
    }

    fn extend(&mut self, key: &Key, now: Instant) -> Result<&mut Lease<T>, Missing> {
        let lease = self.leases.get_mut(key).ok_or(Missing::Unknown)?;
        let after = now + lease.ttl;
        if let Some(before) = lease.ends.replace(after) {
            self.ends.remove(&(before, key.clone()));
        }
        self.ends.insert((after, key.clone()));
        Ok(lease)
    }

    /// Ends a lease.
    pub(super) fn take(&mut self, key: &Key, token: Option<&str>, now: Instant) -> Result<Lease<T>, Missing> {
        self.find(key, token, now)?;
        self.remove(key).ok_or(Missing::Unknown)
    }

    /// Ends a lease, over or not.
    pub(super) fn remove(&mut self, key: &Key) -> Option<Lease<T>> {
        let lease = self.leases.remove(key)?;
        if let Some(ends) = lease.ends {
            self.ends.remove(&(ends, key.clone()));
        }
        Some(lease)
    }

    /// Ends those that were not renewed in time, those first that were over first, and no more than so many.
    pub(super) fn expire(&mut self, now: Instant, most: usize) -> Vec<(Key, Lease<T>)> {
        let mut over = Vec::new();
        while over.len() < most
            && let Some((ends, key)) = self.ends.first()
            && *ends <= now
        {
            let key = key.clone();
            match self.remove(&key) {
                Some(lease) => over.push((key, lease)),
                None => break,
            }
        }
        over
    }

    /// When the next one is over, if it is not renewed.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.ends.first().map(|(ends, _)| *ends)
    }

    /// Ends all.
    pub(super) fn drain(&mut self) -> Vec<Lease<T>> {
        self.ends.clear();
        self.leases.drain().map(|(_, lease)| lease).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const TTL: Duration = Duration::from_secs(10);

    fn key(id: &str) -> Key {
        (ServiceName::parse("time").unwrap(), InstanceId::parse(id).unwrap())
    }

    fn at(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    fn lease<T>(token: &str, ttl: Duration, ends: Option<Instant>, held: T) -> Lease<T> {
        Lease { token: token.into(), ttl, ends, held }
    }

    fn ids<T>(over: &[(Key, Lease<T>)]) -> Vec<&str> {
        over.iter().map(|(key, _)| key.1.as_str()).collect()
    }

    #[test]
    fn a_lease_lasts_for_its_time_and_is_renewed_for_as_long() {
        let (mut table, start) = (Table::default(), Instant::now());
        assert_eq!(table.next_end(), None);
        table.grant(key("a"), lease("1", TTL, Some(start + TTL), ()));
        table.grant(key("b"), lease("2", TTL * 2, Some(start + TTL * 2), ()));
        assert_eq!(table.next_end(), Some(at(start, 10)));
        assert!(table.renew(&key("a"), None, at(start, 9)).is_ok());
        assert_eq!(table.next_end(), Some(at(start, 19)));
        assert!(table.expire(at(start, 18), usize::MAX).is_empty());
        // Over is over, whether or not anybody has looked.
        assert!(matches!(table.renew(&key("a"), None, at(start, 19)), Err(Missing::Unknown)));
        assert!(matches!(table.take(&key("a"), None, at(start, 19)), Err(Missing::Unknown)));
        assert_eq!(ids(&table.expire(at(start, 20), usize::MAX)), ["a", "b"]);
        assert_eq!((table.len(), table.next_end()), (0, None));
    }

    #[test]
    fn who_came_later_has_the_lease() {
        let (mut table, start) = (Table::default(), Instant::now());
        table.grant(key("a"), lease("1", TTL, Some(at(start, 10)), 1));
        table.grant(key("a"), lease("2", TTL, Some(at(start, 15)), 2));
        assert_eq!(table.renew(&key("a"), Some("1"), at(start, 6)).unwrap_err(), Missing::Another);
        assert_eq!(table.take(&key("a"), Some("1"), at(start, 6)).unwrap_err(), Missing::Another);
        assert!(
            table.expire(at(start, 14), usize::MAX).is_empty(),
            "the end of the first is none of the second"
        );
        assert_eq!(table.take(&key("a"), Some("2"), at(start, 14)).unwrap().held, 2);
        assert_eq!(table.find(&key("a"), None, start).unwrap_err(), Missing::Unknown);
        assert_eq!(table.next_end(), None);
    }

    #[test]
    fn a_lease_whose_time_has_not_begun_is_not_over() {
        let (mut table, start) = (Table::default(), Instant::now());
        table.grant(key("a"), lease("1", TTL, None, ()));
        assert_eq!(table.next_end(), None);
        assert_eq!(table.renew(&key("a"), None, at(start, 50)).unwrap().ends, None);
        assert!(table.expire(at(start, 100), usize::MAX).is_empty());
        assert_eq!(table.begin(&key("a"), "2", at(start, 100)).unwrap_err(), Missing::Another);
        assert_eq!(table.begin(&key("a"), "1", at(start, 100)).unwrap().ends, Some(at(start, 110)));
        assert_eq!(ids(&table.expire(at(start, 110), usize::MAX)), ["a"]);
        assert_eq!(table.begin(&key("a"), "1", at(start, 110)).unwrap_err(), Missing::Unknown);
    }

    proptest! {
        #[test]
        fn each_is_over_exactly_when_it_was_not_renewed(
            steps in vec((0_u64..4, 0_usize..3, 0_u8..6, 1_u64..8), 1..60)
        ) {
            let (mut table, start) = (Table::default(), Instant::now());
            let mut model: HashMap<Key, (Option<Instant>, Duration)> = HashMap::new();
            let is_over = |ends: &Option<Instant>, now| ends.is_some_and(|ends| ends <= now);
            let mut now = start;
            for (passed, id, what, ttl) in steps {
                now += Duration::from_secs(passed);
                let (key, ttl) = (key(["a", "b", "c"][id]), Duration::from_secs(ttl));
                match what {
                    0 | 4 => {
                        let ends = (what == 0).then(|| now + ttl);
                        table.grant(key.clone(), lease("t", ttl, ends, ()));
                        model.insert(key, (ends, ttl));
                    }
                    1 => {
                        let alive = model.get_mut(&key).filter(|(ends, _)| !is_over(ends, now));
                        prop_assert_eq!(table.renew(&key, None, now).is_ok(), alive.is_some());
                        if let Some((Some(ends), ttl)) = alive {
                            *ends = now + *ttl;
                        }
                    }
                    5 => {
                        let alive = model.get_mut(&key).filter(|(ends, _)| !is_over(ends, now));
                        prop_assert_eq!(table.begin(&key, "t", now).is_ok(), alive.is_some());
                        if let Some((ends, ttl)) = alive {
                            *ends = Some(now + *ttl);
                        }
                    }
                    2 => {
                        let alive = model.get(&key).is_some_and(|(ends, _)| !is_over(ends, now));
                        prop_assert_eq!(table.take(&key, None, now).is_ok(), alive);
                        if alive {
                            model.remove(&key);
                        }
                    }
                    _ => {
                        let mut over: Vec<_> = table.expire(now, usize::MAX).into_iter().map(|(key, _)| key).collect();
                        over.sort();
                        let mut expected: Vec<_> =
                            model.iter().filter(|(_, (ends, _))| is_over(ends, now)).map(|(key, _)| key.clone()).collect();
                        expected.sort();
                        prop_assert_eq!(over, expected);
                        model.retain(|_, (ends, _)| !is_over(ends, now));
                    }
                }
                prop_assert_eq!(table.len(), model.len());
                prop_assert_eq!(table.next_end(), model.values().filter_map(|(ends, _)| *ends).min());
            }
        }
    }
}
