//! Nodes that form a cluster by exchanging JSON over TCP.

use anyhow::{Context, ensure};
use zk_local::free_port;

use super::stage::{Stage, all_end_well, said_after};
use crate::player::Player;

pub(super) async fn show(stage: &Stage) -> anyhow::Result<String> {
    stage.say("nodes that form a cluster, without ZooKeeper").await?;
    let ports = [free_port()?, free_port()?, free_port()?];
    let cluster = format!("127.0.0.1:{}", ports[0]);
    let mut nodes = Vec::new();
    for (index, port) in ports.iter().enumerate() {
        let port = port.to_string();
        let mut flags = vec!["node", "--myport", &port, "--clusterip", &cluster];
        if index == 0 {
            flags.push("--make-master-on-error");
        }
        stage.command(&flags.join(" ")).await?;
        let mut node = Player::start_alone(&flags, stage.connection.log.verbose > 0)?;
        let told = match index {
            0 => said_after(&mut node, "starts as the master")
                .await
                .map(|_| "it starts as the master".to_owned()),
            _ => said_after(&mut node, "joined the cluster by ").await.map(|by| format!("joined by {by}")),
        }?;
        stage.say(&format!("  {told}")).await?;
        nodes.push(node);
    }
    // An old node joins with no end of the line, and reads one object.
    let answer = old_node_joins(&cluster).await.context("an old node was not answered")?;
    ensure!(answer.contains("\"source\"") && answer.contains("4217"), "an old node was answered {answer}");
    stage.say("  a node that speaks as the old program does joined as well").await?;
    all_end_well(&mut nodes).await?;
    Ok("ours and old nodes join each other".to_owned())
}

async fn old_node_joins(cluster: &str) -> anyhow::Result<String> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let request = r#"{"source":{"nodeId":4217,"nodeIpAddr":"127.0.0.1/8","Port":"9009"},"dest":{"nodeId":-1,"nodeIpAddr":"127.0.0.1","Port":"8001"},"message":"may I join"}"#;
    let talk = async {
        let mut stream = tokio::net::TcpStream::connect(cluster).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        anyhow::Ok(answer)
    };
    tokio::time::timeout(super::stage::SOON, talk).await?
}
