//! Codes and ids that nobody else has.

use std::fmt::Write;

use proto::InstanceId;

/// A code that nobody else has: a UUID, version 4.
pub(crate) fn made_up() -> String {
    uuid(rand::random())
}

fn uuid(mut random: [u8; 16]) -> String {
    random[6] = random[6] & 0x0f | 0x40;
    random[8] = random[8] & 0x3f | 0x80;
    let mut text = String::with_capacity(36);
    for (at, byte) in random.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        // Text can always be added to.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Reads a code that an instance may be registered by: it is the name of its node as well.
pub(crate) fn code(text: &str) -> Result<String, String> {
    InstanceId::parse(text).map(|id| id.to_string()).map_err(|refused| refused.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_up_code_is_a_uuid_of_version_4_and_usable() {
        assert_eq!(uuid([0; 16]), "00000000-0000-4000-8000-000000000000");
        assert_eq!(uuid([0xff; 16]), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        let (one, other) = (made_up(), made_up());
        assert_ne!(one, other);
        assert_eq!(code(&one), Ok(one));
    }

    #[test]
    fn a_code_can_be_the_name_of_a_node() {
        for good in ["c", "cacd3aa4-…", &"c".repeat(255)] {
            assert!(code(good).is_ok(), "{good}");
        }
        for bad in ["", "a/b", ".", "zookeeper", "a\nb", &"c".repeat(256)] {
            assert!(code(bad).unwrap_err().contains("accepted"), "{bad}");
        }
    }
}
