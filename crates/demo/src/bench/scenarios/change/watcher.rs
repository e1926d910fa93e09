//! Somebody who is told of changes: our list, or the bare client with a watch on all of a directory.

use proto::ServiceName;
use registry::{Discovery, Instances};
use tokio::sync::watch;
use zookeeper_client::{AddWatchMode, Client, EventType, PersistentWatcher};

use super::others::Node;
use crate::bench::processes::Who;
use crate::bench::scenarios::lists;
use crate::bench::stage::{Ours, Stage, raw};

pub(super) enum Watcher {
    Ours { session: Ours, lists: watch::Receiver<Option<Instances>>, _follows: Discovery },
    Bare { client: Client, told: PersistentWatcher },
}

impl Watcher {
    /// Ready to be told, in a session of its own.
    pub(super) async fn start(
        stage: &Stage,
        connect: &str,
        service: &ServiceName,
        who: Who,
    ) -> anyhow::Result<Self> {
        match who {
            Who::Registry => {
                let session = stage.start_at(connect)?;
                let discovery = session.registry.follow(service);
                discovery.ready().await?;
                Ok(Self::Ours { session, lists: discovery.instances(), _follows: discovery })
            }
            Who::BareClient => {
                let client = raw(connect).await?;
                let told = client.watch(&stage.directory(service), AddWatchMode::PersistentRecursive).await?;
                Ok(Self::Bare { client, told })
            }
        }
    }

    /// Waits until an instance is in the list, or no longer is; the bare client until it is told so, and has read what is new.
    pub(super) async fn shows(&mut self, node: &Node, there: bool) -> anyhow::Result<()> {
        match self {
            Self::Ours { lists, .. } => {
                let so = |list: &Instances| lists::shows(list, &node.id) == there;
                lists.wait_for(|list| list.as_ref().is_some_and(so)).await?;
            }
            Self::Bare { client, told } => {
                let wanted = if there { EventType::NodeCreated } else { EventType::NodeDeleted };
                let mut event = told.changed().await;
                while event.event_type != wanted || event.path != node.path {
                    anyhow::ensure!(
                        event.event_type != EventType::Session,
                        "the bare client lost its session"
                    );
                    event = told.changed().await;
                }
                if there {
                    client.get_data(&node.path).await?;
                }
            }
        }
        Ok(())
    }

    pub(super) async fn end(self) {
        if let Self::Ours { session, .. } = self {
            session.close().await;
        }
    }
}
