//! The reverse proxy: where it listens, for whom, and by which rules.

use std::fs::read_to_string;
use std::net::SocketAddr;
use std::path::PathBuf;

use cli::ending::Usage;
use cli::flags::socket;
use gateway::fleet::Callable;
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
    callable: Callable,
}

impl Flags {
    /// Reads the files of the proxy's port, if there is to be one. `has_masters`: whether somebody can be one in this layout; `callable`: what
    /// services can be called in it.
    pub(crate) fn read(&self, has_masters: bool, callable: Callable) -> Result<Option<Proxying>, Usage> {
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
        let file = RulesFile { path, has_masters, callable };
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
        let services = rules.services().into_iter();
        let elsewhere = services.filter_map(|service| self.callable.check(service).err());
        let mut faults: Vec<_> = elsewhere
            .map(|elsewhere| format!("{path}: a rule names a service that is none: {elsewhere}"))
            .collect();
        if let Some(service) = rules.master_of()
            && !self.has_masters
        {
            faults.push(format!(
                "{path}: a rule sends requests to the master of {service}, and in the flat layout nobody is; accepted: to = \"balanced\""
            ));
        }
        if faults.is_empty() { Ok(rules) } else { Err(faults) }
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
        let read =
            |has_masters| RulesFile { path: path.clone(), has_masters, callable: Callable::default() }.read();
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

    #[test]
    fn in_the_flat_layout_rules_name_its_one_service_or_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rules.toml");
        let rule = |path, service| format!("[[rule]]\npath = \"{path}\"\nservice = \"{service}\"\n");
        let read = |configured: &[&str]| {
            let configured = configured.iter().map(|name| name.parse().unwrap()).collect();
            let callable = Callable::of(&registry::Flat::default(), &configured);
            RulesFile { path: path.clone(), has_masters: false, callable }.read()
        };
        write(&path, [rule("/a", "time"), rule("/b", "tiem"), rule("/c", "go_servers")].concat()).unwrap();
        for (configured, wrong, right) in [
            (&["time"][..], &["tiem", "go_servers"][..], "\"time\""),
            (&[], &["time", "tiem"], "\"go_servers\""),
            (&["time", "go_servers"], &["tiem"], "\"go_servers\", \"time\""),
        ] {
            let faults = read(configured).unwrap_err();
            assert_eq!(faults.len(), wrong.len(), "{faults:?}");
            for (fault, wrong) in faults.iter().zip(wrong) {
                let told = format!(
                    "rules.toml: a rule names a service that is none: the flat layout has one service, and \"{wrong}\" is not what"
                );
                assert!(fault.contains(&told) && fault.ends_with(&format!("accepted: {right}")), "{fault}");
            }
        }
        write(&path, rule("/a", "time")).unwrap();
        assert_eq!(read(&["time"]).unwrap().len(), 1);
        // Where there can be many, one that is none yet may come.
        let any = Callable::of(&registry::Native::default(), &["time".parse().unwrap()].into());
        write(&path, rule("/a", "mail")).unwrap();
        assert_eq!(RulesFile { path, has_masters: true, callable: any }.read().unwrap().len(), 1);
    }
}
