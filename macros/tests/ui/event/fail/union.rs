use factum::Event;

#[derive(Event)]
#[event(name = "order.placed")]
union OrderPlaced {
    cents: u64,
    euros: u64,
}

fn main() {}
