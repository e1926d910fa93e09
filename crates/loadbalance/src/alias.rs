//! A table that draws by weight with one look.

use crate::draw::below;

/// Walker's alias method, built in linear time as Vose does ("A Linear Algorithm for Generating Random Numbers with a Given
/// Distribution", 1991): as many cells as there are weights, each shared by at most two. 16 bytes a cell.
pub(crate) struct Alias {
    cells: Box<[Cell]>,
}

/// Who has this cell: the first below the cut, which is a fraction of 2^64, the second from there on.
#[derive(Clone, Copy)]
#[repr(align(16))]
struct Cell {
    cut: u64,
    owners: [u32; 2],
}

impl Alias {
    /// A table for these weights, none of which is 0.
    pub(crate) fn new(weights: &[u32]) -> Self {
        let many = weights.len() as u64;
        let total: u64 = weights.iter().copied().map(u64::from).sum();
        // In parts of which `total` make a cell: at most 2^32 weights of 32 bits each fit.
        let mut left: Vec<u64> = weights.iter().map(|weight| u64::from(*weight) * many).collect();
        let mut cells: Box<[Cell]> =
            (0..weights.len() as u32).map(|index| Cell { cut: u64::MAX, owners: [index; 2] }).collect();
        // 2^64 parts of a cell; exact to one in 2^52, the precision of f64.
        let scale = 18_446_744_073_709_551_616.0 / total as f64;
        let (mut small, mut large) = (Vec::with_capacity(weights.len()), Vec::with_capacity(weights.len()));
        for (index, parts) in left.iter().enumerate() {
            if *parts < total { small.push(index as u32) } else { large.push(index as u32) }
        }
        // What a small one leaves of its cell, a large one fills.
        while let (Some(from), Some(to)) = (small.pop(), large.last().copied()) {
            let parts = left[from as usize];
            cells[from as usize] = Cell { cut: (parts as f64 * scale) as u64, owners: [from, to] };
            let rest = &mut left[to as usize];
            *rest -= total - parts;
            if *rest < total {
                large.pop();
                small.push(to);
            }
        }
        Self { cells }
    }

    /// One of the weights' places, from a draw. Without a branch that depends on it: a wrong guess of the processor would cost
    /// more than all the rest.
    #[inline]
    pub(crate) fn owner(&self, draw: u64) -> Option<usize> {
        let (cell, rest) = below(draw, self.cells.len());
        let cell = self.cells.get(cell)?;
        Some(cell.owners[usize::from(rest >= cell.cut)] as usize)
    }
}
