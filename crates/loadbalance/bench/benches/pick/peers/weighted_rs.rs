//! weighted-rs: smooth weighted round robin as nginx has it, which goes through the whole list for each pick.

use std::sync::{Mutex, PoisonError};

use weighted_rs::{SmoothWeight, Weight as _};

use crate::list::List;
use crate::measure::{Lap, lap};

pub(crate) fn scan(list: &List) -> Mutex<SmoothWeight<usize>> {
    let mut scan = SmoothWeight::new();
    for (place, weight) in list.weights().enumerate() {
        scan.add(place, weight as isize);
    }
    Mutex::new(scan)
}

/// The mutex is taken for a whole lap, so that the scan alone is measured.
pub(crate) fn scan_lap(scan: &Mutex<SmoothWeight<usize>>) -> Lap<'_> {
    lap(|| scan.lock().unwrap_or_else(PoisonError::into_inner), |scan, _| scan.next())
}
