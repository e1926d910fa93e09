//! How many are made in few requests.

use std::iter::Peekable;
use std::vec::IntoIter;

use futures::future::FutureExt;
use futures::stream::{FuturesUnordered, StreamExt};

use super::Together;
use crate::among::Happened;
use crate::path::parent;
use crate::{Error, Kind, Link, MAX_COMMIT_BYTES, MAX_OPS, Op};

/// How many transactions are under way at the same time: the server has the next one when it is done with one.
const UNDER_WAY: usize = 4;

impl Together {
    /// Makes what is missing, and sees to whatever happens meanwhile. Gives those that were refused, to be tried again; then `wary`, which is
    /// one alone at first, and twice as many as before whenever those were not refused: a server that refuses all is asked little, and where
    /// but some are refused, as by a quota, the others are soon there.
    pub(super) async fn make(
        &mut self,
        link: &Link,
        mut missing: Vec<usize>,
        happened: &Happened,
        wary: bool,
    ) -> Result<Vec<usize>, Error> {
        self.see_to(link, happened);
        missing.retain(|&number| self.members[number].is_some());
        // No directory is made for nobody.
        if missing.is_empty() {
            return Ok(missing);
        }
        let mut refused = Refused::default();
        if let Err(error) = link.ensure(&self.directory, self.parents).await {
            self.refused(link, &mut refused, missing.drain(..), error)?;
        }
        self.see_to(link, happened);
        let mut missing = missing.into_iter().peekable();
        let mut under_way = FuturesUnordered::new();
        let mut most = if wary { 1 } else { MAX_OPS };
        loop {
            let at_once = if most < MAX_OPS { 1 } else { UNDER_WAY };
            let more = under_way.len() < at_once && refused.why.is_none();
            let batch = if more { self.batch(link, &mut missing, most) } else { None };
            let answered = match batch {
                Some(batch) => {
                    // Sent before anything else is seen to: whoever parts from here on asks after it. Among others it could be
                    // the answers of those that have their turn first.
                    let mut committed = Box::pin(commit(link, batch));
                    let answered = committed.as_mut().now_or_never();
                    if answered.is_none() {
                        under_way.push(committed);
                    }
                    answered
                }
                None => tokio::select! {
                    answered = under_way.next() => match answered {
                        None => break,
                        answered => answered,
                    },
                    news = self.news(link, happened) => {
                        news?;
                        None
                    }
                },
            };
            if let Some((numbers, made)) = answered {
                // What was told before the answer happened before it, perhaps to what was there until ours were made.
                self.see_to(link, happened);
                match self.made(link, &numbers, made) {
                    Ok(()) => most = MAX_OPS.min(2 * most),
                    Err(error) => self.refused(link, &mut refused, numbers, error)?,
                }
            }
        }
        // Others are the first next time.
        let tried = std::mem::take(&mut refused.numbers);
        if let Some(why) = refused.why.clone() {
            self.refused(link, &mut refused, missing, why)?;
        }
        Ok([refused.numbers, tried].concat())
    }

    /// What fits into the next transaction.
    fn batch(&mut self, link: &Link, missing: &mut Peekable<IntoIter<usize>>, most: usize) -> Option<Batch> {
        let mut batch = Batch { numbers: Vec::with_capacity(most), ops: Vec::with_capacity(most) };
        let mut bytes = 0;
        while batch.ops.len() < most
            && let Some(&number) = missing.peek()
        {
            let tried = self.member(number).map(|member| (member.try_now(link), member.place.path.clone()));
            if let Some((Some(data), path)) = tried {
                bytes += path.len() + data.len();
                if bytes > MAX_COMMIT_BYTES && !batch.ops.is_empty() {
                    break;
                }
                let (path, data) = (path.to_string(), data.to_vec());
                batch.ops.push(Op::Create { path, data, kind: Kind::Ephemeral });
                batch.numbers.push(number);
            } else {
                self.part(number);
            }
            missing.next();
        }
        (!batch.ops.is_empty()).then_some(batch)
    }

    /// Fails where so would all that are made in the directory now.
    fn made(&mut self, link: &Link, numbers: &[usize], made: Result<(), Error>) -> Result<(), Error> {
        match made {
            Ok(()) => {
                for &number in numbers {
                    if let Some(member) = self.member(number) {
                        member.held(link, member.place.path.clone(), None);
                    }
                }
            }
            Err(why @ (Error::Rejected { .. } | Error::NoNode | Error::Interrupted)) => return Err(why),
            // One of them cannot be made. Each for itself, so that it harms only itself.
            Err(_) => numbers.iter().for_each(|&number| self.part(number)),
        }
        Ok(())
    }

    /// These are not made now, and those that are there are not to be said to be gone for that.
    fn refused(
        &mut self,
        link: &Link,
        refused: &mut Refused,
        numbers: impl IntoIterator<Item = usize>,
        why: Error,
    ) -> Result<(), Error> {
        let problem = match &why {
            Error::Interrupted => return Err(why),
            // Somebody deleted the directory.
            Error::NoNode => {
                link.forget(&self.directory);
                None
            }
            why => Some(why),
        };
        for number in numbers {
            if let Some(member) = self.member(number) {
                member.standing.pending(problem);
                refused.numbers.push(number);
            }
        }
        refused.why = Some(why);
        Ok(())
    }
}

/// What is not made now.
#[derive(Default)]
struct Refused {
    numbers: Vec<usize>,
    why: Option<Error>,
}

/// What is made in one transaction, and whose it is.
struct Batch {
    numbers: Vec<usize>,
    ops: Vec<Op>,
}

async fn commit(link: &Link, batch: Batch) -> (Vec<usize>, Result<(), Error>) {
    let made = link.commit(&batch.ops).await.map_err(|error| why(error, &batch.ops));
    (batch.numbers, made)
}

/// Why they could not be made. A refusal is said of the directory: it is told to all, and who is the first to be refused is chance.
fn why(error: Error, ops: &[Op]) -> Error {
    let (index, error) = match error {
        Error::Aborted { index, source } => (index, *source),
        error => (0, error),
    };
    match (error, ops.get(index)) {
        (Error::Rejected { what }, Some(Op::Create { path, .. })) => {
            Error::Rejected { what: what.replace(path, &format!("a node in {}", parent(path))) }
        }
        (error, _) => error,
    }
}
