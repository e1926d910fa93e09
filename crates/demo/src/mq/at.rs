//! Where the broker is, and who we are there.

use std::fmt;

use proto::Address;

const PORT: u16 = 1883;

const ACCEPTED: &str = "accepted: mqtt://HOST or mqtt://HOST:PORT, as in mqtt://127.0.0.1:1883";

/// Where a broker listens. Its text is the URL that leads there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Broker(Address);

impl Broker {
    /// Reads a URL. A refusal repeats nothing of it: there may be a password in it.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        if url.contains('@') {
            return Err(format!(
                "a user name and a password do not belong here: put them into MQTT_USERNAME and MQTT_PASSWORD; {ACCEPTED}"
            ));
        }
        let Some(rest) = url.strip_prefix("mqtt://") else {
            let tls = if url.starts_with("mqtts://") { "there is no TLS here; " } else { "" };
            return Err(format!("{tls}{ACCEPTED}"));
        };
        let host = rest.strip_suffix('/').unwrap_or(rest);
        let address = host.parse().or_else(|_| format!("{host}:{PORT}").parse());
        address.map(Self).map_err(|_| ACCEPTED.to_owned())
    }

    /// The host, an IPv6 one in brackets, and the port.
    pub(crate) fn host_and_port(&self) -> (String, u16) {
        let host = self.0.host();
        (if host.contains(':') { format!("[{host}]") } else { host.to_owned() }, self.0.port())
    }
}

impl fmt::Display for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mqtt://{}", self.0)
    }
}

/// Who we are at the broker. Is in no output.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) username: String,
    pub(crate) password: String,
}

impl Login {
    /// What the environment says, if it says anything.
    pub(crate) fn from_environment() -> Option<Self> {
        Self::of(std::env::var("MQTT_USERNAME").ok(), std::env::var("MQTT_PASSWORD").ok())
    }

    fn of(username: Option<String>, password: Option<String>) -> Option<Self> {
        let (username, password) = (username.unwrap_or_default(), password.unwrap_or_default());
        (!username.is_empty() || !password.is_empty()).then_some(Self { username, password })
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(not shown)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_has_a_host_and_the_usual_port_unless_it_says_another() {
        for (url, host, port, shown) in [
            ("mqtt://127.0.0.1:1884", "127.0.0.1", 1884, "mqtt://127.0.0.1:1884"),
            ("mqtt://broker.example", "broker.example", 1883, "mqtt://broker.example:1883"),
            ("mqtt://broker.example/", "broker.example", 1883, "mqtt://broker.example:1883"),
            ("mqtt://[::1]:1", "[::1]", 1, "mqtt://[::1]:1"),
            ("mqtt://[::1]", "[::1]", 1883, "mqtt://[::1]:1883"),
        ] {
            let broker = Broker::parse(url).unwrap();
            assert_eq!(broker.host_and_port(), (host.to_owned(), port), "{url}");
            assert_eq!(broker.to_string(), shown);
        }
    }

    #[test]
    fn anything_else_is_refused_with_what_is_accepted_and_nothing_of_it_is_repeated() {
        for url in [
            "",
            "secret",
            "secret:1883",
            "mqtt://",
            "mqtt:secret",
            "tcp://secret:1883",
            "MQTT://secret",
            "mqtt://secret:0",
            "mqtt://secret:65536",
            "mqtt://secret:1883/topic",
            "mqtt://secret host",
            "mqtt://secret:1883?a=b",
        ] {
            let refused = Broker::parse(url).unwrap_err();
            assert!(refused.contains("mqtt://HOST:PORT") && !refused.contains("secret"), "{url}: {refused}");
        }
        assert!(Broker::parse("mqtts://broker").unwrap_err().contains("no TLS"));
        for url in
            ["mqtt://user:secret@broker", "mqtts://user:secret@broker", "mqtt://secret@", "secret@broker"]
        {
            let refused = Broker::parse(url).unwrap_err();
            assert!(refused.contains("MQTT_PASSWORD") && !refused.contains("secret"), "{url}: {refused}");
        }
    }

    #[test]
    fn a_login_is_what_is_there_of_it_and_is_not_shown() {
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(Login::of(None, None), None);
        assert_eq!(Login::of(text(""), text("")), None);
        let login = Login::of(text("u"), None).unwrap();
        assert_eq!((&*login.username, &*login.password), ("u", ""));
        let login = Login::of(text("hers"), text("secret")).unwrap();
        assert_eq!((&*login.username, &*login.password), ("hers", "secret"));
        assert_eq!(format!("{login:?}"), "Login(not shown)");
    }
}
