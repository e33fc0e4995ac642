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
    fn tag(
        &self,
        tags: &mut ::std::collections::BTreeSet<::factum::Tag>,
    ) -> ::core::result::Result<(), ::factum::InvalidName> {
        match self {
            Self::Placed(event) => <OrderPlaced as ::factum::Event>::tag(event, tags),
            Self::Shipped(event) => <OrderShipped as ::factum::Event>::tag(event, tags),
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
    fn personal(
        &self,
        codec: ::factum::Codec,
    ) -> ::core::result::Result<
        ::std::vec::Vec<::factum::privacy::Personal>,
        ::factum::BoxError,
    > {
        match self {
            Self::Placed(event) => {
                <OrderPlaced as ::factum::Event>::personal(event, codec)
            }
            Self::Shipped(event) => {
                <OrderShipped as ::factum::Event>::personal(event, codec)
            }
        }
    }
    fn decode_all(
        recorded: &::factum::RecordedEvent,
    ) -> ::core::result::Result<::factum::Decoded<Self>, ::factum::DecodeError> {
        let name = recorded.name.as_str();
        if <OrderPlaced as ::factum::Event>::TYPES[0].is_named(name) {
            return <OrderPlaced as ::factum::Event>::decode_all(recorded)
                .map(|event| event.map(Self::Placed));
        }
        if <OrderShipped as ::factum::Event>::TYPES[0].is_named(name) {
            return <OrderShipped as ::factum::Event>::decode_all(recorded)
                .map(|event| event.map(Self::Shipped));
        }
        let mut found = ::core::option::Option::None;
        if <OrderPlaced as ::factum::Event>::TYPES[0].is_part_of(name) {
            let parts = <OrderPlaced as ::factum::Event>::decode_all(recorded)?
                .into_iter()
                .map(Self::Placed);
            found.get_or_insert_with(::std::vec::Vec::new).extend(parts);
        }
        if <OrderShipped as ::factum::Event>::TYPES[0].is_part_of(name) {
            let parts = <OrderShipped as ::factum::Event>::decode_all(recorded)?
                .into_iter()
                .map(Self::Shipped);
            found.get_or_insert_with(::std::vec::Vec::new).extend(parts);
        }
        ::factum::__private::parts(recorded, found)
    }
}

#[allow(deprecated)]
const _: (&[::factum::EventType], &[&::core::primitive::str]) = (
    <OrderEvent as ::factum::Event>::TYPES,
    <OrderEvent as ::factum::Event>::DROPPED,
);

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
