//! The layout of Apache Curator's service discovery, to be read.

use std::borrow::Cow;

use proto::{Address, Instance, InstanceId, MAX_BYTES, NodeData, Root, ServiceName};
use registry::{Error, Layout, NewNode, Services};
use serde::Deserialize;
use zk_session::{Kind, Node};

use crate::output::{brief, shown};

/// The layout of Curator's x-discovery with its own serializer: `{base}/{service}/{id}`, with JSON as its value.
///
/// An instance that says that it is not `enabled` has weight 0: Curator lists it as well, and does not choose it. Its payload is not
/// read, and of two ports the one without TLS is taken. Instances cannot be announced here.
#[derive(Clone, Debug)]
pub(super) struct Curator {
    /// The directory of all services.
    pub(super) base: Root,
}

/// What of the JSON is read. All of it may be missing or `null` as far as the parser goes, so that a refusal names the field.
#[derive(Deserialize)]
struct Json<'a> {
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    address: Option<Cow<'a, str>>,
    port: Option<u16>,
    #[serde(rename = "registrationTimeUTC")]
    registered: Option<i64>,
    enabled: Option<bool>,
}

impl Layout for Curator {
    fn directory(&self, service: &ServiceName) -> String {
        self.base.service_dir(service)
    }

    fn parents(&self) -> Kind {
        Kind::Persistent
    }

    fn node(&self, id: &InstanceId, _: &NodeData) -> Result<NewNode, Error> {
        Err(Error::Invalid(format!("cannot announce {id}: the layout of Curator is there to be read").into()))
    }

    fn read(&self, name: &str, node: &Node) -> Result<Option<Instance>, String> {
        instance(name, &node.data).map(Some)
    }

    fn services(&self) -> Services {
        Services::ChildrenOf(self.base.as_str().to_owned())
    }
}

fn instance(name: &str, value: &[u8]) -> Result<Instance, String> {
    let id = InstanceId::parse(name).map_err(|error| error.to_string())?;
    if value.len() > MAX_BYTES {
        return Err(format!("the value has {} bytes; at most {MAX_BYTES} are accepted", value.len()));
    }
    if !value.trim_ascii_start().starts_with(b"{") {
        return Err("the value does not begin with '{': accepted is an object".to_owned());
    }
    let json: Json = serde_json::from_slice(value).map_err(|error| brief(&error.to_string()))?;
    // By the name of its node it is known that it is gone.
    match json.id {
        Some(said) if said == name => {}
        Some(said) => {
            return Err(format!("id: it is \"{}\", which is not the name of the node", brief(&said)));
        }
        None => return Err("id: it is missing".to_owned()),
    }
    let host = json.address.ok_or("address: it is missing")?;
    let port = json.port.ok_or("port: it is missing")?;
    let address =
        Address::new(&host, port).map_err(|error| format!("address, port: {}", shown(&error.to_string())))?;
    let registered_at = json.registered.and_then(|at| u64::try_from(at).ok()).unwrap_or(0);
    let weight = if json.enabled.unwrap_or(true) { NodeData::DEFAULT_WEIGHT } else { 0 };
    Ok(Instance { id, data: NodeData { registered_at, ..NodeData::at(address).with_weight(weight) } })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "00000000-0000-4000-8000-000000000001";

    fn told(more: &str) -> String {
        format!(r#"{{"name":"svc","id":"{ID}",{more}}}"#)
    }

    #[test]
    fn what_curator_writes_is_read() {
        let at = |address: &str, registered_at, weight| {
            let data = NodeData::at(address.parse().unwrap()).with_weight(weight);
            NodeData { registered_at, ..data }
        };
        for (more, data) in [
            (
                r#""address":"127.0.0.1","port":1000,"sslPort":null,"payload":null,"registrationTimeUTC":1700000000000,
                   "serviceType":"DYNAMIC","uriSpec":null,"enabled":true"#,
                at("127.0.0.1:1000", 1_700_000_000_000, 1),
            ),
            // Before version 4 there was no `enabled`.
            (
                r#""address":"a.svc","port":1,"sslPort":443,"payload":{"@class":"x.Y","z":[1,{}]},"uriSpec":{"parts":[]}"#,
                at("a.svc:1", 0, 1),
            ),
            (r#""port":80,"address":"::1","enabled":false,"registrationTimeUTC":-1"#, at("[::1]:80", 0, 0)),
            (r#""address":"\u0061","port":1,"enabled":null,"registrationTimeUTC":null"#, at("a:1", 0, 1)),
        ] {
            let read = instance(ID, told(more).as_bytes()).unwrap();
            assert_eq!((read.id.as_str(), read.data), (ID, data), "{more}");
        }
    }

    #[test]
    fn each_refusal_says_what_is_wrong() {
        let large = "x".repeat(MAX_BYTES + 1);
        let long = format!(r#"{{"id":"{}"}}"#, "x\\u001b".repeat(5_000));
        for (value, reason) in [
            ("", "does not begin with '{'"),
            ("hello", "does not begin with '{'"),
            ("[\"a\",\"h\",1,null,true]", "does not begin with '{'"),
            (&large, "the value has 65537 bytes"),
            ("{\"id\":\"a", "EOF while parsing a string"),
            ("{} {}", "trailing characters"),
            ("{}", "id: it is missing"),
            (r#"{"id":"a","id":"a"}"#, "duplicate field `id`"),
            (r#"{"id":7}"#, "invalid type: integer `7`, expected"),
            (r#"{"id":"b"}"#, "id: it is \"b\", which is not the name of the node"),
            (&long, "which is not the name of the node"),
            (r#"{"id":"a"}"#, "address: it is missing"),
            (r#"{"id":"a","address":null,"port":1}"#, "address: it is missing"),
            (r#"{"id":"a","address":"h"}"#, "port: it is missing"),
            (r#"{"id":"a","address":"h","sslPort":1}"#, "port: it is missing"),
            (r#"{"id":"a","address":"h","port":0}"#, "address, port: \"h\" is not an address"),
            (r#"{"id":"a","address":"","port":1}"#, "address, port: \"\" is not an address"),
            (r#"{"id":"a","address":"a b","port":1}"#, "contains U+0020"),
            (r#"{"id":"a","address":"h","port":65536}"#, "expected u16"),
            (r#"{"id":"a","address":"h","port":"1"}"#, "expected u16"),
            (r#"{"id":"a","address":"h","port":1,"enabled":"no"}"#, "expected a boolean"),
        ] {
            let error = instance("a", value.as_bytes()).unwrap_err();
            assert!(error.contains(reason), "{value:.60}: {error}");
            assert!(error.len() < 2_000 && !error.contains(char::is_control), "{error}");
        }
        assert!(instance("a", b"{\"id\":\"\xff\"}").unwrap_err().contains("unicode"));
        assert!(instance("zookeeper", b"{}").unwrap_err().contains("reserved"));
        let here = Curator { base: Root::default() };
        let refused = here.node(&InstanceId::parse("a").unwrap(), &NodeData::behind_broker("a")).unwrap_err();
        assert!(refused.to_string().contains("to be read"));
    }

    #[test]
    fn instances_are_right_below_their_service() {
        let layout = Curator { base: Root::parse("/bench/17").unwrap() };
        assert_eq!(layout.directory(&ServiceName::parse("svc").unwrap()), "/bench/17/svc");
        assert_eq!(layout.services(), Services::ChildrenOf("/bench/17".to_owned()));
    }
}
