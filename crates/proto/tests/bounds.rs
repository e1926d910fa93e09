//! How much work the worst value is: none takes more memory than a few of its size, or noticeable time.

mod oracle;

use std::sync::mpsc;
use std::time::Duration;

use proto::MAX_BYTES;
use proto::envelope::{MAGIC, VERSION};

/// They take milliseconds; the rest is for a busy machine.
const LIMIT: Duration = Duration::from_secs(20);

/// More than all of the values and what is made of them, and far less than what they claim.
const MEMORY: usize = 64 << 20;

fn version_1(start: &[u8]) -> Vec<u8> {
    [&MAGIC[..], &[VERSION], start].concat()
}

fn filled(start: impl Into<Vec<u8>>, with: &[u8], end: &[u8]) -> Vec<u8> {
    let mut bytes = start.into();
    while bytes.len() + with.len() + end.len() <= MAX_BYTES {
        bytes.extend_from_slice(with);
    }
    bytes.extend_from_slice(end);
    bytes
}

/// Values as large as one may be, each of them the worst of its kind.
fn worst() -> Vec<(&'static str, Vec<u8>)> {
    let many_keys = || {
        let keys: Vec<_> = (0..6_500).map(|key| format!("\"{key:x}\":\"\"")).collect();
        format!(r#"{{"server_unique_code":"c","metadata":{{{}}}}}"#, keys.join(","))
    };
    let mut all = vec![
        ("arrays", filled(*b"{\"x\":", b"[", b"")),
        (
            "closed arrays",
            [filled(*b"{\"x\":", b"[", b"")[..32_000].to_vec(), vec![b']'; 31_994], b"}".to_vec()].concat(),
        ),
        ("objects", filled(*b"{\"x\":", b"{\"x\":", b"")),
        ("arrays for a number", filled(*b"{\"weight\":", b"[", b"")),
        ("objects for metadata", filled(*b"{\"metadata\":", b"{\"x\":", b"")),
        ("a long number", filled(*b"{\"weight\":1", b"0", b"}")),
        ("a long fraction", filled(*b"{\"weight\":0.1", b"0", b"1e-9}")),
        ("a long exponent", filled(*b"{\"x\":1e", b"9", b"}")),
        ("escapes", filled(*b"{\"server_ip\":\"", b"\\u0000", b"\",\"server_port\":1}")),
        ("escapes in a key", filled(*b"{\"", b"\\u00e4", b"\":1}")),
        ("spaces", filled(*b"{", b" ", b"")),
        ("unknown keys", filled(*b"{\"a\":1", b",\"a\":1", b"}")),
        ("metadata of one key", filled(*b"{\"metadata\":{\"\":\"\"", b",\"\":\"\"", b"}}")),
        ("metadata of many keys", many_keys().into_bytes()),
        ("an envelope of zeros", filled(version_1(&[]), &[0], &[])),
        ("an envelope of ones", filled(version_1(&[]), &[1], &[])),
        ("an envelope of 0xFF", filled(version_1(&[]), &[0xFF], &[])),
        ("metadata of empty texts", filled(version_1(&[0, 0, 1, 1, b'c', 1, 0, 251, 0, 120]), &[0], &[])),
    ];
    // Lengths of texts and of the map, from a little more than there is to all that a number can say.
    for claim in [1 << 16, 1 << 20, 1 << 24, 1 << 31, 1 << 40, u64::MAX >> 1, u64::MAX] {
        let length = [&[253], &claim.to_le_bytes()[..]].concat();
        let texts: [&[u8]; 3] = [&[1], &[1, 1, b'h', 1, 1, 1], &[0, 0, 1, 1, b'c', 1, 0, 1]];
        for before in texts {
            all.push(("a text that claims", filled(version_1(&[before, &length].concat()), b"x", &[])));
        }
        let before: &[u8] = &[0, 0, 1, 1, b'c', 1, 0];
        all.push(("a map that claims", filled(version_1(&[before, &length].concat()), &[0], &[])));
    }
    all
}

/// The most memory that this process ever had, where that can be asked.
fn peak() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<usize>().ok()? << 10)
}

/// Alone in its file, and so in its process: others would be counted too.
#[test]
fn no_value_takes_much_memory_or_time() {
    let worst = worst();
    let before = peak();
    for (what, bytes) in worst {
        assert!(bytes.len() <= MAX_BYTES, "{what} would be refused for its size");
        let (done, read) = mpsc::channel();
        // A test that hangs would not say where.
        let thread = std::thread::spawn(move || {
            oracle::value(&bytes);
            oracle::json(&bytes);
            done.send(()).unwrap();
        });
        let read = read.recv_timeout(LIMIT);
        assert_ne!(read, Err(mpsc::RecvTimeoutError::Timeout), "{what}: it takes longer than {LIMIT:?}");
        thread.join().unwrap_or_else(|_| panic!("{what}: it panicked"));
        if let (Some(before), Some(now)) = (before, peak()) {
            assert!(now - before < MEMORY, "{what}: {} MiB more", (now - before) >> 20);
        }
    }
}
