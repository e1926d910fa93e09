//! What happens when this process has no room for another connection. A file of its own, for that is true of a whole process.

mod proxying;

use std::fs::File;

use gateway::proxy::Outcome;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use self::proxying::{Gateway, head, named, soon};

#[tokio::test]
async fn no_instance_is_blamed_when_there_is_no_room_here() {
    let gateway = Gateway::before(&[named("a").await, named("b").await], "[ejection]\nfailures = 1").await;
    let mut client = gateway.connect().await;
    // Its connection is accepted, and whatever else needs files has them.
    client.write_all(b"HEAD /%zz HTTP/1.1\r\nhost: t\r\n\r\n").await.unwrap();
    assert!(head(&mut client).await.starts_with("HTTP/1.1 400 "));

    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(256), ..limit }).unwrap();
    let files: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    client.write_all(b"GET / HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    soon(client.read_to_string(&mut answer)).await.unwrap();
    drop(files);
    setrlimit(Resource::Nofile, limit).unwrap();

    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("\r\nretry-after: 1\r\n"), "{answer}");
    assert!(answer.contains("no room here for one more connection"), "{answer}");
    assert_eq!(gateway.proxy.served()[0].ejected, 0);
    assert_eq!(gateway.ended(Outcome::NoRoom), 1);
    assert_eq!(gateway.get("/").await.0, 200);
}
