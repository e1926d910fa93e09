//! What is waited for in lists.

use anyhow::Context as _;
use registry::{Discovery, Instances, Source, View};

/// Whether an instance is in the list.
pub(crate) fn shows(list: &Instances, id: &str) -> bool {
    list.binary_search_by(|instance| instance.id.as_str().cmp(id)).is_ok()
}

/// Waits until a list has so many instances and is known to be the truth.
pub(super) async fn is_live(discovery: &Discovery, count: usize) -> anyhow::Result<()> {
    let mut views = discovery.view();
    let whole = |view: &View| is_whole(view, count);
    views.wait_for(|view| view.as_ref().is_some_and(whole)).await.context("the list ended")?;
    Ok(())
}

/// Whether a list has so many instances and is known to be the truth.
pub(super) fn is_whole(view: &View, count: usize) -> bool {
    view.source == Source::Live && view.entries.len() == count
}
