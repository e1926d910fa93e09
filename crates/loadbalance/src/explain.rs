//! Why a pick went as it did.

use std::fmt;

use proto::InstanceId;
use serde::Serialize;

use crate::snapshot::{By, Listed, Snapshot, Standing};
use crate::{PickError, Request};

/// Why a pick went as it did. Printed it is a table, without an end of line behind the last row.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// What the algorithm is called.
    pub algorithm: String,
    /// Who was chosen.
    pub chosen: Option<InstanceId>,
    /// Why nobody was.
    #[serde(serialize_with = "as_text")]
    pub error: Option<PickError>,
    /// Everybody in the list, in its order.
    pub instances: Vec<Explained>,
}

/// How one instance fared.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explained {
    /// Its name.
    pub id: InstanceId,
    /// Its weight.
    pub weight: u32,
    /// How many requests it has in flight.
    pub in_flight: u32,
    /// How many of its requests that ended last failed, one after the other.
    pub failures: u32,
    /// The part of the requests that it gets in the long run, where that is known.
    pub share: Option<f64>,
    /// What became of it.
    pub verdict: Verdict,
    /// Why.
    pub because: String,
}

/// What becomes of an instance in a pick.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Verdict {
    /// It was chosen.
    Chosen,
    /// Another one was.
    NotChosen,
    /// It was tried already for this request.
    Tried,
    /// Its weight is 0.
    Drained,
    /// The filter takes it out.
    Filtered,
    /// It is the master, and there are others.
    Master,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Chosen => "chosen",
            Self::NotChosen => "not chosen",
            Self::Tried => "tried",
            Self::Drained => "drained",
            Self::Filtered => "filtered",
            Self::Master => "master",
        })
    }
}

impl Explanation {
    pub(crate) fn of(snapshot: &Snapshot, request: &Request<'_>) -> Self {
        let picked = if request.is_retry() {
            snapshot.pick_another(request)
        } else {
            snapshot.pick(request).map(|candidate| (candidate, By::Algorithm))
        };
        let by = picked.as_ref().map_or(By::Algorithm, |(_, by)| *by);
        let chosen = picked.as_ref().ok().map(|(candidate, _)| candidate.id().clone());
        let mut shares = snapshot.picker.shares().unwrap_or_default().into_iter();
        let explained = |listed: &Listed| {
            let candidate = &listed.candidate;
            let is_candidate = listed.standing == Standing::Candidate;
            let verdict = verdict(listed, request, chosen.as_ref());
            let nobody = verdict == Verdict::NotChosen && chosen.is_none();
            Explained {
                id: candidate.id().clone(),
                weight: candidate.weight(),
                in_flight: candidate.in_flight(),
                failures: candidate.failures(),
                share: if is_candidate { shares.next() } else { None },
                verdict,
                because: if nobody { "nobody was".to_owned() } else { because(verdict, by, snapshot) },
            }
        };
        let instances = snapshot.listed.iter().map(explained).collect();
        let algorithm = snapshot.algorithm.name().to_owned();
        Self { algorithm, chosen, error: picked.err(), instances }
    }
}

fn verdict(listed: &Listed, request: &Request<'_>, chosen: Option<&InstanceId>) -> Verdict {
    let id = listed.candidate.id();
    match listed.standing {
        Standing::Filtered => Verdict::Filtered,
        Standing::Drained => Verdict::Drained,
        Standing::Master => Verdict::Master,
        Standing::Candidate if chosen == Some(id) => Verdict::Chosen,
        Standing::Candidate if request.was_tried(id) => Verdict::Tried,
        Standing::Candidate => Verdict::NotChosen,
    }
}

fn because(verdict: Verdict, by: By, snapshot: &Snapshot) -> String {
    match (verdict, &snapshot.filter) {
        (Verdict::Filtered, Some(filter)) => format!("it is not {}", filter.name()),
        (Verdict::Filtered, None) => String::new(),
        (Verdict::Drained, _) => "its weight is 0".to_owned(),
        (Verdict::Master, _) => "it is the master, and others are there".to_owned(),
        (Verdict::Tried, _) => "it was tried already for this request".to_owned(),
        (Verdict::Chosen, _) if by == By::Load => {
            "of those that were not tried it has the least to do".to_owned()
        }
        (Verdict::NotChosen, _) if by == By::Load => "another one has as little to do, or less".to_owned(),
        (Verdict::Chosen, _) => snapshot.picker.because(true).to_owned(),
        (Verdict::NotChosen, _) => snapshot.picker.because(false).to_owned(),
    }
}

fn as_text<S: serde::Serializer>(error: &Option<PickError>, to: S) -> Result<S::Ok, S::Error> {
    error.as_ref().map(ToString::to_string).serialize(to)
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids = self.instances.iter().map(|it| it.id.as_str().chars().count());
        let widest = ids.max().unwrap_or(0).max(self.algorithm.chars().count());
        write!(
            f,
            "{:widest$}      weight  in flight  failures    share  {:10}  because",
            self.algorithm, "verdict"
        )?;
        for it in &self.instances {
            let share = it.share.map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", share * 100.0));
            write!(
                f,
                "\n{:widest$}  {:>10}  {:>9}  {:>8}  {share:>7}  {:10}  {}",
                it.id.as_str(),
                it.weight,
                it.in_flight,
                it.failures,
                it.verdict,
                it.because
            )?;
        }
        match &self.error {
            Some(error) => write!(f, "\nnobody was picked: {error}"),
            None => Ok(()),
        }
    }
}
