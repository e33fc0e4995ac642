pub enum OrderEvent {
    Placed(OrderPlaced),
    Shipped { parcel: String },
    Cancelled,
}

// Derived:

::core::compile_error! {
    "a variant of an event enum holds one event struct, this one has fields of its own: write a struct with `#[derive(Event)]`, and `Shipped(ThatStruct)` here"
}

::core::compile_error! {
    "a variant of an event enum holds one event struct, this one has nothing: write a struct with `#[derive(Event)]`, and `Cancelled(ThatStruct)` here"
}

impl ::factum::Event for OrderEvent {
    const TYPES: &'static [::factum::EventType] = &[
        ::factum::EventType::new("error", 1, &[]),
    ];
    fn event_type(&self) -> &'static ::factum::EventType {
        ::core::unreachable!()
    }
    fn encode(
        &self,
        _: ::factum::Codec,
    ) -> ::core::result::Result<::std::vec::Vec<u8>, ::factum::BoxError> {
        ::core::unreachable!()
    }
    fn decode_all(
        _: &::factum::RecordedEvent,
    ) -> ::core::result::Result<::factum::Decoded<Self>, ::factum::DecodeError> {
        ::core::unreachable!()
    }
}

impl<__A> ::factum::Route<__A> for OrderEvent {
    fn route(self, _: &mut __A) {
        ::core::unreachable!()
    }
}

impl ::core::convert::From<OrderPlaced> for OrderEvent {
    fn from(event: OrderPlaced) -> Self {
        Self::Placed(event)
    }
}
