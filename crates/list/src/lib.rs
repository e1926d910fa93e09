//! Whole lists that share with the one before what did not change.
//!
//! Discovery publishes a service as a whole list, so that nobody can miss a change or see two in the wrong order. Made
//! anew, a list of ten thousand instances counts ten thousand references although one instance came. A [`List`] is
//! therefore made of blocks, and the next list has the same blocks but for those in which something changed: what a
//! change costs hardly grows with the list, and neither does finding what changed.
//!
//! # Errors
//!
//! Nothing here fails, but for an index that is out of range, which panics as that of a slice does.
//!
//! # Examples
//!
//! ```
//! use list::List;
//! use std::sync::Arc;
//!
//! let list: List<&str> = ["a", "b", "c"].map(Arc::new).into();
//! assert_eq!(list.len(), 3);
//! assert_eq!(*list[1], "b");
//! assert_eq!(list.iter().map(|entry| **entry).collect::<String>(), "abc");
//! ```

mod iter;
mod list;

pub use self::iter::Iter;
pub use self::list::{Block, List};
