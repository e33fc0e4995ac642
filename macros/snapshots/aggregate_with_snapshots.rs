#[aggregate(
    category = "order",
    id = OrderId,
    event = OrderEvent,
    snapshot(every = 100, version = 1)
)]
#[derive(Serialize, Deserialize)]
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
    const SNAPSHOT: ::core::option::Option<&'static ::factum::SnapshotPolicy<Self>> = ::core::option::Option::Some(
        &::factum::__private::snapshot_every::<Self>(100, 1),
    );
}
