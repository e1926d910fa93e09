//! A ZooKeeper and a broker, the programs on both, and somebody beside them who is none of ours.

#![allow(dead_code, reason = "each test file uses a part of this")]

use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, MqttOptions};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::broker::Mosquitto;
use crate::common::{Ended, PATIENCE, Running, Zk, demo};

/// How long a request may take whose server is alive: the machine may be busy.
pub(crate) const LONG: &str = "60s";

/// Both, and the flags that lead a program there.
pub(crate) struct Site {
    pub(crate) zk: Zk,
    pub(crate) broker: Mosquitto,
}

impl Site {
    pub(crate) async fn start() -> Self {
        Self { zk: Zk::start().await, broker: Mosquitto::start().await.unwrap() }
    }

    /// One whose sessions end soon when nobody keeps them.
    pub(crate) async fn short() -> Self {
        Self { zk: Zk::short().await, broker: Mosquitto::start().await.unwrap() }
    }

    pub(crate) fn program(&self, command: &str, more: &[&str]) -> tokio::process::Command {
        let begin = [command, "--service", "jobs", "--json"].map(str::to_owned);
        let broker = ["--broker".to_owned(), self.broker.url()];
        let more = more.iter().map(|&flag| flag.to_owned());
        demo(begin.into_iter().chain(broker).chain(self.zk.flags()).chain(more))
    }

    /// A server that is registered.
    pub(crate) async fn server(&self, code: &str, more: &[&str]) -> Running {
        let flags = [&["--unique-code", code], more].concat();
        let mut server = Running::start(self.program("mq-server", &flags));
        server.event(|event| event["kind"] == "registered").await;
        server
    }

    pub(crate) async fn servers(&self) -> Vec<Running> {
        vec![self.server("a", &[]).await, self.server("b", &[]).await, self.server("c", &[]).await]
    }

    pub(crate) fn client(&self, more: &[&str]) -> Running {
        Running::start(self.program("mq-client", more))
    }

    pub(crate) async fn registered(&self, names: &[&str]) {
        let truth = self.zk.truth().await;
        let reached = async {
            loop {
                truth.session.sync("/").await.unwrap();
                let mut now = truth.session.children("/headkeeper/jobs/instances").await.unwrap_or_default();
                now.sort();
                if now == names {
                    return;
                }
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, reached).await.unwrap();
    }
}

/// Whom a Mosquitto lets subscribe to what, by its plugin for that: an ACL file of its own keeps messages from who may not read them, and
/// acknowledges the subscription all the same.
pub(crate) struct Permissions(TempDir);

impl Permissions {
    pub(crate) fn new() -> Self {
        let permissions = Self(tempfile::tempdir().unwrap());
        permissions.forbid(None);
        permissions
    }

    /// Forbids everybody to subscribe to this filter, and nothing else, once the broker starts again.
    pub(crate) fn forbid(&self, filter: Option<&str>) {
        let forbids =
            |filter| json!({ "acltype": "subscribeLiteral", "topic": filter, "priority": 1, "allow": false });
        let acls: Vec<_> = filter.into_iter().map(forbids).collect();
        let access = ["publishClientSend", "publishClientReceive", "subscribe", "unsubscribe"];
        let all = json!({
            "defaultACLAccess": access.map(|access| (access.to_owned(), Value::Bool(true))).into_iter().collect::<Value>(),
            "roles": [{ "rolename": "all", "acls": acls }],
            "groups": [{ "groupname": "all", "roles": [{ "rolename": "all" }] }],
            "anonymousGroup": "all",
            "clients": [],
        });
        std::fs::write(self.0.path().join("all.json"), all.to_string()).unwrap();
    }

    /// The configuration of a broker that heeds them.
    pub(crate) fn lines(&self) -> String {
        let folders = std::fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path());
        let mut files = folders.map(|folder| folder.join("mosquitto_dynamic_security.so"));
        let plugin = files.find(|file| file.exists()).expect("Debian's Mosquitto has it");
        let file = self.0.path().join("all.json");
        format!(
            "allow_anonymous true\nplugin {}\nplugin_opt_config_file {}\n",
            plugin.display(),
            file.display()
        )
    }
}

/// Somebody on the broker who is no program of ours.
pub(crate) struct Somebody {
    pub(crate) client: AsyncClient,
    pub(crate) answers: mpsc::UnboundedReceiver<Value>,
}

impl Somebody {
    /// Hears what comes on `filter`.
    pub(crate) async fn listening(broker: &Mosquitto, name: &str, filter: &str) -> Self {
        let url = broker.url();
        let port = url.rsplit(':').next().unwrap().parse().unwrap();
        let mut options = MqttOptions::new(name, "127.0.0.1", port);
        options.set_keep_alive(Duration::from_secs(60));
        let (client, mut events) = AsyncClient::new(options, 64);
        let (tell, answers) = mpsc::unbounded_channel();
        let (tell_ready, mut ready) = mpsc::channel(1);
        tokio::spawn(async move {
            while let Ok(event) = events.poll().await {
                match event {
                    Event::Incoming(Packet::SubAck(_)) => tell_ready.try_send(()).unwrap(),
                    Event::Incoming(Packet::Publish(message)) => {
                        let _ = tell.send(serde_json::from_slice(&message.payload).unwrap_or(Value::Null));
                    }
                    _ => {}
                }
            }
        });
        client.subscribe(filter, QoS::AtLeastOnce).await.unwrap();
        timeout(PATIENCE, ready.recv()).await.unwrap().unwrap();
        Self { client, answers }
    }

    pub(crate) async fn say(&self, topic: &str, bytes: impl Into<Vec<u8>>) {
        self.client.publish(topic, QoS::AtLeastOnce, false, bytes.into()).await.unwrap();
    }

    pub(crate) async fn hears(&mut self) -> Value {
        timeout(PATIENCE, self.answers.recv()).await.unwrap().unwrap()
    }
}

/// The process of this broker: the one whose configuration has its port.
pub(crate) fn process(broker: &Mosquitto) -> rustix::process::Pid {
    let line = format!("listener {} ", broker.url().rsplit(':').next().unwrap());
    let is_it = |pid: i32| {
        let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let parts: Vec<_> = command.split('\0').collect();
        parts[0].ends_with("/mosquitto")
            && parts
                .get(2)
                .is_some_and(|file| std::fs::read_to_string(file).is_ok_and(|it| it.starts_with(&line)))
    };
    let all = std::fs::read_dir("/proc").unwrap();
    let mut pids = all.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse::<i32>().ok());
    rustix::process::Pid::from_raw(pids.find(|&pid| is_it(pid)).unwrap()).unwrap()
}

pub(crate) fn request(code: &str, id: &str, reply_to: &str) -> String {
    json!({ "serveruniquecode": code, "id": id, "reply_to": reply_to, "body": "it" }).to_string()
}

/// Ends servers by SIGTERM, and gives what they count.
pub(crate) async fn counts(servers: Vec<Running>) -> Vec<Value> {
    let mut counts = Vec::new();
    for server in servers {
        server.signal(Signal::TERM);
        let ended: Ended = server.end().await;
        assert!(ended.status.success());
        counts.push(ended.last()["summary"].clone());
    }
    counts
}
