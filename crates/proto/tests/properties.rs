//! What holds for all names and all node data.

mod common;
mod oracle;

use common::{address, name, node_data, text};
use oracle::{servers_accept, servers_accept_segment};
use proptest::prelude::*;
use proto::path::{candidate_prefix, join, split_candidate};
use proto::{Address, Dir, InstanceId, NodeData, Root, ServiceName, decode, encode, flat};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_name_is_what_servers_accept_and_reads_as_it_shows(text in text()) {
        prop_assert_eq!(ServiceName::parse(&text).is_ok(), servers_accept(&text));
        match InstanceId::parse(&text) {
            Ok(name) => {
                prop_assert_eq!(name.to_string(), text.as_str());
                prop_assert_eq!(text.parse::<InstanceId>().unwrap(), name);
            }
            Err(error) => prop_assert!(error.to_string().chars().count() < 600, "{}", error),
        }
    }

    /// P26: what got past the check is one segment below the service's own directory, and the check stops the rest.
    #[test]
    fn hostile_names_never_leave_the_directory_of_the_service(service in text(), id in text(), root in text()) {
        let roots = [Root::default(), Root::parse("/").unwrap(), Root::parse(&root).unwrap_or_default()];
        let (Ok(service), Ok(id)) = (ServiceName::parse(&service), InstanceId::parse(&id)) else {
            prop_assert!(!servers_accept(&service) || !servers_accept(&id));
            return Ok(());
        };
        for root in roots {
            let below = if root.as_str() == "/" { String::new() } else { root.to_string() };
            let own = format!("{below}/{service}");
            prop_assert_eq!(root.service_dir(&service), own.as_str());
            for (path, directory) in [
                (root.instance_path(&service, &id), format!("{own}/instances")),
                (root.candidate_path(&service, &id), format!("{own}/election")),
            ] {
                let segment = path.strip_prefix(&format!("{directory}/"));
                prop_assert!(segment.is_some_and(|segment| !segment.is_empty() && !segment.contains('/')), "{}", path);
                prop_assert!(path.split('/').all(|segment| segment != "." && segment != ".."), "{}", path);
            }
        }
        let child = Dir::default().child(&id);
        prop_assert_eq!(child.matches('/').count(), 2);
    }

    #[test]
    fn a_directory_reads_as_it_shows_and_has_only_segments_that_servers_accept(path in text(), absolute in any::<bool>()) {
        let path = if absolute { format!("/{path}") } else { path };
        if let Ok(dir) = Dir::parse(&path) {
            prop_assert_eq!(dir.to_string(), path.as_str());
            prop_assert!(path == "/" || path.split('/').skip(1).all(servers_accept_segment), "{}", path);
        }
    }

    #[test]
    fn a_candidate_is_split_into_what_it_was_made_of(id in name(), sequence in 0..=i32::MAX) {
        let id = InstanceId::parse(&id).unwrap();
        let node = format!("{}{sequence:010}", candidate_prefix(&id));
        prop_assert_eq!(split_candidate(&node), Some((id.as_str(), sequence.unsigned_abs())));
        let election = Root::default().election_dir(&ServiceName::parse("s").unwrap());
        prop_assert_eq!(join(&election, &node), format!("/headkeeper/s/election/{}", node));
    }

    #[test]
    fn an_address_reads_as_it_shows_and_names_a_node(address in address()) {
        let shown = address.to_string();
        prop_assert_eq!(&shown.parse::<Address>().unwrap(), &address);
        prop_assert_eq!(&Address::new(address.host(), address.port()).unwrap(), &address);
        let instance = flat::instance(&shown).unwrap();
        prop_assert_eq!(&instance.id, &flat::name_of(&address));
        prop_assert_eq!(instance.data.default_id().unwrap(), instance.id);
    }

    #[test]
    fn any_text_that_is_an_address_reads_as_it_shows_and_names_a_node(text in text(), port in any::<u16>()) {
        for text in [text.clone(), format!("{text}:{port}"), format!("[{text}]:{port}")] {
            if let Ok(address) = text.parse::<Address>() {
                prop_assert_eq!(address.to_string(), text.as_str());
                prop_assert_eq!(flat::name_of(&address).to_string(), text);
            }
        }
    }

    #[test]
    fn what_is_encoded_is_decoded(data in node_data()) {
        let bytes = encode(&data).unwrap();
        prop_assert_eq!(&decode(&bytes).unwrap(), &data);
        let json = data.to_json();
        prop_assert_eq!(&decode(json.as_bytes()).unwrap(), &data);
        prop_assert_eq!(&serde_json::from_str::<NodeData>(&json).unwrap(), &data);
    }
}
