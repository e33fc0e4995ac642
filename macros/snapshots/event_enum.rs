pub enum OrderEvent {
    Placed(OrderPlaced),
    Shipped(OrderShipped),
}

// Derived:

#[automatically_derived]
#[allow(deprecated, long_running_const_eval)]
impl ::factum::Event for OrderEvent {
    const TYPES: &'static [::factum::EventType] = &::factum::__private::distinct([
        ::factum::__private::sole(<OrderPlaced as ::factum::Event>::TYPES),
        ::factum::__private::sole(<OrderShipped as ::factum::Event>::TYPES),
    ]);
    fn event_type(&self) -> &'static ::factum::EventType {
        match self {
            Self::Placed(event) => <OrderPlaced as ::factum::Event>::event_type(event),
            Self::Shipped(event) => <OrderShipped as ::factum::Event>::event_type(event),
        }
    }
    fn encode(
        &self,
        codec: ::factum::Codec,
    ) -> ::core::result::Result<::std::vec::Vec<u8>, ::factum::BoxError> {
        match self {
            Self::Placed(event) => <OrderPlaced as ::factum::Event>::encode(event, codec),
            Self::Shipped(event) => {
                <OrderShipped as ::factum::Event>::encode(event, codec)
            }
        }
    }
    fn decode(
        recorded: &::factum::RecordedEvent,
    ) -> ::core::result::Result<Self, ::factum::DecodeError> {
        if <OrderPlaced as ::factum::Event>::TYPES[0].is_named(recorded.name.as_str()) {
            return <OrderPlaced as ::factum::Event>::decode(recorded).map(Self::Placed);
        }
        if <OrderShipped as ::factum::Event>::TYPES[0].is_named(recorded.name.as_str()) {
            return <OrderShipped as ::factum::Event>::decode(recorded)
                .map(Self::Shipped);
        }
        ::core::result::Result::Err(::factum::__private::unknown_name(recorded))
    }
}

#[allow(deprecated)]
const _: &[::factum::EventType] = <OrderEvent as ::factum::Event>::TYPES;

#[automatically_derived]
#[allow(deprecated)]
impl ::core::convert::From<OrderPlaced> for OrderEvent {
    fn from(event: OrderPlaced) -> Self {
        Self::Placed(event)
    }
}

#[automatically_derived]
#[allow(deprecated)]
impl ::core::convert::From<OrderShipped> for OrderEvent {
    fn from(event: OrderShipped) -> Self {
        Self::Shipped(event)
    }
}

#[automatically_derived]
#[allow(deprecated)]
impl<__A> ::factum::Route<__A> for OrderEvent
where
    __A: ::factum::Apply<OrderPlaced>,
    __A: ::factum::Apply<OrderShipped>,
{
    fn route(self, aggregate: &mut __A) {
        match self {
            Self::Placed(event) => ::factum::Apply::apply(aggregate, event),
            Self::Shipped(event) => ::factum::Apply::apply(aggregate, event),
        }
    }
}
