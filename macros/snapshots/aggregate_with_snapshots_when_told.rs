#[aggregate(
    category = "order",
    id = OrderId,
    event = OrderEvent,
    snapshot(when = |order, events|order.is_closed||events>= 500, version = 2)
)]
#[derive(Serialize, Deserialize)]
pub struct Order {
    is_closed: bool,
}

// Derived:

#[automatically_derived]
#[allow(deprecated)]
impl ::factum::Aggregate for Order {
    const CATEGORY: &'static str = "order";
    type Id = OrderId;
    type Event = OrderEvent;
    const SNAPSHOT: ::core::option::Option<&'static ::factum::SnapshotPolicy<Self>> = ::core::option::Option::Some(
        &::factum::__private::snapshot_when::<
            Self,
        >(|order, events| order.is_closed || events >= 500, 2),
    );
}
