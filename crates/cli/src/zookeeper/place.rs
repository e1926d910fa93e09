//! Where in ZooKeeper services are, and how they lie there.

use std::sync::Arc;

use clap::{Args, ValueEnum};
use leader::Credentials;
use proto::{Dir, Root};
use registry::{Flat, MasterNormal, Native};

use super::{Rights, Security};
use crate::ending::Usage;

/// Where in ZooKeeper.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "ZooKeeper")]
#[group(skip)]
pub struct Place {
    /// How services lie in ZooKeeper
    #[arg(long, value_enum, default_value_t = Layout::Native)]
    pub layout: Layout,

    /// The directory of all services, in the native and in the master-normal layout; the latter's is what the old framework calls its
    /// prefix, with a slash before it
    #[arg(long, value_name = "/PATH", default_value_t = Root::default())]
    pub root: Root,

    /// The directory of the flat layout
    #[arg(long, value_name = "/PATH", default_value_t = Dir::default())]
    pub dir: Dir,

    /// With --layout flat: leave out nodes that no session owns, which stay when their program ends; each is told on stderr once
    #[arg(long)]
    pub hide_ownerless: bool,
}

/// How services lie in ZooKeeper.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Layout {
    /// {root}/{service}/instances/{id}, with data
    #[default]
    Native,
    /// {dir}/{ip:port}, one service, no data: as the old Go programs have it
    Flat,
    /// {root}/{service}/master and {root}/{service}/normal…, with data: as the old Go framework has it
    MasterNormal,
}

impl Place {
    /// Refuses flags that do not go together.
    ///
    /// # Errors
    ///
    /// Which these are, and what is accepted.
    pub fn coherent(&self) -> Result<(), Usage> {
        if self.hide_ownerless && self.layout != Layout::Flat {
            return Err(Usage("--hide-ownerless is accepted with --layout flat alone".to_owned()));
        }
        if self.dir != Dir::default() && self.layout != Layout::Flat {
            return Err(Usage(
                "--dir is the directory of the flat layout: add --layout flat; other layouts have --root"
                    .to_owned(),
            ));
        }
        if self.root != Root::default() && self.layout == Layout::Flat {
            return Err(Usage("--root: the flat layout has one directory, which --dir names".to_owned()));
        }
        Ok(())
    }

    /// Refuses rights on what we make that would lock out whom an old layout is for: its programs show no identity to ZooKeeper. One of ours
    /// that reads alone makes nothing, and need not ask.
    ///
    /// # Errors
    ///
    /// Why, and what is accepted.
    pub fn open_to_old_programs(&self, security: &Security) -> Result<(), Usage> {
        let layout = match self.layout {
            Layout::Native => return Ok(()),
            Layout::Flat => "flat",
            Layout::MasterNormal => "master-normal",
        };
        match security.zk_acl {
            Rights::Open => Ok(()),
            Rights::Creator => Err(Usage(format!(
                "--zk-acl creator with --layout {layout}: old programs show no identity to ZooKeeper, and could neither see what we register nor \
                 register beside it; accepted: --zk-acl open (or ZK_ACL=open), or --layout native"
            ))),
        }
    }

    /// How instances are read and written there.
    pub fn instances(&self) -> Arc<dyn registry::Layout> {
        match self.layout {
            Layout::Native => Arc::new(Native { root: self.root.clone() }),
            Layout::Flat => Arc::new(Flat { dir: self.dir.clone(), hide_ownerless: self.hide_ownerless }),
            Layout::MasterNormal => {
                Arc::new(MasterNormal { root: self.root.clone(), ..MasterNormal::default() })
            }
        }
    }

    /// Where candidates stand. The flat layout has none; those of services that lie there would be in the native one.
    pub fn candidates(&self) -> leader::Layout {
        let root = self.root.clone();
        match self.layout {
            Layout::Native | Layout::Flat => leader::Layout::Native { root },
            Layout::MasterNormal => {
                leader::Layout::MasterNormal { root, credentials: Credentials::default() }
            }
        }
    }

    /// Whether somebody can be elected.
    pub fn has_elections(&self) -> bool {
        self.layout != Layout::Flat
    }

    /// Whether an instance is registered by standing for election, and whoever is the master takes no requests that others may answer.
    pub fn registers_by_election(&self) -> bool {
        self.layout == Layout::MasterNormal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_for_us_alone_go_with_our_own_layout_alone() {
        let refusal = |layout, zk_acl| {
            let place = Place { layout, ..Place::default() };
            let refusal = place.open_to_old_programs(&Security { zk_acl, ..Security::default() });
            refusal.err().map(|refusal| refusal.to_string())
        };
        for layout in [Layout::Native, Layout::Flat, Layout::MasterNormal] {
            assert_eq!(refusal(layout, Rights::Open), None, "{layout:?}");
        }
        assert_eq!(refusal(Layout::Native, Rights::Creator), None);
        for (layout, name) in [(Layout::Flat, "flat"), (Layout::MasterNormal, "master-normal")] {
            let told = refusal(layout, Rights::Creator).unwrap_or_default();
            assert!(told.starts_with(&format!("--zk-acl creator with --layout {name}: ")), "{told}");
            assert!(told.contains("accepted: --zk-acl open"), "{told}");
        }
    }
}
