//! Results beside each other.

use crate::load::{Load, Measured};
use crate::peers::Peer;

/// Prints what was measured, each figure the median of all rounds; ratios to nginx are those of each round.
pub(crate) fn print(load: &Load, peers: &[Peer], measured: &[Vec<Measured>]) {
    println!("\n{}", load.name);
    println!(
        "{:10} {:>12} {:>10} {:>10} {:>14}   beside nginx: requests, p99, processor",
        "", "requests/s", "median ms", "p99 ms", "processor us"
    );
    let nginx = peers.iter().position(|peer| peer.name == "nginx");
    for (peer, rounds) in peers.iter().zip(measured) {
        let figure = |of: fn(&Measured) -> f64| median(rounds.iter().map(of));
        print!(
            "{:10} {:>12.0} {:>10.3} {:>10.3} {:>14.2}",
            peer.name,
            figure(|it| it.per_second),
            figure(|it| it.median),
            figure(|it| it.p99),
            figure(|it| it.processor),
        );
        if let Some(nginx) = nginx {
            let beside = |of: fn(&Measured) -> f64| {
                median(rounds.iter().zip(&measured[nginx]).map(|(ours, nginx)| of(ours) / of(nginx)))
            };
            let (requests, p99) = (beside(|it| it.per_second), beside(|it| it.p99));
            print!("   {requests:.2} {p99:.2} {:.2}", beside(|it| it.processor));
        }
        println!();
    }
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<_> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
