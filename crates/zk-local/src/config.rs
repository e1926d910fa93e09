//! The text of a server's `zoo.cfg`.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Sessions of a minute are for people with a debugger; the server's own limit, 20 ticks, is 4 s at our short ticks.
const LONGEST_SESSION: Duration = Duration::from_secs(60);

/// What a server is told at its start. Displays as the text of `zoo.cfg`.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) data: PathBuf,
    pub(crate) client_port: u16,
    pub(crate) tick: Duration,
    pub(crate) min_session: Option<Duration>,
    pub(crate) max_session: Option<Duration>,
    pub(crate) members: Vec<Member>,
    pub(crate) extra: Vec<(String, String)>,
}

/// A server of an ensemble, as another one (or itself) is told to reach it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Member {
    pub(crate) id: usize,
    /// Where it listens for followers when it leads.
    pub(crate) quorum: SocketAddr,
    /// Where it listens for votes.
    pub(crate) election: SocketAddr,
}

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "tickTime={}", self.tick.as_millis())?;
        if let Some(min) = self.min_session {
            writeln!(f, "minSessionTimeout={}", min.as_millis())?;
        }
        writeln!(f, "maxSessionTimeout={}", self.max_session.unwrap_or(LONGEST_SESSION).as_millis())?;
        writeln!(f, "dataDir={}", self.data.display())?;
        writeln!(f, "clientPort={}", self.client_port)?;
        writeln!(f, "clientPortAddress=127.0.0.1")?;
        // All clients come from 127.0.0.1, and the default of 60 would refuse a bench.
        writeln!(f, "maxClientCnxns=0")?;
        writeln!(f, "admin.enableServer=false")?;
        writeln!(f, "4lw.commands.whitelist=*")?;
        writeln!(f, "extendedTypesEnabled=true")?;
        // What is written survives the death of the process all the same, only not that of the machine.
        writeln!(f, "forceSync=no")?;
        if !self.members.is_empty() {
            writeln!(f, "standaloneEnabled=false\ninitLimit=20\nsyncLimit=10")?;
        }
        for member in &self.members {
            let (quorum, election) = (member.quorum, member.election.port());
            writeln!(f, "server.{}={quorum}:{election}", member.id)?;
        }
        // Last, because the last one of two equal keys counts.
        for (key, value) in &self.extra {
            writeln!(f, "{key}={value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> Config {
        Config {
            data: "/tmp/x/data".into(),
            client_port: 2181,
            tick: Duration::from_millis(200),
            min_session: None,
            max_session: None,
            members: Vec::new(),
            extra: Vec::new(),
        }
    }

    fn lines(config: &Config) -> Vec<String> {
        config.to_string().lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_server_listens_on_the_loopback_address_only() {
        let lines = lines(&plain());
        assert!(lines.contains(&"clientPort=2181".to_owned()));
        assert!(lines.contains(&"clientPortAddress=127.0.0.1".to_owned()));
        assert!(lines.contains(&"admin.enableServer=false".to_owned()));
    }

    #[test]
    fn session_limits_are_the_ones_asked_for_or_the_servers_own_lower_one() {
        assert!(!plain().to_string().contains("minSessionTimeout"));
        let config = Config {
            min_session: Some(Duration::from_millis(300)),
            max_session: Some(Duration::from_secs(5)),
            ..plain()
        };
        let lines = lines(&config);
        assert!(lines.contains(&"minSessionTimeout=300".to_owned()));
        assert!(lines.contains(&"maxSessionTimeout=5000".to_owned()));
    }

    #[test]
    fn a_lone_server_has_no_members_and_one_of_an_ensemble_has_all() {
        assert!(!plain().to_string().contains("server."));
        let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let members = vec![
            Member { id: 1, quorum: at(11), election: at(12) },
            Member { id: 2, quorum: at(21), election: at(22) },
        ];
        let lines = lines(&Config { members, ..plain() });
        assert!(lines.contains(&"server.1=127.0.0.1:11:12".to_owned()));
        assert!(lines.contains(&"server.2=127.0.0.1:21:22".to_owned()));
        assert!(lines.contains(&"standaloneEnabled=false".to_owned()));
    }

    #[test]
    fn an_extra_line_overrides_ours_because_it_comes_last() {
        let config = Config { extra: vec![("forceSync".into(), "yes".into())], ..plain() };
        assert_eq!(lines(&config).last().map(String::as_str), Some("forceSync=yes"));
    }
}
