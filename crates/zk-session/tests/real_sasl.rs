//! SASL with DIGEST-MD5 against a real server that lets nobody else in.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod real;

use std::fs;

use real::{connected, options, soon};
use tempfile::TempDir;
use zk_local::{Proxy, Server};
use zk_session::{Acl, Connect, Error, Kind, Reader};

const USERS: &str = r#"Server {
    org.apache.zookeeper.server.auth.DigestLoginModule required
    user_alice="secret1"
    user_bob="secret2";
};
"#;

async fn server() -> (TempDir, Server) {
    let folder = TempDir::new().unwrap();
    let users = folder.path().join("jaas.conf");
    fs::write(&users, USERS).unwrap();
    let server = Server::builder()
        .config("authProvider.1", "org.apache.zookeeper.server.auth.SASLAuthenticationProvider")
        .config("enforce.auth.enabled", "true")
        .config("enforce.auth.schemes", "sasl")
        .config("sessionRequireClientSASLAuth", "true")
        .property("java.security.auth.login.config", users.to_str().unwrap());
    (folder, server.start().await.unwrap())
}

#[tokio::test]
async fn who_logs_in_by_sasl_has_an_identity_and_keeps_it_over_a_cut() {
    let (_folder, server) = server().await;
    let proxy = Proxy::start(server.address()).await.unwrap();
    let readers = Some(Reader::Identity { scheme: "sasl".to_owned(), id: "bob".to_owned() });
    let alice = options(proxy.connect_string()).sasl_digest_md5("alice", "secret1");
    let alice = alice.acl(Acl::Creator { readers }).build().unwrap();
    let session = connected(&alice).await;
    session.create("/a", b"1", Kind::Ephemeral).await.unwrap();
    proxy.cut();
    soon(session.ended()).await;
    let again = connected(&alice).await;
    assert_eq!(again.id(), session.id());
    again.set("/a", b"2", None).await.unwrap();

    let bob = options(server.connect_string()).sasl_digest_md5("bob", "secret2").build().unwrap();
    let bobs = connected(&bob).await;
    assert_eq!(bobs.get("/a").await.unwrap().unwrap().data, b"2");
    match bobs.set("/a", b"3", None).await {
        Err(Error::Rejected { what }) => assert_eq!(what, "not authorized to write /a"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn who_does_not_log_in_is_told_that_the_servers_refuse() {
    let (_folder, server) = server().await;
    let wrong = options(server.connect_string()).sasl_digest_md5("alice", "hunter2").build().unwrap();
    let stranger = options(server.connect_string()).sasl_digest_md5("mallory", "hunter2").build().unwrap();
    let nobody = options(server.connect_string()).build().unwrap();
    for zookeeper in [wrong, stranger, nobody] {
        match soon(zookeeper.connect()).await {
            Err(Error::Rejected { what }) => {
                assert!(what.contains("do not accept our login") && !what.contains("hunter2"), "{what}");
            }
            other => panic!("{other:?}"),
        }
        soon(zookeeper.close()).await;
    }
}
