//! The paths of the interface of a gateway.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use proto::{InstanceId, ServiceName};

/// What has to be escaped in a name: all but what needs it nowhere.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

pub(super) fn of_service(service: &ServiceName) -> String {
    format!("/v1/services/{}", utf8_percent_encode(service.as_str(), ESCAPED))
}

pub(super) fn of_instance(service: &ServiceName, id: &InstanceId) -> String {
    format!("{}/instances/{}", of_service(service), utf8_percent_encode(id.as_str(), ESCAPED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_part_of_a_path_whatever_is_in_it() {
        for (name, path) in [
            ("time", "/v1/services/time"),
            ("a b?c#d%2f", "/v1/services/a%20b%3Fc%23d%252f"),
            ("zeit-ä", "/v1/services/zeit-%C3%A4"),
        ] {
            assert_eq!(of_service(&ServiceName::parse(name).unwrap()), path);
        }
        let id = InstanceId::parse("[::1]:80").unwrap();
        assert_eq!(
            of_instance(&ServiceName::parse("t").unwrap(), &id),
            "/v1/services/t/instances/%5B%3A%3A1%5D%3A80"
        );
    }
}
