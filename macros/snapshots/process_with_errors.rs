#[aggregate(category = "fulfilment", id = OrderId, event = FulfilmentEvent)]
#[process(name = "shop/fulfilment", issues(StockRequested), issues(StockRequested))]
pub struct Fulfilment;

// Derived:

::core::compile_error! {
    "missing `#[process(on(..))]`: the events of others it reacts to"
}

::core::compile_error! {
    "a process's name has no slash: a slash ends it, as in `fulfilment/commands`"
}

::core::compile_error! {
    "this event is listed already: it has one command in a process"
}

impl ::factum::ProcessManager for Fulfilment {
    const NAME: &'static str = "error";
    const REACTIONS: &'static [::factum::Interest] = &[];
    fn react_to(
        _: usize,
        _: &::factum::RecordedEvent,
    ) -> ::core::result::Result<
        ::std::vec::Vec<::factum::Reaction<Self>>,
        ::factum::DecodeError,
    > {
        ::core::unreachable!()
    }
}
