//! The registry over HTTP, a reverse proxy with rules, and a console.

pub mod proxy;
