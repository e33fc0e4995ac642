#[aggregate(category = "order", id = OrderId, event = OrderEvent)]
pub struct Order {
    status: Status,
}

// Derived:

#[automatically_derived]
#[allow(deprecated)]
impl ::factum::Aggregate for Order {
    const CATEGORY: &'static str = "order";
    type Id = OrderId;
    type Event = OrderEvent;
}
