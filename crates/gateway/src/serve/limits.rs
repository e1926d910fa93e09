//! What a client may take.

use std::time::Duration;

/// What a client may take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// So many connections at the same time, those included that became tunnels; more wait until one ends. Default: 4,096.
    pub connections: usize,
    /// How long a connection may take to its first request. Default: 10 s.
    pub first: Duration,
    /// How long the head of a later request may take, counted from the answer before it. Default: 60 s.
    pub head: Duration,
    /// How long a client may take nothing of what is there for it: then its connection is closed, and of HTTP/2 the stream ended
    /// that it does not read. Default: 60 s.
    pub unread: Duration,
    /// So many headers in a request. Default: 64.
    pub headers: usize,
    /// So many bytes in the head of a request. Default: 32 KiB.
    pub head_bytes: usize,
    /// So many requests at the same time on a connection of HTTP/2. Default: 128.
    pub streams: u32,
    /// How long what runs may take once we are asked to stop. Default: 10 s.
    pub finish: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4_096,
            first: Duration::from_secs(10),
            head: Duration::from_secs(60),
            unread: Duration::from_secs(60),
            headers: 64,
            head_bytes: 32 * 1024,
            streams: 128,
            finish: Duration::from_secs(10),
        }
    }
}
