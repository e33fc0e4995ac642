//! Orders that programs of the past have written are read by the program of today, on every store.

use factum::store::Append;
use factum::{
    EventId, EventName, EventStore, Expected, Metadata, NewEvent, StreamId, Timers, Transactional, Version,
};
use order_service::domain::{Cents, OrderId, Pay, Ship, Status};
use order_service::history::history;
use order_service::read::ReadModel;
use order_service::report::Report;
use order_service::shop::Shop;
use serde_json::{Value, json};

use crate::shops;

fn event(name: &str, schema_version: u32, payload: &Value) -> NewEvent {
    NewEvent {
        id: EventId::new(),
        name: EventName::new(name.to_owned()).expect("a name"),
        schema_version,
        codec: "json".into(),
        payload: payload.to_string().into(),
        metadata: Metadata::default(),
    }
}

/// Two orders of the first year, as the program of then has stored them: one by telephone, one for delivery.
async fn first_year(store: &impl EventStore) {
    let lines = json!([{ "product": "CD", "quantity": 2, "total": 2354 }]);
    let placed = || event("order.placed", 1, &json!({ "customer": "00001", "lines": lines }));
    let by_telephone = vec![
        placed(),
        event("order.viewed", 1, &json!({ "by": "Grace" })),
        event("order.confirmed", 1, &json!({ "customer": "00001", "amount": 2354 })),
        event("order.viewed", 1, &json!({ "by": "Grace" })),
    ];
    let requested = json!({ "lines": lines, "email": "ada@example.com", "pay_within_days": 2 });
    let for_delivery = vec![placed(), event("order.delivery_requested", 1, &requested)];
    for (id, events) in [("telephone", by_telephone), ("delivery", for_delivery)] {
        let stream = StreamId::new("order", id).expect("a stream");
        store.append(Append::to(stream, Expected::NoStream, events)).await.expect("it is new");
    }
}

async fn live<S, R>(shop: &Shop<S, R>) -> String
where
    S: EventStore + Transactional<Tx = R::Tx> + Timers + Clone,
    R: ReadModel,
{
    first_year(&shop.store).await;
    let by_telephone = OrderId("telephone".into());
    let order = shop.orders.load(&by_telephone).await.expect("it can be read");
    assert_eq!((order.status(), order.paid(), order.version()), (Status::Paid, Cents(2354), Version(4)));
    let viewed = shop.orders.load_at(&by_telephone, Version(2)).await.expect("it can be read");
    assert_eq!(viewed.status(), Status::Placed);

    // What is told of it goes on in the words of today.
    shop.orders.execute(&by_telephone, Ship { parcel: "P1".into() }).await.expect("it is paid");
    let for_delivery = OrderId("delivery".into());
    let pay = Pay { amount: Cents(2354) };
    let order = shop.orders.execute(&for_delivery, pay).await.expect("it is placed");
    assert_eq!(order.delivery().expect("it is one to deliver").email, "ada@example.com");

    // Projections see the parts, and the process what it reacts to: there is nothing in stock.
    shop.catch_up().await.expect("the projections are fine");
    let report = Report::of(&shop.read).await.expect("it can be read");
    assert_eq!((report.total.orders, report.total.spent), (2, Cents(2 * 2354)));
    shop.fulfilment().catch_up().await.expect("the process is fine");
    let order = shop.orders.load(&for_delivery).await.expect("it can be read");
    assert_eq!(order.status(), Status::Cancelled);

    let mut printed = String::new();
    history(&shop.orders, &by_telephone, |part| printed.push_str(part)).await.expect("it was placed");
    printed
}

#[tokio::test(flavor = "multi_thread")]
async fn what_version_1_has_written_is_read_by_version_3_on_every_store() {
    let in_memory = live(&shops::memory()).await;
    let told: Vec<_> =
        in_memory.lines().filter(|line| !line.is_empty() && !line.contains("then  ")).collect();
    assert_eq!(told.len(), 5, "{in_memory}");
    for (line, (version, words)) in told[1..].iter().zip([
        ("1", "Placed(OrderPlaced"),
        ("3", "Reserved(OrderReserved"),
        ("3", "Paid(OrderPaid { customer: CustomerId(\"00001\"), amount: Cents(2354) })"),
        ("5", "Shipped(OrderShipped"),
    ]) {
        assert!(line.trim_start().starts_with(version) && line.contains(words), "{line}");
    }

    let (sqlite, _folder) = shops::sqlite().await;
    assert_eq!(live(&sqlite).await, in_memory);
    let (postgres, _database) = shops::postgres().await;
    assert_eq!(live(&postgres).await, in_memory);
}
