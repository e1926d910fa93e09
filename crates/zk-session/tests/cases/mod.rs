//! What we rely on in ZooKeeper, as cases that run against the fake and against a real server.

mod connections;
mod nodes;
mod refusals;
mod restarts;
mod trees;
mod watches;

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{sleep, timeout};
use zk_session::{Change, Changed, Changes, Connect, Error, Kind, Session, What};

pub(crate) use self::connections::*;
pub(crate) use self::nodes::*;
pub(crate) use self::refusals::*;
pub(crate) use self::restarts::*;
pub(crate) use self::trees::*;
pub(crate) use self::watches::*;

/// Where a case takes place.
#[async_trait]
pub(crate) trait World: Send + Sync {
    /// A directory that this case has for itself.
    fn root(&self) -> &str;

    /// Another program. Its sessions outlive every case.
    async fn client(&self) -> Arc<dyn Client>;

    /// Another program, with sessions as short as can be.
    async fn mortal(&self) -> Arc<dyn Client>;

    /// Makes an empty node in the directory, as somebody who may send longer paths than a session does.
    async fn make_long(&self, name: &str);

    /// Whether the server forgets the watch on a tree when the tree's root is watched, as those before 3.9 do.
    async fn forgets_trees(&self) -> bool;
}

/// A server that a case has for itself.
#[async_trait]
pub(crate) trait Machine: World {
    /// Stops the server.
    async fn stop(&self);

    /// Starts the stopped server.
    async fn start(&self);

    /// Keeps the data of the stopped server.
    async fn save(&self);

    /// Puts the data of the stopped server back to what was saved.
    async fn go_back(&self);

    /// Makes the server look for containers to delete, if it does not look all the time.
    async fn reap(&self);
}

/// A program's way to the server, and what can happen to it.
#[async_trait]
pub(crate) trait Client: Connect {
    /// Ends the connection; the next one is well.
    async fn cut(&self);

    /// Ends the connection, and refuses others until said otherwise.
    async fn set_reachable(&self, reachable: bool);

    /// The next write is done, but its answer is lost with the connection.
    async fn lose_next_reply(&self);
}

/// Calls `$test!(case)` for every case.
macro_rules! every_case {
    ($test:ident) => {
        $test!(a_new_node_reads_as_it_was_made);
        $test!(transactions_are_numbered_in_their_order);
        $test!(a_set_counts_the_version_that_is_asked_for);
        $test!(a_write_of_the_same_data_counts_too);
        $test!(a_node_made_again_is_another_node);
        $test!(a_node_needs_its_parent);
        $test!(a_path_has_one_node);
        $test!(a_delete_asks_for_existence_then_version_then_children);
        $test!(an_ephemeral_node_has_an_owner_and_no_children);
        $test!(others_may_write_and_delete_an_ephemeral_node);
        $test!(a_sequence_counts_all_children_ever_made);
        $test!(a_sequence_can_be_a_whole_name);
        $test!(a_container_stays_until_it_has_had_children);
        $test!(children_are_listed_and_counted);
        $test!(what_is_absent_reads_as_none);
        $test!(many_nodes_are_read_in_the_order_asked_for);
        $test!(the_root_is_there);
        $test!(a_sync_needs_no_node);
        $test!(a_commit_is_one_transaction);
        $test!(operations_of_a_commit_see_those_before_them);
        $test!(a_commit_that_fails_does_nothing_and_says_where);
        $test!(a_commit_makes_ephemeral_and_sequential_nodes);
        $test!(an_empty_commit_is_nothing);
        $test!(calls_are_executed_in_their_order);
        $test!(a_call_that_was_dropped_is_executed_all_the_same);

        $test!(paths_that_servers_refuse_are_invalid);
        $test!(a_path_that_is_too_long_to_be_sent_hides_no_other);
        $test!(the_root_can_be_neither_made_nor_deleted);
        $test!(data_over_the_limit_is_invalid);
        $test!(a_commit_over_a_limit_is_invalid);

        $test!(a_watched_node_says_once_that_it_was_made);
        $test!(a_watched_node_says_once_that_it_was_written);
        $test!(a_watched_node_says_once_that_it_is_gone);
        $test!(a_watched_node_is_silent_about_its_children);
        $test!(two_watches_on_a_node_both_fire);
        $test!(a_dropped_watch_on_a_node_leaves_the_others);
        $test!(a_node_replaced_in_a_commit_fires_its_watch);

        $test!(a_watched_tree_tells_all_that_happens_in_it);
        $test!(a_watched_tree_ends_at_a_slash);
        $test!(a_watched_tree_may_be_absent_and_outlives_its_root);
        $test!(a_watched_tree_tells_a_commit_one_by_one);
        $test!(a_watched_tree_tells_of_our_own_changes);
        $test!(a_change_is_here_before_a_read_shows_it);
        $test!(a_thousand_changes_are_here_before_a_read_shows_the_last);
        $test!(trees_may_overlap_and_be_dropped_one_by_one);
        $test!(a_node_in_a_watched_tree_can_be_watched_too);
        $test!(a_watch_on_the_root_of_a_watched_tree_may_silence_it);

        $test!(every_client_has_a_session_of_its_own);
        $test!(a_cut_connection_is_over_and_its_session_goes_on);
        $test!(watches_end_with_the_connection);
        $test!(a_lost_reply_leaves_the_write_done);
        $test!(a_session_unheard_of_takes_its_nodes_with_it);
        $test!(a_closed_session_takes_its_nodes_with_it);
        $test!(a_session_that_ends_tells_who_watches);
        $test!(a_closed_client_connects_no_more);
        $test!(a_dropped_client_ends_its_session);
        $test!(a_session_that_nobody_holds_goes_on);
    };
}
pub(crate) use every_case;

/// Calls `$test!(case)` for every case that needs a server for itself.
macro_rules! every_case_of_a_machine {
    ($test:ident) => {
        $test!(a_restarted_server_knows_its_nodes_and_sessions);
        $test!(a_session_outlives_a_server_that_is_down_and_then_expires);
        $test!(an_older_state_is_the_truth_for_clients_that_saw_a_newer_one);
        $test!(an_emptied_container_goes);
    };
}
pub(crate) use every_case_of_a_machine;

/// A case that takes longer has failed.
const LIMIT: Duration = Duration::from_secs(60);

/// Waits for what must come.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(LIMIT, what).await.expect("it should have come by now")
}

/// A program that is connected.
struct Connected {
    client: Arc<dyn Client>,
    session: Arc<dyn Session>,
}

impl Deref for Connected {
    type Target = dyn Session;

    fn deref(&self) -> &Self::Target {
        &*self.session
    }
}

async fn session(world: &dyn World) -> Connected {
    connect(world.client().await).await
}

async fn connect(client: Arc<dyn Client>) -> Connected {
    let session = soon(client.connect()).await.unwrap();
    Connected { client, session }
}

fn path(world: &dyn World, below: &str) -> String {
    format!("{}/{below}", world.root())
}

async fn make(session: &dyn Session, path: &str) {
    session.create(path, b"", Kind::Persistent).await.unwrap();
}

/// Whether a watch on a node has fired, as far as a read that was answered can tell.
fn has_fired(changed: Changed) -> bool {
    use futures::FutureExt;
    changed.now_or_never().is_some()
}

/// The next connection, as soon as there is one.
async fn back(client: &dyn Client) -> Arc<dyn Session> {
    let connected = async {
        loop {
            match client.connect().await {
                Ok(session) => return session,
                Err(Error::Unreachable { .. }) => sleep(Duration::from_millis(50)).await,
                Err(other) => panic!("{other}"),
            }
        }
    };
    soon(connected).await
}

/// A connection whose session has this node: a short one may be lost before that, on a busy machine.
async fn with_node(client: &dyn Client, path: &str) -> Arc<dyn Session> {
    let made = async {
        loop {
            let session = back(client).await;
            let made = session.create(path, b"", Kind::Ephemeral).await;
            assert!(matches!(made, Ok(_) | Err(Error::NodeExists | Error::Interrupted)), "{made:?}");
            match session.exists(path).await {
                Ok(Some(stat)) if stat.owner == Some(session.id()) => return session,
                Ok(_) | Err(Error::Interrupted) => {}
                Err(other) => panic!("{other}"),
            }
        }
    };
    soon(made).await
}

/// Waits until there is no such node any more. A close that was asked for may be done a moment after it was.
async fn gone(session: &dyn Session, path: &str) {
    soon(async {
        loop {
            let (node, changed) = session.watch_node(path).await.unwrap();
            if node.is_none() {
                return;
            }
            changed.await;
        }
    })
    .await;
}

/// The next `count` changes.
async fn changes(of: &mut Changes, count: usize) -> Vec<(What, String)> {
    let mut all = Vec::new();
    for _ in 0..count {
        let Change { path, what } = soon(of.next()).await.expect("the connection should be well");
        all.push((what, path));
    }
    all
}

/// Proves that there is no change before the one that it makes itself at `path`.
async fn nothing_before(changes: &mut Changes, session: &dyn Session, path: &str) {
    make(session, path).await;
    let next = soon(changes.next()).await;
    assert_eq!(next, Some(Change { path: path.to_owned(), what: What::Created }));
}
