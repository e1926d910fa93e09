//! Who may be picked at all.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use proto::Instance;

/// Says which instances may be picked. Asked once for each list, in a task if that is small, and never for a pick: it waits for nothing.
///
/// # Examples
///
/// ```
/// use loadbalance::Filter;
///
/// let near = Filter::zone("b").and(Filter::version("2"));
/// assert_eq!(near.name(), "zone=b and version=2");
///
/// let reachable = Filter::new("with an address", |instance| instance.data.address.is_some());
/// ```
#[derive(Clone)]
pub struct Filter {
    name: Arc<str>,
    accepts: Arc<dyn Fn(&Instance) -> bool + Send + Sync>,
}

impl Filter {
    /// A rule of one's own. The name is for people. If it panics, the instance is not accepted.
    pub fn new(name: &str, accepts: impl Fn(&Instance) -> bool + Send + Sync + 'static) -> Self {
        Self { name: name.into(), accepts: Arc::new(accepts) }
    }

    /// Those whose metadata have this value for this key.
    pub fn metadata(key: &str, value: &str) -> Self {
        let (wanted, expected) = (key.to_owned(), value.to_owned());
        Self::new(&format!("{key}={value}"), move |instance| {
            instance.data.metadata.get(&wanted).is_some_and(|value| value == expected)
        })
    }

    /// Those in this zone, which stands in the metadata.
    pub fn zone(zone: &str) -> Self {
        Self::metadata("zone", zone)
    }

    /// Those of this version, which stands in the metadata.
    pub fn version(version: &str) -> Self {
        Self::metadata("version", version)
    }

    /// Those that the other filter accepts as well.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let name = format!("{} and {}", self.name, other.name);
        Self::new(&name, move |instance| self.accepts(instance) && other.accepts(instance))
    }

    /// What people call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn accepts(&self, instance: &Instance) -> bool {
        // One instance that a rule was not made for is no reason to keep the old list.
        catch_unwind(AssertUnwindSafe(|| (self.accepts)(instance))).unwrap_or(false)
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Filter").field(&self.name).finish()
    }
}
