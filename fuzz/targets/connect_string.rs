//! Any text as a connect string. The modules are compiled in: what they make of it is not public.
#![no_main]
#![allow(dead_code, unexpected_cfgs)]

#[path = "../../crates/zk-session/src/error.rs"]
mod error;
#[path = "../../crates/zk-session/src/path.rs"]
mod path;
#[path = "../../crates/zk-session/src/servers.rs"]
mod servers;

use error::Error;
use servers::Servers;

libfuzzer_sys::fuzz_target!(|text: &str| {
    match Servers::parse(text) {
        Ok(servers) => {
            assert_eq!(Servers::parse(&servers.to_string()).unwrap(), servers);
            for one in servers.each() {
                assert!(!one.contains(',') && !one.contains("://"), "{one}");
                let chroot = one.find('/').map_or("/", |slash| &one[slash..]);
                assert!(path::check(chroot).is_ok(), "{one}");
            }
        }
        Err(Error::Invalid(said)) => {
            assert!(said.chars().count() < 3_500 && !said.contains(char::is_control), "{said}");
        }
        Err(other) => panic!("{other:?}"),
    }
});
