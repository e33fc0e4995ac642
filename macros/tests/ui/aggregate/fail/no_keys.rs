use factum::Aggregate;

#[derive(Aggregate, Default)]
struct Order;

#[derive(Aggregate, Default)]
#[aggregate]
struct Cart;

#[derive(Aggregate, Default)]
#[aggregate("invoice")]
struct Invoice;

fn main() {}
