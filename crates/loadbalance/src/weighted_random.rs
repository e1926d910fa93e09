//! Anybody, the heavier the likelier.

use std::sync::Arc;

use crate::alias::Alias;
use crate::draw::{draw, once_more};
use crate::random::because;
use crate::{Algorithm, Candidates, Picker, Request};

/// Anybody, each with a chance in proportion to its weight.
#[derive(Clone, Copy, Debug, Default)]
pub struct WeightedRandom;

impl Algorithm for WeightedRandom {
    fn name(&self) -> &str {
        "weight-random"
    }

    fn picker(&self, candidates: Candidates) -> Arc<dyn Picker> {
        let weights: Vec<_> = candidates.iter().map(|it| it.weight()).collect();
        Arc::new(WeightedLot { table: Alias::new(&weights), candidates })
    }
}

struct WeightedLot {
    table: Alias,
    candidates: Candidates,
}

impl Picker for WeightedLot {
    #[inline]
    fn pick(&self, request: &Request<'_>) -> Option<usize> {
        let Some(drawn) = draw() else { return once_more(self, request) };
        self.table.owner(drawn)
    }

    fn shares(&self) -> Option<Vec<f64>> {
        let total: f64 = self.candidates.iter().map(|it| f64::from(it.weight())).sum();
        Some(self.candidates.iter().map(|it| f64::from(it.weight()) / total).collect())
    }

    fn because(&self, chosen: bool) -> &'static str {
        because(chosen)
    }
}
