//! What is shown, in which order, and what has to be true.

use std::borrow::Cow;
use std::time::Duration;

use anyhow::{Context, ensure};
use leader::Term;
use tokio::time::Instant;

use super::cast::Host;
use super::console::{self, Console};
use super::shares;
use super::stage::{Request, Stage};
use crate::output::shown;
use crate::player;

pub(super) const PORTS: [u16; 3] = [8897, 8898, 8899];

const WEIGHTS: [u32; PORTS.len()] = [5, 1, 1];

/// How long something that takes milliseconds may take on a loaded machine.
const SOON: Duration = Duration::from_secs(60);

/// What a loaded machine may add to a time that is promised.
const SLACK: Duration = Duration::from_secs(5);

/// What may go by from the end of a session, or of a leader that is asked to go, until somebody else leads.
const HAND_OVER: Duration = Duration::from_millis(500);

/// So many answers are watched where nothing else is waited for.
const A_FEW: usize = 15;

pub(super) async fn tell(stage: &mut Stage, keep: bool) -> anyhow::Result<()> {
    stage.first_answer(SOON).await?;
    let before = stage.listed();
    let timeout = stage.timeout()?;
    stage
        .say(&format!("who falls silent is taken off the list after {timeout:.1?} (the session timeout)"))
        .await?;
    ensure!(
        before.is_empty(),
        "there are instances of {} already, which a tour would be mixed up with: {before:?}; end them, or begin again: each tour has a name of its own",
        stage.service
    );

    servers_register(stage).await?;
    client_finds_them(stage).await?;
    shares::are_shown(stage).await?;
    let first = one_leads(stage).await?;
    let victim = first.host;
    let killed = it_is_killed(stage, victim).await?;
    let second = another_leads(stage, &first).await?;
    let (took, promised) = (second.since - killed, stage.expiry(timeout) + HAND_OVER);
    stage.say(&format!(
        "{} leads now, {took:.1?} after the kill (promised: {promised:.1?} at most), in term {}, which is greater",
        stage.hosts[second.host].address, second.term
    )).await?;
    ensure!(took <= promised + SLACK, "that took longer than promised");
    list_shrinks(stage, victim, killed, timeout).await?;
    it_returns(stage, victim).await?;
    if keep {
        return stay(stage).await;
    }
    it_hands_over(stage, &second).await?;
    all_leave(stage).await
}

async fn servers_register(stage: &mut Stage) -> anyhow::Result<()> {
    for (port, weight) in PORTS.into_iter().zip(WEIGHTS) {
        let host = Host::start(&stage.connection, &stage.service, port, weight).await?;
        stage
            .say(&format!("started a time server of weight {weight} on {}", introduced(&host, port)))
            .await?;
        stage.hosts.push(host);
    }
    stage.until("three servers on the list", SOON, |stage| stage.listed().len() == PORTS.len()).await?;
    stage.say(&format!("the list has three: {}", stage.listed().join(" "))).await
}

async fn client_finds_them(stage: &mut Stage) -> anyhow::Result<()> {
    stage.begin_client()?;
    stage
        .say("started a client: it reads the list, and asks one after the other, ten times a second")
        .await?;
    stage
        .until("answers from all three", SOON, |stage| {
            let everybody = stage.hosts.iter().all(|host| has_answered(&stage.requests, host));
            everybody && stage.requests.len() >= A_FEW
        })
        .await?;
    for host in &stage.hosts {
        let answers = stage.requests.iter().filter(|request| is_by(request, host)).count();
        stage
            .say(&format!("  {} answered {answers} of {} requests", host.address, stage.requests.len()))
            .await?;
    }
    Ok(())
}

/// One that leads.
struct Reign {
    /// Which of the servers.
    host: usize,
    term: Term,
    /// When it was seen to, and said so itself.
    since: Instant,
}

async fn one_leads(stage: &mut Stage) -> anyhow::Result<Reign> {
    let first = leader_after(stage, Term(0), SOON).await?;
    let address = &stage.hosts[first.host].address;
    stage.say(&format!("one of them leads: {address}, in term {} (its fencing token)", first.term)).await?;
    Ok(first)
}

async fn another_leads(stage: &mut Stage, before: &Reign) -> anyhow::Result<Reign> {
    let within = stage.expiry(stage.timeout()?) + HAND_OVER + SLACK;
    let next = leader_after(stage, before.term, within).await?;
    ensure!(next.host != before.host, "the one that is gone leads");
    Ok(next)
}

/// Waits for a leader of a later term, which everybody sees and it knows itself.
async fn leader_after(stage: &mut Stage, before: Term, within: Duration) -> anyhow::Result<Reign> {
    let leads = |stage: &Stage| stage.leading().filter(|(_, term)| *term > before);
    stage.until("one that leads", within, |stage| leads(stage).is_some()).await?;
    let (host, term) = leads(stage).context("it leads no more")?;
    stage.hosts[host].leads(&stage.service, term).await?;
    Ok(Reign { host, term, since: Instant::now() })
}

async fn it_is_killed(stage: &mut Stage, victim: usize) -> anyhow::Result<Instant> {
    stage.requests.clear();
    let killed = Instant::now();
    stage.hosts[victim].player.kill().await?;
    let address = stage.hosts[victim].address.to_string();
    stage
        .say(&format!("killed {address}, which leads, with SIGKILL: it had no chance to say goodbye"))
        .await?;
    stage
        .until("a request that meets the dead server", SOON, |stage| {
            stage.requests.iter().any(|request| request.refused.contains(&address))
        })
        .await?;
    let met = stage.requests.iter().find(|request| request.refused.contains(&address));
    if let Some(Request { answered: Some(other), took, .. }) = met {
        stage.say(&format!(
            "  it is still on the list: a request met it, was refused, and was answered by {other} {took:.1?} later"
        )).await?;
    }
    Ok(killed)
}

async fn list_shrinks(
    stage: &mut Stage,
    victim: usize,
    killed: Instant,
    timeout: Duration,
) -> anyhow::Result<()> {
    let address = stage.hosts[victim].address.to_string();
    let promised = stage.expiry(timeout);
    let gone = |stage: &Stage| !stage.listed().contains(&address);
    stage.until("the dead server to leave the list", promised + SLACK, gone).await?;
    let after = killed.elapsed();
    stage
        .say(&format!(
            "the list shrank {after:.1?} after the kill (promised: {promised:.1?} at most): {}",
            stage.listed().join(" ")
        ))
        .await?;
    ensure!(after <= promised + SLACK, "that took longer than promised");
    ensure!(stage.listed().len() == PORTS.len() - 1, "others left the list as well");

    let requests = &stage.requests;
    let failing = longest_failure(requests);
    let retried = requests.iter().filter(|request| !request.refused.is_empty()).count();
    let failed = requests.iter().filter(|request| request.answered.is_none()).count();
    let slowest = requests.iter().map(|request| request.took).max().unwrap_or_default();
    stage.say(&format!(
        "{} requests meanwhile: {failed} failed, {retried} went to another server at once, the slowest took {slowest:.1?}",
        requests.len()
    )).await?;
    ensure!(failing <= timeout, "requests failed for {failing:?}, which is longer than the session timeout");
    Ok(())
}

async fn it_returns(stage: &mut Stage, victim: usize) -> anyhow::Result<()> {
    let begin = Instant::now();
    let Host { address, weight, .. } = &stage.hosts[victim];
    let (port, weight) = (address.port(), *weight);
    stage.hosts[victim] = Host::start(&stage.connection, &stage.service, port, weight).await?;
    let address = stage.hosts[victim].address.to_string();
    stage.say(&format!("started it again: {}", introduced(&stage.hosts[victim], port))).await?;
    stage.until("it to be on the list again", SOON, |stage| stage.listed().contains(&address)).await?;
    stage.say(&format!("the list grew {:.1?} later: {}", begin.elapsed(), stage.listed().join(" "))).await?;
    stage.requests.clear();
    stage
        .until("an answer of it", SOON, |stage| {
            has_answered(&stage.requests, &stage.hosts[victim]) && stage.requests.len() >= A_FEW
        })
        .await?;
    stage.say("and the client asks it again").await
}

async fn it_hands_over(stage: &mut Stage, before: &Reign) -> anyhow::Result<()> {
    let asked = Instant::now();
    stage.hosts[before.host].player.ask_to_stop();
    let next = another_leads(stage, before).await?;
    let took = next.since - asked;
    stage.say(&format!(
        "asked {} by SIGTERM to go: {took:.1?} later {} leads, in term {} (promised: {HAND_OVER:.1?} at most)",
        stage.hosts[before.host].address, stage.hosts[next.host].address, next.term
    )).await?;
    ensure!(took <= HAND_OVER + SLACK, "that took longer than promised");
    let ended = stage.hosts[before.host].player.stop().await?;
    ensure!(ended.success(), "it did not end well: {ended}");
    Ok(())
}

async fn all_leave(stage: &mut Stage) -> anyhow::Result<()> {
    let content = stage.end_client().await?;
    stage.say("stopped the client").await?;
    ensure!(content, "the client saw a request fail");
    let begin = Instant::now();
    let ended = player::stop_all(stage.hosts.iter_mut().map(|host| &mut host.player)).await?;
    ensure!(ended.iter().all(std::process::ExitStatus::success), "a server did not end well: {ended:?}");
    let took = begin.elapsed();
    stage.until("an empty list", SOON, |stage| stage.listed().is_empty()).await?;
    stage
        .say(&format!(
            "stopped the other servers with SIGTERM: each left the list by itself, all gone after {took:.1?}"
        ))
        .await?;
    stage.say("all was as promised").await
}

/// What a shell takes for this one word.
fn shell_word(word: &str) -> Cow<'_, str> {
    // A word that no command line can have, for it ends within, cannot have come from one.
    shlex::try_quote(word).unwrap_or(Cow::Borrowed(word))
}

async fn stay(stage: &mut Stage) -> anyhow::Result<()> {
    stage.staying = true;
    let program = std::env::current_exe()?.display().to_string();
    let (program, zk) = (shell_word(&program), shell_word(&stage.connection.access.zk));
    let service = &stage.service;
    stage.say("staying up until Ctrl-C; from another terminal:").await?;
    for (_, variable, value) in stage.connection.access.security.given() {
        stage.say(&format!("  export {variable}={}", shell_word(&value))).await?;
    }
    for command in [
        format!("export ZK_CONNECT={zk}"),
        format!("{program} nodes --zk {zk} --service {service} --watch"),
        format!("{program} master --zk {zk} --service {service} --watch"),
        format!("{program} client --zk {zk} --service {service} --requests 5"),
        format!(
            "{program} client --zk {zk} --service {service} --algorithm weight-round-robin --requests 70 --interval 0s"
        ),
        format!("{program} server --zk {zk} --service {service} --listen 127.0.0.1:0"),
    ] {
        stage.say(&format!("  {command}")).await?;
    }
    let pids: Vec<_> = stage.hosts.iter().filter_map(|host| host.player.pid()).collect();
    stage.say(&format!("the servers are the processes {pids:?}: kill one and see")).await?;
    show_console(stage).await?;
    let (mut listed, mut master) = (stage.listed(), stage.master());
    loop {
        stage.next().await;
        // They would be gathered for as long as somebody plays.
        stage.requests.clear();
        if stage.listed() != listed {
            listed = stage.listed();
            stage.say(&format!("the list: {}", listed.join(" "))).await?;
        }
        if stage.master() != master {
            master = stage.master();
            let who = master.as_ref().map_or_else(
                || "nobody leads".to_owned(),
                |master| format!("{} leads in term {}", shown(&master.id), master.term),
            );
            stage.say(&who).await?;
        }
    }
}

/// Whoever built this program alone has no gateway, and is told how to get one.
async fn show_console(stage: &mut Stage) -> anyhow::Result<()> {
    let program = console::program()?;
    if !program.exists() {
        let missing = program.display();
        return stage
            .say(&format!("no console: there is no {missing} (cargo build -p gateway makes it)"))
            .await;
    }
    let (connection, service) = (stage.connection.clone(), stage.service.clone());
    match stage.meanwhile(Console::start(&program, &connection, &service)).await {
        Ok(console) => {
            stage.say(&format!("all of it in a browser: {}", console.address)).await?;
            stage.console = Some(console);
            Ok(())
        }
        // Everything else is up, and can be played with.
        Err(error) => stage.say(&format!("no console: {error:#}")).await,
    }
}

/// A server's address and pid, and why it is not where it should be.
fn introduced(Host { address, player, .. }: &Host, wanted: u16) -> String {
    let taken = if address.port() == wanted { String::new() } else { format!(" ({wanted} is taken)") };
    format!("{address}{taken}, pid {}", player.pid().unwrap_or_default())
}

fn is_by(request: &Request, host: &Host) -> bool {
    request.answered.as_ref().is_some_and(|id| *id == host.address.to_string())
}

fn has_answered(requests: &[Request], host: &Host) -> bool {
    requests.iter().any(|request| is_by(request, host))
}

/// The longest time in which every request failed, from the begin of the first to the end of the last of a row.
fn longest_failure(requests: &[Request]) -> Duration {
    let (mut longest, mut since) = (Duration::ZERO, None);
    for Request { at, answered, took, .. } in requests {
        if answered.is_some() {
            since = None;
        } else {
            let begin = *since.get_or_insert(*at - *took);
            longest = longest.max(*at - begin);
        }
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_ends_a_failure() {
        let start = Instant::now() + Duration::from_secs(1);
        let request = |ms, answered: bool| Request {
            at: start + Duration::from_millis(ms),
            answered: answered.then(|| "a".to_owned()),
            refused: Vec::new(),
            took: Duration::from_millis(10),
        };
        let longest = |requests: &[Request]| longest_failure(requests).as_millis();
        assert_eq!(longest(&[]), 0);
        assert_eq!(longest(&[request(0, true), request(100, true)]), 0);
        assert_eq!(longest(&[request(0, true), request(100, false), request(200, true)]), 10);
        assert_eq!(longest(&[request(0, false), request(100, false), request(200, false)]), 210);
        assert_eq!(longest(&[request(0, false), request(100, true), request(200, false)]), 10);
    }
}
