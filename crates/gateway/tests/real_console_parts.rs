//! What the console's scripts decide without a page, in a browser: who led, and for when a line is drawn.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod browser;
mod common;

use browser::{Served, browse};
use common::Gateway;
use gateway::Guard;
use serde_json::json;
use zk_session::fake::FakeZk;

const LED: &str = r"
    const { Service } = await import('/console/state.js');
    const service = new Service('time');
    const [a, b] = [{ id: 'a', term: 1 }, { id: 'b', term: 2 }];
    const states = [[null, 'unknown'], [a, 'live'], [null, 'unknown'], [a, 'live'], [null, 'unknown'], [b, 'live'], [null, 'live'], [a, 'stale']];
    return states.map(([master, master_source]) => {
      const changes = service.take({ instances: [], source: 'live', master, master_source }, 1);
      return changes.map(({ kind, was, is }) => [kind, was?.id ?? null, is?.id ?? null]);
    });";

/// A value that is 1 from 10 on and 2 from 50 on, drawn from 0 to 100 with these gaps.
const PIECES: &str = r"
    const { pieces } = await import('/console/chart.js');
    const points = [{ at: 10, value: 1 }, { at: 50, value: 2 }];
    const told = (gaps) => pieces(points, gaps, 0, 100).map(({ points, end }) => [...points.map(({ at, value }) => [at, value]), end]);
    return [
      [],
      [{ at: 20, until: 40 }],
      [{ at: 40, until: 60 }],
      [{ at: 20, until: 30 }, { at: 60, until: 70 }],
      [{ at: 70, until: null }],
      [{ at: 5, until: null }],
      [{ at: -90, until: -80 }],
      [{ at: -10, until: 15 }],
    ].map(told);";

/// A hundred states in a second, for ten minutes; each has another number of instances, the last one three.
const MANY: &str = r"
    const { Service } = await import('/console/state.js');
    const service = new Service('time');
    for (let at = 0; at < 60000; at++) {
      const instances = Array.from({ length: (at + 4) % 4 }, (_, id) => ({ id: `${id}`, weight: 1, metadata: {} }));
      service.take({ instances, source: 'live', master: null, master_source: 'live' }, 10 * at);
    }
    const changes = service.news.reduce((sum, { value }) => sum + value, 0);
    const isBounded = ({ length }) => length > 4000 && length <= 4808;
    return [isBounded(service.counts), isBounded(service.news), service.counts.at(-1).value, changes];";

const SERVICE_GAPS: &str = r"
    const { Service } = await import('/console/state.js');
    const service = new Service('time');
    const document = { instances: [], source: 'live', master: null, master_source: 'live' };
    service.lose(1);
    service.take(document, 2);
    service.lose(3);
    service.lose(4);
    service.regain(5);
    service.regain(6);
    service.lose(7);
    service.take(document, 8);
    return service.gaps.map(({ at, until }) => [at, until]);";

#[tokio::test]
async fn only_what_is_known_is_told_and_drawn() {
    let gateway = Gateway::start(&FakeZk::default());
    let served = Served::start(&gateway.app, Guard::default()).await;
    browse(served.address, "", async |page| {
        let led = page.run(LED).await;
        let then = json!([
            [],
            [],
            [],
            [],
            [],
            [["master", "a", "b"]],
            [["no-master", "b", null]],
            [["master", null, "a"]]
        ]);
        assert_eq!(led, then, "that it is not known is no news");
        // 0, 1, 2 and 3 instances in turn: one comes three times, and then three go.
        assert_eq!(page.run(MANY).await, json!([true, true, 3, 6 * 15_000 - 3]));
        assert_eq!(
            page.run(PIECES).await,
            json!([
                [[[10, 1], [50, 2], 100]],
                [[[10, 1], 20], [[40, 1], [50, 2], 100]],
                [[[10, 1], 40], [[60, 2], 100]],
                [[[10, 1], 20], [[30, 1], [50, 2], 60], [[70, 2], 100]],
                [[[10, 1], [50, 2], 70]],
                [],
                [[[10, 1], [50, 2], 100]],
                [[[15, 1], [50, 2], 100]],
            ])
        );
        // Before the first state nothing is lost, and who has lost it loses it once.
        assert_eq!(page.run(SERVICE_GAPS).await, json!([[3, 5], [7, 8]]));
    })
    .await;
    served.stop().await;
}
