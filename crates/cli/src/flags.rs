//! What flags accept, which is said when they refuse something.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use jiff::SignedDuration;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A whole number. Of something else, the parser for its type would say what is wrong and not what is accepted.
pub fn number<T: FromStr + 'static>(
    accepted: RangeInclusive<u64>,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static {
    move |text| {
        let in_range = text.parse().is_ok_and(|number| accepted.contains(&number));
        let number = if in_range { text.parse().ok() } else { None };
        number.ok_or_else(|| {
            format!("accepted: a whole number from {} to {}", accepted.start(), accepted.end())
        })
    }
}

/// Where to listen.
///
/// # Errors
///
/// What is accepted.
pub fn socket(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "accepted: an IP address and a port, as in 127.0.0.1:8897 or [::1]:0".to_owned())
}

/// A time between two things, as people write it; there may be none.
///
/// # Errors
///
/// What is accepted.
pub fn duration(text: &str) -> Result<Duration, String> {
    time(Duration::ZERO..=DAY)(text)
}

/// How long to wait for something: without any time nothing would ever be in time.
///
/// # Errors
///
/// What is accepted.
pub fn patience(text: &str) -> Result<Duration, String> {
    time(Duration::from_millis(1)..=DAY)(text)
}

/// A time as people write it, of such a length.
pub fn time(
    accepted: RangeInclusive<Duration>,
) -> impl Fn(&str) -> Result<Duration, String> + Clone + Send + Sync + 'static {
    move |text| {
        let time = text.parse::<SignedDuration>().ok().and_then(|time| Duration::try_from(time).ok());
        time.filter(|time| accepted.contains(time)).ok_or_else(|| {
            let shown = |time: &Duration| match SignedDuration::try_from(*time) {
                Ok(time) => format!("{time:#}"),
                Err(_) => format!("{time:?}"),
            };
            let (least, most) = (shown(accepted.start()), shown(accepted.end()));
            format!("accepted: a time from {least} to {most} with its unit, as in 1s, 250ms or 2m")
        })
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use super::*;

    #[test]
    fn a_time_has_a_unit_and_is_of_a_sensible_length() {
        for (text, time) in [
            ("1s", Duration::from_secs(1)),
            ("250ms", Duration::from_millis(250)),
            ("0s", Duration::ZERO),
            ("1m 30s", Duration::from_secs(90)),
            ("24h", DAY),
        ] {
            assert_eq!(duration(text), Ok(time), "{text}");
            assert_eq!(patience(text).is_ok(), !time.is_zero(), "{text}");
        }
        for text in ["", "1", "-1s", "25h", "s", "1 fortnight"] {
            assert!(duration(text).unwrap_err().contains("a time from 0s to 24h with its unit"), "{text}");
            assert!(patience(text).unwrap_err().contains("a time from 1ms to 24h with its unit"), "{text}");
        }
        assert_eq!(patience("1ms"), Ok(Duration::from_millis(1)));
        assert!(patience("999us").is_err());
        let hour = time(Duration::ZERO..=Duration::from_secs(3600));
        assert_eq!(hour("60m"), Ok(Duration::from_secs(3600)));
        assert!(hour("61m").unwrap_err().contains("from 0s to 1h"));
    }

    #[test]
    fn a_number_is_within_its_limits() {
        let port = number::<NonZeroU16>(1..=65535);
        assert_eq!(port("65535"), Ok(NonZeroU16::MAX));
        let weight = number::<u32>(0..=u64::from(u32::MAX));
        assert_eq!((weight("0"), weight("4294967295")), (Ok(0), Ok(u32::MAX)));
        for text in ["", "0", "65536", "-1", "1.0", "1s", "99999999999999999999"] {
            let accepted = "accepted: a whole number from 1 to 65535".to_owned();
            assert_eq!(port(text), Err(accepted), "{text}");
        }
    }
}
