//! What else is worth knowing of an instance.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Index;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Texts by key, in the order of their keys: zone, version, tags.
///
/// Takes 32 bytes for each entry beside its texts: lists of 100,000 instances are kept in memory, and a map's
/// smallest node has room for eleven entries.
///
/// # Examples
///
/// ```
/// use proto::Metadata;
///
/// let mut metadata = Metadata::from([("zone", "b"), ("version", "2.1")]);
/// assert_eq!(metadata.get("zone"), Some("b"));
/// assert_eq!(metadata.insert("zone", "c").as_deref(), Some("b"));
/// assert_eq!(metadata.iter().collect::<Vec<_>>(), [("version", "2.1"), ("zone", "c")]);
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Metadata(Box<[Entry]>);

type Entry = (Box<str>, Box<str>);

impl Metadata {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.find(key).ok().map(|at| &*self.0[at].1)
    }

    /// All entries, in the order of their keys.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> + DoubleEndedIterator + Clone {
        self.0.iter().map(|(key, text)| (&**key, &**text))
    }

    /// Gives a key this text, and returns the one it had. Copies all entries: many at once are better given to
    /// [`extend`](Extend::extend).
    pub fn insert(&mut self, key: impl Into<Box<str>>, text: impl Into<Box<str>>) -> Option<Box<str>> {
        let (key, text) = (key.into(), text.into());
        match self.find(&key) {
            Ok(at) => Some(std::mem::replace(&mut self.0[at].1, text)),
            Err(at) => {
                self.change(|entries| entries.insert(at, (key, text)));
                None
            }
        }
    }

    /// Removes a key, and returns the text it had.
    pub fn remove(&mut self, key: &str) -> Option<Box<str>> {
        let at = self.find(key).ok()?;
        Some(self.change(|entries| entries.remove(at).1))
    }

    fn find(&self, key: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(other, _)| (**other).cmp(key))
    }

    fn change<T>(&mut self, how: impl FnOnce(&mut Vec<Entry>) -> T) -> T {
        let mut entries = std::mem::take(&mut self.0).into_vec();
        let done = how(&mut entries);
        self.0 = entries.into_boxed_slice();
        done
    }
}

impl Index<&str> for Metadata {
    type Output = str;

    /// The text of a key.
    ///
    /// # Panics
    ///
    /// When there is no such key.
    fn index(&self, key: &str) -> &str {
        self.get(key).expect("the key is in the metadata")
    }
}

/// Of entries with the same key the last one counts.
impl<K: Into<Box<str>>, V: Into<Box<str>>> Extend<(K, V)> for Metadata {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, more: I) {
        self.change(|entries| {
            entries.extend(more.into_iter().map(|(key, text)| (key.into(), text.into())));
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            entries.dedup_by(|later, kept| {
                let same = later.0 == kept.0;
                if same {
                    std::mem::swap(later, kept);
                }
                same
            });
        });
    }
}

/// Of entries with the same key the last one counts.
impl<K: Into<Box<str>>, V: Into<Box<str>>> FromIterator<(K, V)> for Metadata {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut metadata = Self::default();
        metadata.extend(entries);
        metadata
    }
}

/// Of entries with the same key the last one counts.
impl<K: Into<Box<str>>, V: Into<Box<str>>, const N: usize> From<[(K, V); N]> for Metadata {
    fn from(entries: [(K, V); N]) -> Self {
        entries.into_iter().collect()
    }
}

impl From<BTreeMap<String, String>> for Metadata {
    fn from(map: BTreeMap<String, String>) -> Self {
        map.into_iter().collect()
    }
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Serialize for Metadata {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Metadata;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Metadata, A::Error> {
                // Grows with what is really there: a length that is claimed reserves nothing.
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry::<Box<str>, Box<str>>()? {
                    entries.push(entry);
                }
                Ok(entries.into_iter().collect())
            }
        }

        deserializer.deserialize_map(Entries)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_map(
            start in vec(("[a-d]{0,2}", "[a-z]{0,3}"), 0..20),
            more in vec(("[a-d]{0,2}", "[a-z]{0,3}"), 0..20),
            steps in vec(("[a-d]{0,2}", proptest::option::of("[a-z]{0,3}")), 0..20),
        ) {
            let mut map: BTreeMap<String, String> = start.iter().cloned().collect();
            let mut metadata: Metadata = start.into_iter().collect();
            prop_assert_eq!(&metadata, &Metadata::from(map.clone()));
            map.extend(more.iter().cloned());
            metadata.extend(more);
            for (key, step) in steps {
                let (was, is) = match step {
                    Some(text) => (map.insert(key.clone(), text.clone()), metadata.insert(&*key, text)),
                    None => (map.remove(&key), metadata.remove(&key)),
                };
                prop_assert_eq!(was.as_deref(), is.as_deref());
                prop_assert_eq!(map.get(&key).map(String::as_str), metadata.get(&key));
            }
            prop_assert_eq!(map.len(), metadata.len());
            prop_assert_eq!(map.is_empty(), metadata.is_empty());
            prop_assert!(map.iter().map(|(key, text)| (&**key, &**text)).eq(metadata.iter()));
            prop_assert_eq!(format!("{map:?}"), format!("{metadata:?}"));
            prop_assert_eq!(serde_json::to_string(&map).unwrap(), serde_json::to_string(&metadata).unwrap());
        }
    }

    #[test]
    fn of_keys_that_come_twice_the_last_counts_also_in_json() {
        let metadata: Metadata = serde_json::from_str(r#"{"b":"1","a":"2","b":"3"}"#).unwrap();
        assert_eq!(metadata, Metadata::from([("a", "2"), ("b", "3")]));
        assert_eq!(&metadata["b"], "3");
    }
}
