//! Anybody.

use std::sync::Arc;

use crate::draw::{below, draw, once_more};
use crate::{Algorithm, Candidates, Picker, Request};

/// Anybody, each with the same chance, whatever their weights.
#[derive(Clone, Copy, Debug, Default)]
pub struct Random;

impl Algorithm for Random {
    fn name(&self) -> &str {
        "random"
    }

    fn picker(&self, candidates: Candidates) -> Arc<dyn Picker> {
        Arc::new(Lot { among: candidates.len() })
    }
}

/// One of this many.
struct Lot {
    among: usize,
}

impl Picker for Lot {
    #[inline]
    fn pick(&self, request: &Request<'_>) -> Option<usize> {
        let Some(drawn) = draw() else { return once_more(self, request) };
        (self.among > 0).then_some(below(drawn, self.among).0)
    }

    fn shares(&self) -> Option<Vec<f64>> {
        Some(vec![1.0 / self.among as f64; self.among])
    }

    fn because(&self, chosen: bool) -> &'static str {
        because(chosen)
    }
}

pub(crate) fn because(chosen: bool) -> &'static str {
    if chosen { "it was drawn" } else { "another one was drawn" }
}
