//! How long requests took, as they were answered.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};

/// What `latencies.lua` writes begins with this.
const HEAD: &str = "Latencies of ";

/// How many requests took how many microseconds.
#[derive(Debug)]
pub(crate) struct Latencies(BTreeMap<u64, u64>);

impl Latencies {
    /// Reads what wrk wrote, and takes out of it what it added.
    ///
    /// wrk counts a request that took some times as long as they do on average once more for each of those times (`stats_correct` in its
    /// `stats.c`, against what Tene calls coordinated omission), so its percentiles are of time rather than of requests: a machine that
    /// stands still for a hundredth of it decides them. Every bin above that average has what is in the bin an average higher added.
    pub(crate) fn read(text: &str, connections: u64) -> anyhow::Result<Self> {
        let (_, text) = text.split_once(HEAD).context("wrk wrote no latencies")?;
        let mut lines = text.lines().map(|line| {
            let mut numbers = line.split_whitespace().filter_map(|word| word.parse::<u64>().ok());
            Some((numbers.next()?, numbers.next()?))
        });
        let (requests, time) = lines.next().flatten().context("wrk did not say how many there were")?;
        let counted: BTreeMap<_, _> = lines.map_while(|line| line).collect();
        let average = time.checked_div(requests / connections).context("wrk had no answer")?;
        let answered = |(took, count): (&u64, &u64)| {
            let added = if *took > average { counted.get(&(took + average)).copied() } else { None };
            Some((*took, count.checked_sub(added.unwrap_or(0))?))
        };
        let answered: Option<BTreeMap<_, _>> = counted.iter().map(answered).collect();
        let answered = answered.filter(|it| it.values().sum::<u64>() == requests);
        Ok(Self(answered.context("wrk corrects latencies in another way than it did")?))
    }

    /// Milliseconds that this share of the requests took at most.
    pub(crate) fn percentile(&self, of: f64) -> anyhow::Result<f64> {
        ensure!((0.0..=1.0).contains(&of), "{of} is no share");
        let all: u64 = self.0.values().sum();
        let mut below = 0;
        for (took, count) in &self.0 {
            below += count;
            if below as f64 >= of * all as f64 {
                return Ok(*took as f64 / 1000.0);
            }
        }
        anyhow::bail!("no request was answered")
    }
}
