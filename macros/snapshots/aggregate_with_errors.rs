#[aggregate(category = "shop/order", event = OrderEvent)]
pub struct Order;

// Derived:

::core::compile_error! {
    "missing `#[aggregate(id = ..)]`: the type that says which one of its kind it is"
}

::core::compile_error! {
    "a category has no slash: a slash ends it, as in `order/42`"
}

impl ::factum::Aggregate for Order {
    const CATEGORY: &'static str = "error";
    type Id = ::std::string::String;
    type Event = OrderEvent;
}
