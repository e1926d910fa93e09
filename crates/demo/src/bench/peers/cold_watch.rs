//! How long it takes until all is known, in one new session after the other.

use std::time::Duration;

use cli::ending;
use cli::flags::number;
use cli::output::print;
use tokio::time::Instant;

use super::Place;

/// How long a run may take.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,
    /// How often
    #[arg(value_parser = number::<u32>(1..=1_000))]
    runs: u32,
}

pub(super) async fn run(Args { place, runs }: Args) -> anyhow::Result<()> {
    for _ in 0..runs {
        let millis = once(&place).await?;
        print(format_args!("{millis:.1}"))?;
    }
    Ok(())
}

/// From the call of `follow`, in a session that is open, until a list has all instances.
async fn once(place: &Place) -> anyhow::Result<f64> {
    let connection = place.connection();
    let keeper = connection.keep()?;
    let sessions = keeper.sessions();
    connection.bounded(PATIENCE, &sessions, sessions.next()).await?;

    let begin = Instant::now();
    let discovery = place.registry(keeper.sessions()).follow(&place.service);
    let mut lists = discovery.instances();
    let all = lists.wait_for(|list| list.as_ref().is_some_and(|list| list.len() == place.instances));
    let known = tokio::time::timeout(PATIENCE, async { all.await.is_ok() }).await;
    let millis = begin.elapsed().as_secs_f64() * 1e3;

    let found = lists.borrow().as_ref().map(registry::List::len);
    drop(discovery);
    ending::close(keeper).await;
    match (known, found) {
        (Ok(true), _) => Ok(millis),
        (_, Some(found)) => anyhow::bail!(
            "{} below {} has {found} usable instances instead of {}",
            place.service,
            place.base,
            place.instances
        ),
        (_, None) => anyhow::bail!("there was no list of {} within {PATIENCE:?}", place.service),
    }
}
