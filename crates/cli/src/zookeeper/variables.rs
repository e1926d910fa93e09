//! What the environment says where flags do not, and programs that are started without it.

use std::process::Command;

use super::Security;

/// The variable that names the servers.
pub(super) const CONNECT: &str = "ZK_CONNECT";

/// Every variable of the environment that says what a flag towards ZooKeeper would.
pub fn variables() -> impl Iterator<Item = &'static str> {
    [CONNECT].into_iter().chain(Security::VARIABLES)
}

/// Starts a program of ours with what its flags say alone, whatever the shell of whoever starts it has exported: somebody who works with a
/// secured ZooKeeper has its identity there, which is for no other.
pub fn by_flags_alone(command: &mut Command) -> &mut Command {
    for variable in variables() {
        command.env_remove(variable);
    }
    command
}

#[cfg(test)]
mod tests {
    use clap::Args;

    use super::*;
    use crate::zookeeper::{Access, Place};

    #[test]
    fn each_flag_that_has_a_variable_is_without_it() {
        let flags = Place::augment_args(Access::augment_args(clap::Command::new("prog")));
        let read: Vec<_> = flags.get_arguments().filter_map(|flag| flag.get_env()?.to_str()).collect();
        assert_eq!(read.len(), 8, "{read:?}");

        let mut command = Command::new("prog");
        by_flags_alone(&mut command);
        for variable in read {
            let removed = command.get_envs().any(|(name, value)| name == variable && value.is_none());
            assert!(removed, "{variable} reaches the program");
        }
    }
}
