//! What is measured, a file or folder for each.
//!
//! A scenario is a file or folder here with `pub(crate) async fn run(stage: &Stage, count: u32, rounds: u32) -> anyhow::Result<Report>`,
//! which measures at one size, and a line in each function of [`Which`](super::which::Which):
//!
//! - It begins each round with `stage.progress().round(round)`, from 0, which is not counted, to `rounds`; before a long
//!   part of a round it may say what comes with `stage.progress().doing("reading")`. Not while something is measured.
//! - Reports of several sizes stand side by side, so neither [`Report::title`] nor `about` nor [`Figure::what`] nor
//!   [`Ratio::what`] says the size. A figure that was measured at some sizes alone has empty cells elsewhere.
//! - Figures of a report have names of their own, as ratios have: each is found by it. Of two with the same name the run fails.
//! - What must hold always is judged by all rounds together or by the worst one (`promises`), for a median hides it.
//! - [`Figure::beside`] names the bare client's figure of the same report for the same work: both get a row, and their
//!   ratio another one. A [`Ratio`] is for what is judged, and for what is not such a pair.
//!   A figure of the bare client's is made so by [`Figure::bare`], with or without such a pair: it is drawn dashed.
//! - A limit that is known to be missed somewhere is a [`Limit::AtMostBut`] or a [`Limit::AtLeastBut`], which says why.
//! - A figure's unit is one of `ns`, `us`, `ms`, `s`, `/s`, `B`, `bytes`, `KiB`, `MiB`, empty for a count, or something else; those of
//!   one kind share a plot.
//!
//! [`Figure::what`]: super::report::Figure::what
//! [`Figure::bare`]: super::report::Figure::bare
//! [`Figure::beside`]: super::report::Figure::beside
//! [`Limit::AtLeastBut`]: super::report::Limit::AtLeastBut
//! [`Limit::AtMostBut`]: super::report::Limit::AtMostBut
//! [`Ratio`]: super::report::Ratio
//! [`Ratio::what`]: super::report::Ratio::what
//! [`Report::title`]: super::report::Report::title

pub(crate) mod burst;
pub(crate) mod change;
pub(crate) mod churn;
pub(crate) mod cold_start;
pub(crate) mod ensemble;
pub(crate) mod expiry;
pub(crate) mod hand_over;
pub(crate) mod large;
pub(crate) mod lists;
pub(crate) mod memory;
mod order;
pub(crate) mod outage;
mod promises;
pub(crate) mod register;
pub(crate) mod restart;
pub(crate) mod services;
pub(crate) mod slow;
mod steps;
mod time;
pub(crate) mod watchers;
