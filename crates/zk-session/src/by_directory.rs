//! What is known of directories on one connection.

use std::collections::HashMap;
use std::sync::Arc;

use crate::enlisted::Presences;

/// How many are known before it is asked who needs them.
const FEW: usize = 64;

/// What is known of each directory in which nodes of ours are kept.
///
/// A connection may last for months, and directories come and go with what is kept in them: those that nobody needs any more are forgotten
/// whenever there are twice as many as were needed when that was asked last.
#[derive(Debug)]
pub(crate) struct ByDirectory<T> {
    known: HashMap<String, Arc<T>>,
    most: usize,
}

impl<T> Default for ByDirectory<T> {
    fn default() -> Self {
        Self { known: HashMap::new(), most: FEW }
    }
}

impl<T: Default> ByDirectory<T> {
    /// What is known of `directory`: at first, nothing.
    pub(crate) fn get(&mut self, directory: &str, presences: &Presences) -> Arc<T> {
        if let Some(known) = self.known.get(directory) {
            return known.clone();
        }
        if self.known.len() >= self.most {
            self.known.retain(|directory, _| presences.count_of(directory) > 0);
            self.most = FEW.max(2 * self.known.len());
        }
        self.known.entry(directory.to_owned()).or_default().clone()
    }

    /// Forgets `directory` unless somebody needs it still, and gives what was known.
    pub(crate) fn leave(&mut self, directory: &str, presences: &Presences) -> Option<Arc<T>> {
        if presences.count_of(directory) > 0 { None } else { self.known.remove(directory) }
    }

    pub(crate) fn remove(&mut self, directory: &str) {
        self.known.remove(directory);
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;

    use super::*;
    use crate::Status;
    use crate::enlisted::Enlisted;
    use crate::wish::Wish;

    fn keep(presences: &Presences, directory: &str) -> Enlisted {
        let status = watch::channel(Status::Pending { problem: None }).1;
        let path = format!("{directory}/one").into();
        presences.enlist(path, Wish::new(Vec::new()), status).expect("nobody keeps it")
    }

    #[test]
    fn directories_that_nobody_needs_any_more_are_forgotten_and_no_others() {
        let (presences, mut known) = (Presences::default(), ByDirectory::<()>::default());
        let stays = keep(&presences, "/stays");
        let first = known.get("/stays", &presences);
        for number in 0..10_000 {
            let directory = format!("/{number}");
            let _kept = keep(&presences, &directory);
            let this = known.get(&directory, &presences);
            assert!(Arc::ptr_eq(&this, &known.get(&directory, &presences)));
            assert!(known.known.len() <= FEW, "{}", known.known.len());
        }
        assert!(Arc::ptr_eq(&first, &known.get("/stays", &presences)));
        drop(stays);

        // However many are needed, none of them is forgotten.
        let kept: Vec<_> = (0..1_000).map(|number| keep(&presences, &format!("/{number}"))).collect();
        let all = |known: &mut ByDirectory<()>| -> Vec<_> {
            (0..1_000).map(|number| known.get(&format!("/{number}"), &presences)).collect()
        };
        let before = all(&mut known);
        assert!(before.iter().zip(all(&mut known)).all(|(before, now)| Arc::ptr_eq(before, &now)));
        drop(kept);
        known.remove("/7");
        assert!(!Arc::ptr_eq(&before[7], &known.get("/7", &presences)));
    }
}
