//! Hundreds of thousands of notifications that come together: what is kept of them is bounded by the nodes there are.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod real;

use std::env;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use real::{options, soon};
use tokio::runtime;
use tokio::sync::oneshot;
use zk_session::{Directory, Keeper, Kind, Name, Node, Options, Presence, Spec};

const DIR: &str = "/services/time/instances";
/// When they waited in a channel, 200,000 took 21 MiB.
const FLOOD: usize = 60_000;
const MOST_KIB: u64 = 1_536;
/// The node that is told of after all others.
const SESSION: Duration = Duration::from_secs(600);
const LAST: &str = "last";

/// What is asked, by its number on the wire.
const EXISTS: i32 = 3;
const READ: i32 = 4;
const CHILDREN: i32 = 8;
const SYNC: i32 = 9;
const COMMIT: i32 = 14;
const CREATE: i32 = 15;
const READ_MANY: i32 = 22;
const ADD_WATCH: i32 = 106;

const NO_NODE: i32 = -101;
/// What nobody asked for has this number.
const NOTIFICATION: i32 = -1;
const CREATED: i32 = 1;
const DELETED: i32 = 2;
const CHANGED: i32 = 3;

/// What happens, and to which child, one after the other.
type Happens = fn(usize) -> (i32, String);

/// A server on which there is nothing. Once it was asked for something it tells of all that happens, as fast as that is
/// taken, and answers nothing meanwhile. It has a thread of its own, so that it waits for nothing of what is looked at.
struct Flooding {
    happens: Happens,
    /// What it was asked for.
    once: i32,
    /// Gets by how many KiB the process grew until somebody asked for the last node.
    grown: Option<oneshot::Sender<u64>>,
    before: u64,
}

impl Flooding {
    fn serve(mut self, mut stream: TcpStream) -> io::Result<()> {
        frame(&mut stream)?;
        let session = [[0; 4], (SESSION.as_millis() as i32).to_be_bytes()].concat();
        let session = [&session[..], &7_i64.to_be_bytes(), &16_i32.to_be_bytes(), &[9; 16], &[0]].concat();
        stream.write_all(&framed(&session))?;
        loop {
            let request = frame(&mut stream)?;
            let (number, kind, asked) = (int(&request, 0), int(&request, 4), &request[8..]);
            let (error, body) = match kind {
                EXISTS => (0, vec![0; 68]),
                READ | CHILDREN => (NO_NODE, Vec::new()),
                SYNC => (0, asked.to_vec()),
                CREATE => (0, [&asked[..4 + int(asked, 0) as usize], &[0; 68]].concat()),
                COMMIT => (0, nobody(&[1; 5])),
                READ_MANY => (0, nobody(asked)),
                ADD_WATCH => (0, Vec::new()),
                _ => (0, Vec::new()),
            };
            stream.write_all(&message(number, error, &body))?;
            if kind == self.once && self.before == 0 {
                self.flood(&mut stream)?;
            }
            let last = string(&format!("{DIR}/{LAST}"));
            if [READ, READ_MANY].contains(&kind)
                && asked.windows(last.len()).any(|some| some == last)
                && let Some(grown) = self.grown.take()
            {
                grown.send(most_kib() - self.before).unwrap();
            }
        }
    }

    fn flood(&mut self, stream: &mut TcpStream) -> io::Result<()> {
        // The most memory from here on.
        fs::write("/proc/self/clear_refs", "5")?;
        self.before = most_kib();
        let all = (0..FLOOD).map(self.happens).chain([(CHANGED, LAST.to_owned())]);
        let mut some = Vec::new();
        for (what, name) in all {
            let told = [&what.to_be_bytes()[..], &3_i32.to_be_bytes(), &string(&format!("{DIR}/{name}"))];
            some.extend(message(NOTIFICATION, 0, &told.concat()));
            if some.len() > 1 << 16 || name == LAST {
                stream.write_all(&some)?;
                some.clear();
            }
        }
        Ok(())
    }
}

/// What follows the length of a frame.
fn frame(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut bytes = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn framed(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

fn string(text: &str) -> Vec<u8> {
    framed(text.as_bytes())
}

fn int(bytes: &[u8], at: usize) -> i32 {
    i32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn message(number: i32, error: i32, body: &[u8]) -> Vec<u8> {
    framed(&[&number.to_be_bytes()[..], &1_i64.to_be_bytes(), &error.to_be_bytes(), body].concat())
}

/// The answer to a read of many, none of which is there.
fn nobody(asked: &[u8]) -> Vec<u8> {
    let head = |done: u8, error: i32| [&(-1_i32).to_be_bytes()[..], &[done], &error.to_be_bytes()].concat();
    let mut answer = Vec::new();
    let mut at = 0;
    // A type, whether it is the end, and an error; then a path, and whether it is watched.
    while asked[at + 4] == 0 {
        answer.extend([head(0, NO_NODE), NO_NODE.to_be_bytes().to_vec()].concat());
        at += 9 + 4 + int(asked, at + 9) as usize + 1;
    }
    answer.extend(head(1, -1));
    answer
}

/// The most memory that this process had since that was forgotten last.
fn most_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

/// Which case a process of this program looks at, for each has memory of its own.
const CASE: &str = "ZK_SESSION_TEST_FLOOD";

#[test]
fn of_a_flood_no_more_is_kept_than_there_are_nodes() {
    let Ok(case) = env::var(CASE) else {
        for case in [
            "several threads, the same names",
            "one thread, the same names",
            "several threads, names that are used once",
            "several threads, nodes of ours",
            "one thread, nodes of ours",
        ] {
            let mut process = Command::new(env::current_exe().unwrap());
            assert!(process.env(CASE, case).status().unwrap().success(), "{case}");
        }
        return;
    };
    let ours = case.ends_with("nodes of ours");
    let happens: Happens = match case.ends_with("used once") {
        true => |number| (if number % 2 == 0 { CREATED } else { DELETED }, format!("n{}", number / 2)),
        false => |number| (CHANGED, format!("n{}", number % 10)),
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (grown, told) = oneshot::channel();
    // It ends with the connection.
    thread::spawn(move || {
        let (stream, _) = listener.accept()?;
        let once = if ours { COMMIT } else { CHILDREN };
        Flooding { happens, once, grown: Some(grown), before: 0 }.serve(stream)
    });
    let mut runtime = match case.starts_with("one") {
        true => runtime::Builder::new_current_thread(),
        false => runtime::Builder::new_multi_thread(),
    };
    let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
    // In a task: what is polled by `block_on` itself does not run beside the others.
    let address = address.to_string();
    let flooded = match ours {
        true => runtime.spawn(keep(address, told)),
        false => runtime.spawn(follow(address, told)),
    };
    let grown = runtime.block_on(flooded).unwrap();
    assert!(grown < MOST_KIB, "{case}: {grown} KiB more");
}

/// Follows on such a server, and tells what it tells.
async fn follow(connect: String, told: oneshot::Receiver<u64>) -> u64 {
    let keeper = Keeper::start(options(connect).session_timeout(SESSION).build().unwrap());
    let read = Arc::new(|_: &str, _: &Node| Ok(Some(())));
    let directory = Directory::follow(keeper.sessions(), DIR.to_owned(), Options::default(), read);
    let grown = soon(told).await.unwrap();
    drop((directory, keeper));
    grown
}

/// The same with nodes that are kept there.
async fn keep(connect: String, told: oneshot::Receiver<u64>) -> u64 {
    let keeper = Keeper::start(options(connect).session_timeout(SESSION).build().unwrap());
    let spec = |name: String| Spec {
        directory: DIR.to_owned(),
        name: Name::Own(name),
        data: Vec::new(),
        parents: Kind::Container,
    };
    let names = (0..20).map(|number| format!("n{number}")).chain([LAST.to_owned()]);
    let kept = Presence::hold_all(&keeper.sessions(), names.map(spec).collect()).unwrap();
    let grown = soon(told).await.unwrap();
    drop((kept, keeper));
    grown
}
