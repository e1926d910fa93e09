//! Where the code comes from that a request is sent to: discovery, or a hello.

use std::collections::HashSet;
use std::time::Duration;

use cli::output::complain;
use loadbalance::{Balancer, Instances, PickError, Picked, Request};
use proto::InstanceId;
use tokio::sync::watch;
use tokio::time::timeout;

use super::exchange::{Exchange, Why};
use super::sticking::{Next, is_listed, next};
use crate::output::shown;

/// So often is hello said for one request: whoever says it, and by whatever code, need not answer.
pub(super) const HELLOS: u32 = 5;

/// How long an instance that has left the list may take to answer what it was asked before: longer than a server of ours listens
/// after that, and than it takes to say the last of it. Whoever is asked in its place earlier does what it does, too.
pub(super) const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// Where the code comes from.
pub(super) enum Finding<'a> {
    Discovery(Discovered<'a>),
    /// The code of whoever answered the last hello, while it answers.
    Hello(Option<String>),
}

/// One of those that are registered.
pub(super) struct Discovered<'a> {
    pub(super) balancer: &'a Balancer,
    pub(super) request: Request<'a>,
    /// Everybody who is registered, whoever requests go to.
    pub(super) lists: watch::Receiver<Option<Instances>>,
    pub(super) patience: Duration,
    /// Whom we stick to. The pick lasts as long as we do: that is how much it has to do with us.
    pub(super) stuck_to: Option<(String, Picked)>,
    /// Whether it was said that nobody is there.
    pub(super) told: bool,
}

impl Finding<'_> {
    /// The code that the request goes to next, or why there is none. `hellos`: how often hello may still be said for it.
    pub(super) async fn whom(
        &mut self,
        exchange: &mut Exchange,
        tried: &HashSet<String>,
        hellos: &mut u32,
    ) -> Result<String, String> {
        match self {
            Self::Discovery(discovered) => discovered.whom(exchange, tried).await,
            Self::Hello(Some(code)) => Ok(code.clone()),
            Self::Hello(stuck_to) => {
                let code = greet(exchange, tried, hellos).await?;
                Ok(stuck_to.insert(code).clone())
            }
        }
    }

    /// Waits until the instance with this code is on the list no more, and will not answer what it was asked before, if that will
    /// ever be known. One that is drained answers still.
    pub(super) async fn gone(&self, code: &str) {
        match self {
            Self::Discovery(Discovered { lists, .. }) => gone(code, lists.clone()).await,
            Self::Hello(_) => std::future::pending().await,
        }
    }

    /// It did not answer: the next request goes elsewhere.
    pub(super) fn failed(&mut self) {
        match self {
            Self::Discovery(discovered) => {
                if let Some((_, picked)) = discovered.stuck_to.take() {
                    picked.failed();
                }
            }
            Self::Hello(stuck_to) => *stuck_to = None,
        }
    }
}

/// See [`Finding::gone`].
async fn gone(code: &str, mut lists: watch::Receiver<Option<Instances>>) {
    loop {
        if lists.wait_for(|listed| !is_listed(code, listed.as_ref())).await.is_err() {
            std::future::pending::<()>().await;
        }
        let back = lists.wait_for(|listed| is_listed(code, listed.as_ref()));
        match timeout(LAST_ANSWERS, back).await {
            // It was away from the broker, perhaps.
            Ok(Ok(_)) => {}
            Ok(Err(_)) => std::future::pending::<()>().await,
            Err(_) => return,
        }
    }
}

impl Discovered<'_> {
    async fn whom(&mut self, exchange: &mut Exchange, tried: &HashSet<String>) -> Result<String, String> {
        let stuck_to = self.stuck_to.as_ref().map(|(code, _)| &**code);
        let decided = next(stuck_to, self.lists.borrow().as_ref(), tried);
        if let (Next::Stick, Some((code, _))) = (decided, &self.stuck_to) {
            return Ok(code.clone());
        }
        self.stuck_to = None;
        // Those that were tried under another id, which they had before, are not asked again.
        let mut passed = HashSet::new();
        loop {
            let picked = self.pick(exchange, &passed).await.map_err(|why| why.to_string())?;
            // The filter takes those without a code out.
            let code = picked.data.unique_code.clone().unwrap_or_default();
            if !tried.contains(&code) {
                self.stuck_to = Some((code.clone(), picked));
                return Ok(code);
            }
            passed.insert(picked.id.clone());
        }
    }

    /// Picks; waits for somebody who can be picked for as long as an answer may take. Says when that begins and when it is over,
    /// however many requests fail between.
    async fn pick(
        &mut self,
        exchange: &mut Exchange,
        passed: &HashSet<InstanceId>,
    ) -> Result<Picked, PickError> {
        let request = self.request.tried(passed);
        let mut picked = self.balancer.pick(&request);
        if let Err(why) = &picked
            && why.may_pass()
        {
            if !std::mem::replace(&mut self.told, true) {
                complain(&shown(&format!("nobody to send to, waiting: {why}")));
            }
            picked = exchange.meanwhile(self.balancer.pick_within(self.patience, &request)).await;
        }
        if picked.is_ok() && std::mem::take(&mut self.told) {
            complain("there is somebody to send to");
        }
        picked
    }
}

/// The code of somebody who was not tried.
async fn greet(exchange: &mut Exchange, tried: &HashSet<String>, hellos: &mut u32) -> Result<String, String> {
    while *hellos > 0 {
        *hellos -= 1;
        match exchange.greet().await {
            Ok(answer) if !tried.contains(&answer.code) => return Ok(answer.code),
            Ok(_) | Err(Why::Instance(_)) => {}
            Err(Why::Broker(why)) => return Err(why),
        }
    }
    Err(match tried.len() {
        0 => "nobody says hello".to_owned(),
        _ => "nobody else says hello".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proto::{Instance, NodeData};
    use tokio::time::Instant;

    use super::*;

    fn list(codes: &[(&str, u32)]) -> Option<Instances> {
        let instance = |(code, weight): &(&str, u32)| {
            let data = NodeData::behind_broker(*code).with_weight(*weight);
            Arc::new(Instance { id: InstanceId::parse(code).unwrap(), data })
        };
        Some(codes.iter().map(instance).collect())
    }

    #[tokio::test(start_paused = true)]
    async fn an_instance_is_gone_when_it_has_left_the_list_for_as_long_as_its_last_answers_may_take() {
        let (tell, lists) = watch::channel(list(&[("a", 1), ("b", 1)]));
        let mut gone = Box::pin(gone("a", lists));
        let long = Duration::from_secs(3600);
        assert!(timeout(long, &mut gone).await.is_err(), "it is there");
        tell.send_replace(list(&[("a", 0), ("b", 1)]));
        assert!(timeout(long, &mut gone).await.is_err(), "it is drained, and answers");
        tell.send_replace(list(&[("b", 1)]));
        assert!(timeout(LAST_ANSWERS / 2, &mut gone).await.is_err(), "it says its last");
        tell.send_replace(list(&[("a", 1), ("b", 1)]));
        assert!(timeout(long, &mut gone).await.is_err(), "it is back");
        let left = Instant::now();
        tell.send_replace(list(&[("b", 1)]));
        gone.await;
        let after = left.elapsed();
        assert!(after >= LAST_ANSWERS && after < LAST_ANSWERS * 2, "{after:?}");
    }
}
