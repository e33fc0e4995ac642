use factum::Event;

#[derive(Event)]
#[event(name = "order.placed")]
struct OrderPlaced {
    customer: String,
}

fn main() {}
