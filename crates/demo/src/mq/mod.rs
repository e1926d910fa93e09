//! Services behind a message broker: all instances receive what is sent to their service, and the one answers whose
//! ServerUniqueCode it carries.

mod at;
pub(crate) mod client;
mod code;
mod link;
mod message;
pub(crate) mod server;
mod topics;

use clap::Args;
use cli::ending::Usage;
use proto::ServiceName;

use self::at::Broker;
use self::topics::Topics;

/// Which broker, and where on it.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Message broker")]
pub(crate) struct Flags {
    /// The broker, which has to speak MQTT 5; a user name and a password come by MQTT_USERNAME and MQTT_PASSWORD
    #[arg(long, value_name = "mqtt://HOST[:PORT]", default_value = "mqtt://127.0.0.1:1883", value_parser = Parsed)]
    broker: Broker,

    /// The topic of the service; its name unless given
    #[arg(long, value_name = "TOPIC", value_parser = Topics::parse)]
    topic: Option<Topics>,
}

impl Flags {
    fn topics(&self, service: &ServiceName) -> Result<Topics, Usage> {
        self.topic.clone().map_or_else(|| Topics::of(service).map_err(Usage), Ok)
    }
}

/// Reads the URL of a broker. A refusal does not show it, as one of clap's own would.
#[derive(Clone, Copy, Debug)]
struct Parsed;

impl clap::builder::TypedValueParser for Parsed {
    type Value = Broker;

    fn parse_ref(
        &self,
        command: &clap::Command,
        _: Option<&clap::Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<Broker, clap::Error> {
        let refused = |why| {
            clap::Error::raw(clap::error::ErrorKind::ValueValidation, format!("--broker: {why}\n"))
                .with_cmd(command)
        };
        Broker::parse(&value.to_string_lossy()).map_err(refused)
    }
}
