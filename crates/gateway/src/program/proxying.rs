//! The reverse proxy: where it listens, for whom, and by which rules.

use std::fs::read_to_string;
use std::net::SocketAddr;
use std::path::PathBuf;

use cli::ending::Usage;
use cli::flags::socket;
use gateway::guard::check_exposure;
use gateway::proxy::Rules;
use gateway::tls::Tls;

use super::args::load;

/// The reverse proxy.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Reverse proxy")]
pub(crate) struct Flags {
    /// Where the reverse proxy listens, a port of its own; port 0 takes any that is free
    #[arg(long, value_name = "IP:PORT", value_parser = socket, requires = "rules")]
    proxy: Option<SocketAddr>,

    /// Rules in TOML, in order: which requests go to which service. Read again on SIGHUP
    #[arg(long, value_name = "FILE", requires = "proxy")]
    rules: Option<PathBuf>,

    /// Let everybody who reaches --proxy send requests to the services that rules name. Needed where --proxy is not an address of this machine
    /// alone, and no certificates of clients are asked for
    #[arg(long, requires = "proxy")]
    proxy_public: bool,

    /// Speak TLS at --proxy, with the certificates of this file in PEM, the server's first. Read again on SIGHUP, as all of TLS
    #[arg(long, value_name = "FILE", requires_all = ["proxy", "proxy_tls_key"])]
    proxy_tls_cert: Option<PathBuf>,

    /// The private key of that certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "proxy_tls_cert")]
    proxy_tls_key: Option<PathBuf>,

    /// Proxy for nobody who does not show a certificate that one of those in this file has signed
    #[arg(long, value_name = "FILE", requires = "proxy_tls_cert")]
    proxy_tls_client_ca: Option<PathBuf>,
}

/// The proxy as flags and files have it.
pub(crate) struct Proxying {
    pub(crate) listen: SocketAddr,
    pub(crate) tls: Option<Tls>,
    pub(crate) file: RulesFile,
    pub(crate) rules: Rules,
}

/// Where rules are, and what they can say.
#[derive(Clone, Debug)]
pub(crate) struct RulesFile {
    path: PathBuf,
    /// Whether somebody can be the master.
    has_masters: bool,
}

impl Flags {
    /// Reads the files of the proxy's port, if there is to be one. `has_masters`: whether somebody can be one in this layout.
    pub(crate) fn read(&self, has_masters: bool) -> Result<Option<Proxying>, Usage> {
        let (Some(listen), Some(path)) = (self.proxy, self.rules.clone()) else { return Ok(None) };
        let is_deliberate = self.proxy_public || self.proxy_tls_client_ca.is_some();
        if check_exposure(listen, is_deliberate).is_err() {
            return Err(Usage(format!(
                "--proxy: on {listen} everybody who reaches it could send requests to the services that rules name; accepted: an address of \
                 this machine alone, as 127.0.0.1, or certificates of clients (--proxy-tls-client-ca FILE), or --proxy-public where that is meant"
            )));
        }
        let tls = load(
            self.proxy_tls_cert.as_ref(),
            self.proxy_tls_key.as_ref(),
            self.proxy_tls_client_ca.as_ref(),
        );
        let tls = tls.map_err(|told| Usage(format!("TLS of the proxy: {told}")))?;
        let file = RulesFile { path, has_masters };
        let rules = file.read().map_err(|faults| Usage(format!("--rules: {}", faults.join("\n  "))))?;
        Ok(Some(Proxying { listen, tls, file, rules }))
    }
}

impl RulesFile {
    /// What stands in it; else all that is wrong, each with the file and its line.
    pub(crate) fn read(&self) -> Result<Rules, Vec<String>> {
        let path = self.path.display();
        let refuse = |problem: &str| Err(vec![format!("{path}: {problem}")]);
        let text = match read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) => return refuse(&error.to_string()),
        };
        let rules = Rules::read(&text).map_err(|error| {
            error.faults().iter().map(|fault| format!("{path}: {fault}")).collect::<Vec<_>>()
        })?;
        if rules.is_empty() {
            // A file that is being written looks like this.
            return refuse("there is no rule; accepted: at least one, as in [[rule]]");
        }
        match rules.master_of() {
            Some(service) if !self.has_masters => refuse(&format!(
                "a rule sends requests to the master of {service}, and in the flat layout nobody is; accepted: to = \"balanced\""
            )),
            _ => Ok(rules),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::write;

    use super::*;

    #[test]
    fn what_is_wrong_with_rules_is_told_with_file_and_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rules.toml");
        let read = |has_masters| RulesFile { path: path.clone(), has_masters }.read();
        let master = "[[rule]]\npath = \"/\"\nservice = \"time\"\nto = \"master\"\n";
        assert!(read(true).unwrap_err()[0].contains("rules.toml: No such file"));
        for (text, has_masters, told) in [
            ("", true, vec!["rules.toml: there is no rule"]),
            (
                "[[rule]]\n",
                true,
                vec!["rules.toml: line 1, path: it is missing", "rules.toml: line 1, service: "],
            ),
            ("[[rule]\n", true, vec!["rules.toml: line 1: "]),
            (master, false, vec!["rules.toml: a rule sends requests to the master of time"]),
        ] {
            write(&path, text).unwrap();
            let faults = read(has_masters).unwrap_err();
            assert_eq!(faults.len(), told.len(), "{faults:?}");
            for (fault, told) in faults.iter().zip(told) {
                assert!(fault.contains(told), "{told}: {fault}");
            }
        }
        write(&path, master).unwrap();
        assert_eq!(read(true).unwrap().len(), 1);
    }
}
