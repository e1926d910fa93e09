//! What runs as a process of its own, so that its memory and its work can be told apart, and how it is asked.
//!
//! A [`Child`] is started for a [`Role`] (`demo bench --part`, with the role as JSON), whose side is [`run`]. It is asked by lines
//! on its stdin, each an [`Ask`], and answers each by two lines on its stdout: one when it has begun to look, and what it has
//! [`Told`] when what was asked for is so. The end of its stdin is its end.

mod announcing;
mod bare;
mod came;
mod child;
mod clock;
mod crowd;
mod fingerprint;
mod following;
mod kept;
mod memory;
mod part;
mod seen;
mod words;

pub(crate) use self::child::Child;
pub(crate) use self::clock::now_ns;
pub(crate) use self::fingerprint::Fingerprint;
pub(crate) use self::memory::Memory;
pub(crate) use self::part::run;
pub(crate) use self::words::{Ask, Consumer, Role, Told, Who};
