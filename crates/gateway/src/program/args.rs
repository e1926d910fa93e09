//! What is accepted on the command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use cli::ending::Usage;
use cli::flags::{number, socket, time};
use cli::log::Verbosity;
use cli::output::chain;
use cli::teaching::Teach;
use cli::zookeeper::{Access, Place};
use gateway::Guard;
use gateway::guard::{Origin, Sites, Tokens, check_exposure};
use gateway::tls::{self, Tls};
use proto::ServiceName;

use super::proxying;

/// The longest that may be waited for what runs.
const HOUR: Duration = Duration::from_secs(3_600);

/// The registry over HTTP: programs in any language register and discover services in ZooKeeper; and a reverse proxy to those services.
#[derive(Debug, Parser)]
#[command(name = "gateway", version, after_help = EXAMPLES)]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
pub(crate) struct Args {
    /// What is asked about the program itself: then it serves nobody.
    #[command(subcommand)]
    pub(crate) teach: Option<Teach>,

    /// Where to listen; port 0 takes any that is free
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8480", value_parser = socket)]
    pub(crate) listen: SocketAddr,

    /// A service that is followed from the start and counts for /readyz; may be given several times. Others are followed when they are
    /// asked for
    #[arg(long, value_name = "NAME")]
    pub(crate) service: Vec<ServiceName>,

    /// A file of tokens, one a line behind the word read or write: then nobody is served without one. Needed where --listen is not an
    /// address of this machine alone. Read again on SIGHUP
    #[arg(long, value_name = "FILE")]
    pub(crate) tokens: Option<PathBuf>,

    /// A name that clients reach it by, besides its address and localhost; may be given several times
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,

    /// An origin whose pages may ask for whatever their token allows, besides our own, also as where a proxy before this changes the host:
    /// https://console.example, with nothing behind host and port; may be given several times. Where certificates of clients are asked for,
    /// browsers let pages of other origins neither read nor write: use tokens
    #[arg(long, value_name = "ORIGIN")]
    origin: Vec<Origin>,

    /// Speak TLS, with the certificates of this file in PEM, the server's first. Read again on SIGHUP, as all of TLS
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,

    /// The private key of the server's certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,

    /// Serve nobody who does not show a certificate that one of those in this file has signed
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_client_ca: Option<PathBuf>,

    /// How long what runs through the proxy may take once it is asked to stop. What is asked of the registry has little more than a second then, and no
    /// longer than this
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time(Duration::ZERO..=HOUR))]
    pub(crate) finish: Duration,

    /// How many connections may be open at the same time, at each port; more wait
    #[arg(long, value_name = "N", default_value_t = 4_096, value_parser = number::<usize>(1..=1_000_000))]
    pub(crate) connections: usize,

    #[command(flatten)]
    pub(crate) log: Verbosity,

    #[command(flatten)]
    pub(crate) proxying: proxying::Flags,

    #[command(flatten)]
    pub(crate) access: Access,

    #[command(flatten)]
    pub(crate) place: Place,
}

const EXAMPLES: &str = "\
Example, with a ZooKeeper on 127.0.0.1:2181:
  gateway --service time &
  curl http://127.0.0.1:8480/v1/services/time
  curl 'http://127.0.0.1:8480/v1/services/time/pick?algorithm=url-hash&key=/data/video&explain=true'
  curl -N http://127.0.0.1:8480/v1/services/time/watch
  curl -X PUT -H 'content-type: application/json' \\
       -d '{\"server_ip\":\"127.0.0.1\",\"server_port\":8897,\"ttl\":30}' \\
       http://127.0.0.1:8480/v1/services/mail/instances/127.0.0.1:8897

The reverse proxy, which sends requests to whoever is registered:
  cat > rules.toml <<'END'
  [[rule]]
  path = \"/data\"           # the first rule that matches says where a request goes
  service = \"video\"
  algorithm = \"url-hash\"   # the same path goes to the same instance

  [[rule]]
  regex = \"/v[12]/\"
  service = \"directory\"
  to = \"master\"
END
  gateway --listen 127.0.0.1:8481 --proxy 127.0.0.1:8080 --rules rules.toml &
  curl http://127.0.0.1:8080/data/7
  kill -HUP %2             # reads the rules again; wrong ones are told, and the old ones stay

It serves without ZooKeeper as well, from the last lists that it knows. SIGTERM and Ctrl-C: it accepts no more, withdraws what it registered, \
finishes what runs, and ends with 0. SIGHUP: it reads rules, tokens and certificates again. With --layout master-normal nothing is registered.

Exit codes: 0 stopped, 1 failed, 2 not understood (nothing was sent), 130 asked to stop once more before it was done.";

/// Who asks, and how, at the port of the registry: what the files say that the flags name.
pub(crate) struct Entrance {
    pub(crate) guard: Guard,
    pub(crate) tls: Option<Tls>,
}

impl Args {
    /// Reads the files of the registry's port.
    pub(crate) fn entrance(&self) -> Result<Entrance, Usage> {
        let tokens = self.tokens.as_deref().map(Tokens::load).transpose();
        let tokens = tokens.map_err(|error| Usage(format!("--tokens: {}", chain(&error))))?;
        let are_known = tokens.is_some() || self.tls_client_ca.is_some();
        check_exposure(self.listen, are_known).map_err(|exposed| Usage(exposed.to_string()))?;
        let tls = load(self.tls_cert.as_ref(), self.tls_key.as_ref(), self.tls_client_ca.as_ref());
        let tls = tls.map_err(|told| Usage(format!("TLS: {told}")))?;
        Ok(Entrance { guard: self.guard(tokens), tls })
    }

    /// Who may ask for what, with these tokens.
    fn guard(&self, tokens: Option<Tokens>) -> Guard {
        Guard { tokens, sites: self.sites() }
    }

    /// What it is known as.
    pub(crate) fn sites(&self) -> Sites {
        Sites::new(self.host.clone(), self.origin.clone())
    }
}

/// What speaks TLS, if that is asked for.
pub(super) fn load(
    certificates: Option<&PathBuf>,
    key: Option<&PathBuf>,
    client_ca: Option<&PathBuf>,
) -> Result<Option<Tls>, String> {
    let (Some(certificates), Some(key)) = (certificates, key) else { return Ok(None) };
    let files = tls::Files { chain: certificates.clone(), key: key.clone(), client_ca: client_ca.cloned() };
    Tls::load(files).map(Some).map_err(|error| chain(&error))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_flags_fit_together() {
        Args::command().debug_assert();
    }

    #[test]
    fn an_origin_that_no_browser_would_send_is_refused_at_the_start() {
        let parsed = |origin| Args::try_parse_from(["gateway", "--origin", origin]);
        assert!(parsed("https://console.example").is_ok());
        for origin in ["https://console.example/", "https://console.example/app", "console.example"] {
            let told = parsed(origin).unwrap_err().to_string();
            assert!(told.contains("--origin") && told.contains("accepted: a scheme, a host"), "{told}");
        }
    }

    #[test]
    fn it_teaches_by_an_example_and_says_what_it_ends_with() {
        assert_eq!(cli::teaching::without_lessons(&Args::command()), Vec::<String>::new());
    }

    #[test]
    fn it_understands_what_pages_say() {
        assert_eq!(pages::misunderstood(&Args::command()).unwrap(), Vec::<String>::new());
    }
}
