//! Joiners and members over real sockets, and old programs on either side.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

use std::sync::Arc;
use std::time::Duration;

use cluster::{
    Address, Answer, JoinError, Limits, MAX_ID, Member, Node, ReadError, Refusal, Request, Trouble, Turned,
    join,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long anything may take that is not what the test is about.
const BUSY: Duration = Duration::from_secs(120);

/// Lets so much time pass for everybody here, and none for the test.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// An address where nobody listens, nor will: it is taken for as long as this process runs.
fn nowhere() -> Address {
    let taken = TcpSocket::new_v4().unwrap();
    taken.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    std::mem::forget(taken);
    address.parse().unwrap()
}

struct Master {
    member: Member,
    turned: mpsc::Receiver<Turned>,
    node: Node,
}

impl Master {
    async fn start(limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap().to_string();
        let node = node(MAX_ID, &at);
        let (member, turned) = Member::start(listener, node.clone(), limits);
        Self { member, turned, node }
    }

    fn at(&self) -> &Address {
        self.node.address()
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect((self.at().host(), self.at().port())).await.unwrap()
    }

    /// Waits until the members, without the master itself, are those with these ids.
    async fn knows(&self, ids: &[u32]) {
        let mut members = self.member.members();
        let are = |now: &Arc<[Node]>| now[1..].iter().map(Node::id).eq(ids.iter().copied());
        let reached = timeout(BUSY, members.wait_for(are)).await.is_ok();
        assert!(reached, "{:?}", self.member.members().borrow());
    }

    async fn next_turned(&mut self) -> Turned {
        timeout(BUSY, self.turned.recv()).await.unwrap().unwrap()
    }
}

fn node(id: u32, address: &str) -> Node {
    Node::new(id, address.parse().unwrap()).unwrap()
}

/// The node with this number.
fn numbered(number: u32) -> Node {
    node(number, &format!("10.0.0.1:{}", number + 1))
}

async fn asks(master: &Master, node: &Node) -> Result<Answer, JoinError> {
    join(node, master.at(), BUSY).await
}

fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

async fn hears(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    // A reset after the answer is an end, too.
    let _ = timeout(BUSY, stream.read_to_end(&mut all)).await.unwrap();
    all
}

#[tokio::test]
async fn a_member_answers_with_the_roles_swapped_and_knows_the_joiner() {
    let master = Master::start(Limits::default()).await;
    let answer = asks(&master, &numbered(1)).await.unwrap();
    assert_eq!((answer.from, answer.to), (master.node.clone(), numbered(1)));
    master.knows(&[1]).await;
    asks(&master, &numbered(1)).await.unwrap();
    asks(&master, &numbered(2)).await.unwrap();
    master.knows(&[1, 2]).await;
    assert_eq!(master.member.remember(&numbered(3)), Ok(()));
    let taken = Refusal::IdTaken { by: numbered(3).address().clone() };
    assert_eq!(master.member.remember(&node(3, "10.0.0.1:77")), Err(taken));
    let here = node(4, &master.at().to_string());
    assert_eq!(master.member.remember(&here), Err(Refusal::OurAddress));
    master.knows(&[1, 2, 3]).await;
}

#[tokio::test]
async fn two_hundred_that_join_at_once_are_all_answered_and_remembered() {
    let master = Master::start(Limits::default()).await;
    let at = master.at().clone();
    let mut joins = JoinSet::new();
    for number in 0..200 {
        let at = at.clone();
        joins.spawn(async move { join(&numbered(number), &at, BUSY).await });
    }
    while let Some(joined) = joins.join_next().await {
        joined.unwrap().unwrap();
    }
    let mut ids: Vec<_> = master.member.members().borrow()[1..].iter().map(Node::id).collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..200).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_restarted_process_replaces_itself_and_an_id_is_given_once() {
    let mut master = Master::start(limits(|limits| limits.members = 3)).await;
    asks(&master, &node(1, "10.0.0.1:1")).await.unwrap();
    asks(&master, &node(2, "10.0.0.1:1")).await.unwrap();
    master.knows(&[2]).await;

    let error = asks(&master, &node(2, "10.0.0.1:9")).await.unwrap_err();
    assert!(
        matches!(&error, JoinError::IdTaken { by, why } if *by == master.node && why.contains("ids are unique")),
        "{error:?}"
    );
    let turned = master.next_turned().await;
    assert!(matches!(turned.why, Trouble::Refused { why: Refusal::IdTaken { .. }, .. }), "{turned:?}");

    asks(&master, &numbered(3)).await.unwrap();
    let error = asks(&master, &numbered(4)).await.unwrap_err().to_string();
    assert!(error.contains("the cluster is full: 3 members are accepted"), "{error}");
    assert!(matches!(asks(&master, &master.node).await, Err(JoinError::Ourselves)));
    master.knows(&[2, 3]).await;
}

#[tokio::test]
async fn an_old_program_that_ends_no_line_and_writes_a_port_as_a_number_joins() {
    let master = Master::start(Limits::default()).await;
    let request = r#"{"source":{"nodeId":5,"nodeIpAddr":"127.0.0.1/8","port":8002},
        "dest":{"nodeId":-1,"nodeIpAddr":"127.0.0.1","port":8001},"message":"hi"}"#;
    // Byte by byte, each in a packet of its own.
    let mut old = master.connect().await;
    old.set_nodelay(true).unwrap();
    for byte in request.as_bytes() {
        old.write_all(&[*byte]).await.unwrap();
    }
    let heard = String::from_utf8(hears(&mut old).await).unwrap();
    assert!(heard.ends_with("}\n") && heard.matches('\n').count() == 1, "{heard}");
    assert!(heard.contains(r#""dest":{"nodeId":5,"nodeIpAddr":"127.0.0.1/8","Port":"8002"}"#), "{heard}");
    master.knows(&[5]).await;
}

#[tokio::test]
async fn a_joiner_that_gave_up_is_not_remembered_and_one_that_only_closed_its_side_is() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at: Address = listener.local_addr().unwrap().to_string().parse().unwrap();
    // All of them wait: nobody accepts connections yet. As long as it may take on a busy machine until all is said.
    let some = Duration::from_secs(3);
    let (first, second) = (numbered(1), numbered(2));
    let (first, second) = tokio::join!(join(&first, &at, some), timeout(some, join(&second, &at, BUSY)));
    let error = first.unwrap_err();
    assert!(matches!(error, JoinError::Unanswered { .. }), "{error:?}");
    assert!(second.is_err());
    let mut half = TcpStream::connect((at.host(), at.port())).await.unwrap();
    half.write_all(Request::new(&numbered(3), &at).line().as_bytes()).await.unwrap();
    half.shutdown().await.unwrap();

    let me = node(MAX_ID, &at.to_string());
    let (member, turned) = Member::start(listener, me.clone(), Limits::default());
    let mut master = Master { member, turned, node: me };
    for _ in 0..2 {
        let turned = master.next_turned().await;
        assert!(
            matches!(turned.why, Trouble::Read(ReadError::Connection { bytes: 100.., .. })),
            "{turned:?}"
        );
    }
    assert_eq!(Answer::parse(&hears(&mut half).await).unwrap().to, numbered(3));
    master.knows(&[3]).await;
}

#[tokio::test]
async fn of_two_objects_in_one_packet_the_first_counts_and_its_answer_arrives_whole() {
    let master = Master::start(Limits::default()).await;
    let line = |number| Request::new(&numbered(number), master.at()).line();
    let mut stream = master.connect().await;
    // More than is read at once: some of it is unread when the answer is sent, and a close would be a reset then.
    let garbage = "x".repeat(5_000);
    stream.write_all(format!("{}{}{garbage}", line(1).trim_end(), line(2)).as_bytes()).await.unwrap();
    let heard = hears(&mut stream).await;
    assert_eq!(Answer::parse(&heard).unwrap().to, numbered(1));
    let error = stream.take_error().unwrap();
    assert!(error.is_none(), "the connection was reset: {error:?}");
    master.knows(&[1]).await;
}

#[tokio::test]
async fn each_hostile_peer_is_told_of_and_keeps_nobody_out() {
    let patience = BUSY * 2;
    let mut master = Master::start(limits(|limits| limits.patience = patience)).await;
    let silent = master.connect().await;
    let mut half = master.connect().await;
    half.write_all(b"{\"source\":").await.unwrap();
    // While these are waited for.
    asks(&master, &numbered(1)).await.unwrap();

    let mut told = Vec::new();
    for (bytes, closes) in [
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), false),
        (vec![b' '; 10 << 20], false),
        ([b"{\"a\":\"".to_vec(), vec![b'x'; 10 << 20]].concat(), false),
        (b"{\"source\":7}".to_vec(), false),
        (b"{\"source\":".to_vec(), true),
        (Vec::new(), true),
    ] {
        let mut stream = master.connect().await;
        let from = stream.local_addr().unwrap();
        let sender = tokio::spawn(async move {
            // It may be hung up on before all is said.
            let _ = stream.write_all(&bytes).await;
            if closes {
                let _ = stream.shutdown().await;
            }
            let _ = hears(&mut stream).await;
        });
        let turned = loop {
            let turned = master.next_turned().await;
            if turned.peer == from {
                break turned;
            }
            told.push(turned);
        };
        timeout(BUSY, sender).await.unwrap().unwrap();
        told.push(turned);
        asks(&master, &numbered(2)).await.unwrap();
    }
    pass(patience).await;
    while told.len() < 8 {
        told.push(master.next_turned().await);
    }
    let (silent, half) = (silent.local_addr().unwrap(), half.local_addr().unwrap());
    let said = |about| told.iter().find(|turned| turned.peer == about).unwrap().why.to_string();
    assert!(said(silent).starts_with("0 bytes and no whole object came within 240s"), "{}", said(silent));
    assert!(said(half).starts_with("10 bytes and no whole object"), "{}", said(half));
    let rest: Vec<_> = told.iter().filter(|it| it.peer != silent && it.peer != half).collect();
    for (turned, begin) in rest.iter().zip([
        "it begins with 'G'",
        "the object does not end within 65536 bytes",
        "the object does not end within 65536 bytes",
        "dest: it is missing",
        "it closed the connection after 10 bytes",
        "it closed the connection without a word",
    ]) {
        assert!(turned.why.to_string().starts_with(begin), "{turned:?}");
        assert_eq!(turned.untold, 0);
    }
    master.knows(&[1, 2]).await;
}

#[tokio::test]
async fn of_too_many_silent_connections_the_oldest_are_closed() {
    let wide = |limits: &mut Limits| (limits.connections, limits.patience) = (4, BUSY * 2);
    let mut master = Master::start(limits(wide)).await;
    let mut silent = Vec::new();
    for _ in 0..4 {
        silent.push(master.connect().await);
    }
    for number in 1..=3 {
        asks(&master, &numbered(number)).await.unwrap();
    }
    // The first had to go for the first that joined. Those that joined were closed, and nobody had to go for the others
    // unless they came too soon after each other: then the second and the third, in this order.
    assert_eq!(hears(&mut silent[0]).await, b"");
    let turned = master.next_turned().await;
    assert_eq!(turned.peer, silent[0].local_addr().unwrap());
    assert!(matches!(turned.why, Trouble::Crowded { open: 4 }), "{turned:?}");
    let last = Request::new(&numbered(9), master.at()).line();
    silent[3].write_all(last.as_bytes()).await.unwrap();
    assert_eq!(Answer::parse(&hears(&mut silent[3]).await).unwrap().to, numbered(9));
    master.knows(&[1, 2, 3, 9]).await;
}

#[tokio::test]
async fn a_member_that_is_dropped_listens_no_more() {
    let master = Master::start(Limits::default()).await;
    let at = master.at().clone();
    let mut open = master.connect().await;
    drop(master);
    assert_eq!(hears(&mut open).await, b"");
    let refused = async {
        while !matches!(join(&numbered(1), &at, BUSY).await, Err(JoinError::Unreachable { .. })) {
            tokio::task::yield_now().await;
        }
    };
    timeout(BUSY, refused).await.unwrap();
}

/// Listens once, reads a request as an old member does, and then does what it is told to.
async fn once<F>(then: impl FnOnce(TcpStream) -> F + Send + 'static) -> Address
where
    F: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap().to_string().parse().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while Request::parse(&request).is_err() {
            assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0, "the joiner closed its side");
        }
        then(stream).await;
    });
    at
}

const OLD_ANSWER: &str = r#"{"source":{"nodeId":7,"nodeIpAddr":"127.0.0.1/8","Port":"8001"},
    "dest":{"nodeId":1,"nodeIpAddr":"10.0.0.1","port":2},"message":"come in"}"#;

#[tokio::test]
async fn an_answer_in_pieces_without_an_end_of_line_counts_though_a_reset_follows() {
    let at = once(|mut stream| async move {
        stream.set_nodelay(true).unwrap();
        for piece in OLD_ANSWER.as_bytes().chunks(7) {
            stream.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        stream.set_zero_linger().unwrap();
    })
    .await;
    let answer = join(&numbered(1), &at, BUSY).await.unwrap();
    assert_eq!(answer.from.to_string(), "node 7 at 127.0.0.1:8001");
    assert_eq!(answer.message, "come in");
}

#[tokio::test]
async fn each_failure_tells_what_to_do_next() {
    let says = async |bytes: &'static [u8]| {
        let at = once(move |mut stream| async move { stream.write_all(bytes).await.unwrap() });
        join(&numbered(1), &at.await, BUSY).await.unwrap_err()
    };
    let error = says(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    assert!(
        matches!(&error, JoinError::NotAMember { what } if what.starts_with("it begins with 'H'")),
        "{error:?}"
    );
    let error = says(b"{\"error\":1}").await;
    assert!(
        matches!(&error, JoinError::NotAMember { what } if what.starts_with("source: it is missing")),
        "{error:?}"
    );
    let error = says(b"").await;
    assert!(matches!(error, JoinError::Unanswered { source: ReadError::Nothing }), "{error:?}");
    let error = says(b"{").await;
    assert!(matches!(error, JoinError::Unanswered { source: ReadError::Torn { bytes: 1 } }), "{error:?}");
    // The rest does not come.
    let (began, begun) = oneshot::channel();
    let at = once(move |mut stream| async move {
        stream.write_all(b"{\"").await.unwrap();
        began.send(()).unwrap();
        let _ = hears(&mut stream).await;
    });
    let (at, joiner) = (at.await, numbered(1));
    let (joined, ()) = tokio::join!(join(&joiner, &at, BUSY), async {
        begun.await.unwrap();
        pass(BUSY).await;
    });
    let error = joined.unwrap_err();
    assert!(
        matches!(error, JoinError::Unanswered { source: ReadError::TooSlow { bytes: 2, .. } }),
        "{error:?}"
    );

    let error = join(&numbered(1), &nowhere(), BUSY).await.unwrap_err();
    assert!(matches!(error, JoinError::Unreachable { .. }), "{error:?}");
}
