//! What the guide and the help tell people to paste of the proxy, pasted into a shell.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod pasting;
mod program;
mod services;

use std::path::Path;

use pasting::Shell;
use program::{Gateway, command, soon};
use services::{Registrar, Service};
use zk_local::Server;

const GUIDE: &str = include_str!("../../../docs/gateway.md");

/// Puts what there is in place of what the guide and the help name: addresses, and the folder.
struct Places(Vec<(&'static str, String)>);

impl Places {
    fn put(&mut self, named: &'static str, there: impl Into<String>) {
        self.0.push((named, there.into()));
    }

    fn of(&self, text: &str) -> String {
        // Where something is to listen, any port that is free will do.
        let free = text
            .replace("--listen 127.0.0.1:8481", "--listen 127.0.0.1:0")
            .replace("--proxy 127.0.0.1:8080", "--proxy 127.0.0.1:0")
            .replace("http.server 9011", "http.server 0")
            .replace("gateway --service time &", "gateway --listen 127.0.0.1:0 --service time &");
        self.0.iter().fold(free, |text, (named, there)| text.replace(named, there))
    }
}

/// A command and what it is said to answer.
#[derive(Debug, Default)]
struct Step {
    command: String,
    answer: Vec<String>,
}

/// The commands of a section of the guide, in its order.
fn steps_of(section: &str) -> Vec<Step> {
    let (_, section) = GUIDE.split_once(&format!("\n## {section}\n")).expect("the section is there");
    let section = section.split("\n## ").next().unwrap();
    let mut steps = Vec::<Step>::new();
    for block in section.split("```console\n").skip(1) {
        let mut is_input = false;
        for line in block.split("```").next().unwrap().lines() {
            match line.strip_prefix("$ ") {
                Some(command) => {
                    is_input = command.ends_with("<<'END'");
                    steps.push(Step { command: command.to_owned(), answer: Vec::new() });
                }
                None if is_input => {
                    let command = &mut steps.last_mut().unwrap().command;
                    command.push('\n');
                    command.push_str(line);
                    is_input = line != "END";
                }
                None => steps.last_mut().unwrap().answer.push(line.to_owned()),
            }
        }
    }
    steps
}

/// What the guide shows that a program says, in the order of the guide.
fn shown_by(word: &str) -> Vec<&'static str> {
    let blocks = GUIDE.split("```text\n").skip(1).map(|block| block.split("```").next().unwrap());
    blocks.flat_map(str::lines).filter(|line| line.starts_with(word)).collect()
}

#[tokio::test]
async fn what_the_guide_says_of_the_proxy_can_be_pasted() {
    let server = Server::start().await.unwrap();
    // That of the demo.
    let demo = Gateway::start(&server.connect_string(), &[]).await;
    let folder = tempfile::tempdir().unwrap();
    let mut shell = Shell::start(&server.connect_string(), folder.path()).await;
    let mut places = Places(Vec::new());
    places.put("/tmp/", format!("{}/", folder.path().display()));
    places.put("127.0.0.1:8480", &*demo.address);
    let steps = steps_of("Proxy");
    assert!(steps.len() >= 12, "{steps:?}");
    let mut asked_again = 0;
    for Step { command, answer } in steps {
        let pasted = places.of(&command);
        if answer.iter().any(|line| line.starts_with("listening on ")) {
            assert_eq!(shell.run(&pasted).await.0, 0, "{command}");
            for (line, named) in answer.iter().zip(["127.0.0.1:8481", "127.0.0.1:8080"]) {
                let begin = line.strip_suffix(named).expect("what listens is named");
                places.put(named, shell.says(begin).await);
            }
            assert_eq!(answer.len(), 2, "{answer:?}");
        } else if command.contains("http.server") {
            shell.run(&pasted).await;
            let rest = shell.says("Serving HTTP on 127.0.0.1 port ").await;
            places.put("9011", rest.split(' ').next().unwrap());
        } else {
            shell.run_until(&pasted, &answer).await;
        }
        if command.contains("kill -HUP") {
            asked_again += 1;
            match asked_again {
                1 => shell.tells(&places.of(shown_by("ERROR ")[0])).await,
                _ => shell.tells("rules are in place").await,
            }
        }
        if command.starts_with("kill %1 %2") {
            shell.says("stopped").await;
        }
    }
    assert_eq!(asked_again, 2);
    shell.end().await;
    assert!(is_empty(folder.path()), "what is made is removed again");
    let (status, _) = demo.call("GET", "/v1/services/files/instances/127.0.0.1:9011", "").await;
    assert_eq!(status, 404);
}

fn is_empty(folder: &Path) -> bool {
    folder.read_dir().unwrap().next().is_none()
}

/// The commands of the help, as they stand there: with the spaces before them.
fn commands_of(help: &str) -> Vec<String> {
    let (_, examples) = help.split_once("Example, with a ZooKeeper").expect("there are examples");
    let (examples, _) = examples.split_once("It serves without ZooKeeper").unwrap();
    let (mut commands, mut goes_on) = (Vec::<String>::new(), false);
    let mut ends_with_end = false;
    for line in examples.lines().skip(1) {
        match commands.last_mut() {
            Some(command) if goes_on => {
                command.push('\n');
                command.push_str(line);
            }
            _ if line.starts_with("  ") => {
                commands.push(line.to_owned());
                ends_with_end = line.contains("<<'END'");
            }
            _ => continue,
        }
        goes_on = if ends_with_end { line.trim() != "END" } else { line.ends_with('\\') };
    }
    commands
}

#[tokio::test]
async fn what_the_help_says_can_be_pasted() {
    let help = soon(command(&["--help"]).output()).await.unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let commands = commands_of(&help);
    assert!(commands.len() >= 9, "{commands:?}");

    let server = Server::start().await.unwrap();
    let registrar = Registrar::at(&server.connect_string());
    let (time, video) = (Service::start("time").await, Service::start("video").await);
    let here = [registrar.announce("time", "a", &time), registrar.announce("video", "v", &video)];
    for here in &here {
        soon(here.registered()).await.unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let mut shell = Shell::start(&server.connect_string(), folder.path()).await;
    let mut places = Places(Vec::new());
    for command in commands {
        let pasted = places.of(&command);
        let words = command.trim_start();
        if words.starts_with("gateway ") {
            assert_eq!(shell.run(&pasted).await.0, 0, "{command}");
            if command.contains("--proxy") {
                places.put("127.0.0.1:8080", shell.says("proxying on http://").await);
            } else {
                places.put("127.0.0.1:8480", shell.says("listening on http://").await);
            }
        } else if words.starts_with("curl -N ") {
            // Until somebody has seen enough.
            let (_, said) = shell.run(&pasted.replace("curl -N", "curl -N --max-time 2")).await;
            assert!(said.iter().any(|line| line.starts_with("data: ")), "{command}: {said:?}");
        } else {
            let said = shell.run_until(&pasted, &[]).await;
            if command.contains("/data/7") {
                assert_eq!(said, ["video /data/7 for 127.0.0.1"]);
            }
        }
        if words.starts_with("kill -HUP") {
            shell.tells("rules are in place").await;
        }
    }
    shell.end().await;
    registrar.keeper.close().await;
}
