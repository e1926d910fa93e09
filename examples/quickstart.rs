//! Registers two instances and follows them.
fn main() {}
