//! What flags accept, which is said when they refuse something.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use jiff::SignedDuration;

/// A whole number.
pub(crate) fn number<T: FromStr + 'static>(
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
pub(crate) fn socket(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "accepted: an IP address and a port, as in 127.0.0.1:8480 or [::1]:0".to_owned())
}

/// A time as people write it; there may be none.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let time = text.parse::<SignedDuration>().ok().and_then(|time| Duration::try_from(time).ok());
    let accepted = time.filter(|time| *time <= Duration::from_secs(3_600));
    accepted.ok_or_else(|| "accepted: a time from 0s to 1h with its unit, as in 10s or 2m".to_owned())
}
