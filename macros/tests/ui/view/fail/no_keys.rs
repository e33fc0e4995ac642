//! A view says which events it is folded from.

use factum::View;

#[derive(View, Default)]
struct Bare;

#[derive(View, Default)]
#[view(events = u32)]
struct OtherKey;

fn main() {}
