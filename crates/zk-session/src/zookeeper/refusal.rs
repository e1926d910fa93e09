//! What the client's errors mean to a caller.

use zookeeper_client::Error as Zk;

use crate::Error;

/// Says an error of a request in our words: `doing` what, as in "create", to which `path`.
///
/// [`Error::Interrupted`] stands for everything after which the connection cannot be trusted any more.
pub(super) fn refusal(error: &Zk, doing: &str, path: &str) -> Error {
    let rejected = |why: &str| Error::Rejected { what: format!("{why} to {doing} {path}") };
    match error {
        Zk::NoNode => Error::NoNode,
        Zk::NodeExists => Error::NodeExists,
        Zk::BadVersion => Error::BadVersion,
        Zk::NotEmpty | Zk::NoChildrenForEphemerals => Error::Children,
        Zk::NoAuth => rejected("not authorized"),
        Zk::InvalidAcl => rejected("the servers do not know the identities in the ACL, so they refuse"),
        Zk::AuthFailed => rejected("the servers do not accept our login, so we cannot ask them"),
        Zk::QuotaExceeded => rejected("a quota forbids"),
        // Nothing happened, and the connection is fine: to ask more slowly is all that helps.
        Zk::Throttled => rejected("the server is too busy"),
        Zk::NotReadOnly => rejected("a read-only server cannot be asked"),
        Zk::Unimplemented => rejected("the server is too old (3.6 or later is needed)"),
        Zk::MarshallingError => rejected("the server did not understand the request"),
        Zk::UnexpectedErrorCode(code) => rejected(&format!("the server gave its error {code} when asked")),
        Zk::BadArguments(why) => Error::Invalid(format!("cannot {doing} {path}: {why}")),
        // Lost, expired, closed, moved to another server, or an answer that makes no sense.
        _ => Error::Interrupted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_of_the_client_says_what_a_caller_does_next() {
        let unmarshal = Zk::UnmarshalError { entity: "stat", reason: &"short" };
        let interrupted = [
            Zk::ConnectionLoss,
            Zk::Timeout,
            Zk::NoHosts,
            Zk::SessionExpired,
            Zk::SessionMoved,
            Zk::ClientClosed,
            Zk::RuntimeInconsistent,
            Zk::NoWatcher,
            Zk::UnexpectedError("expect error state, got SyncConnected".to_owned()),
            unmarshal,
        ];
        for error in interrupted {
            assert!(matches!(refusal(&error, "create", "/a"), Error::Interrupted), "{error}");
        }
        let rejected = [
            (Zk::NoAuth, "not authorized to create /a/b"),
            (Zk::InvalidAcl, "identities in the ACL"),
            (Zk::AuthFailed, "login"),
            (Zk::QuotaExceeded, "a quota forbids to create /a/b"),
            (Zk::Throttled, "too busy to create /a/b"),
            (Zk::NotReadOnly, "read-only"),
            (Zk::Unimplemented, "3.6 or later"),
            (Zk::MarshallingError, "did not understand"),
            (Zk::UnexpectedErrorCode(-7), "error -7 when asked to create /a/b"),
        ];
        for (error, expected) in rejected {
            match refusal(&error, "create", "/a/b") {
                Error::Rejected { what } => assert!(what.contains(expected), "{error}: {what}"),
                other => panic!("{error}: {other}"),
            }
        }
        assert!(matches!(refusal(&Zk::NoNode, "set", "/a"), Error::NoNode));
        assert!(matches!(refusal(&Zk::NodeExists, "create", "/a"), Error::NodeExists));
        assert!(matches!(refusal(&Zk::BadVersion, "set", "/a"), Error::BadVersion));
        assert!(matches!(refusal(&Zk::NotEmpty, "delete", "/a"), Error::Children));
        assert!(matches!(refusal(&Zk::NoChildrenForEphemerals, "create", "/a"), Error::Children));
        let invalid = refusal(&Zk::BadArguments(&"can not delete root node"), "delete", "/");
        assert!(
            matches!(invalid, Error::Invalid(text) if text == "cannot delete /: can not delete root node")
        );
    }
}
