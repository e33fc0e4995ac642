#[event(dropped("customer.viewed", "customer.exported"))]
pub enum CustomerEvent {
    Moved(CustomerMoved),
    Renamed(CustomerRenamed),
}

// Derived:

#[automatically_derived]
#[allow(deprecated, long_running_const_eval)]
impl ::factum::Event for CustomerEvent {
    const TYPES: &'static [::factum::EventType] = &::factum::__private::distinct([
        ::factum::__private::sole(<CustomerMoved as ::factum::Event>::TYPES),
        ::factum::__private::sole(<CustomerRenamed as ::factum::Event>::TYPES),
    ]);
    const DROPPED: &'static [&'static str] = &::factum::__private::dropped(
        <Self as ::factum::Event>::TYPES,
        ["customer.viewed", "customer.exported"],
    );
    fn event_type(&self) -> &'static ::factum::EventType {
        match self {
            Self::Moved(event) => <CustomerMoved as ::factum::Event>::event_type(event),
            Self::Renamed(event) => {
                <CustomerRenamed as ::factum::Event>::event_type(event)
            }
        }
    }
    fn tag(
        &self,
        tags: &mut ::std::collections::BTreeSet<::factum::Tag>,
    ) -> ::core::result::Result<(), ::factum::InvalidName> {
        match self {
            Self::Moved(event) => <CustomerMoved as ::factum::Event>::tag(event, tags),
            Self::Renamed(event) => {
                <CustomerRenamed as ::factum::Event>::tag(event, tags)
            }
        }
    }
    fn encode(
        &self,
        codec: ::factum::Codec,
    ) -> ::core::result::Result<::std::vec::Vec<u8>, ::factum::BoxError> {
        match self {
            Self::Moved(event) => {
                <CustomerMoved as ::factum::Event>::encode(event, codec)
            }
            Self::Renamed(event) => {
                <CustomerRenamed as ::factum::Event>::encode(event, codec)
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
            Self::Moved(event) => {
                <CustomerMoved as ::factum::Event>::personal(event, codec)
            }
            Self::Renamed(event) => {
                <CustomerRenamed as ::factum::Event>::personal(event, codec)
            }
        }
    }
    fn decode_all(
        recorded: &::factum::RecordedEvent,
    ) -> ::core::result::Result<::factum::Decoded<Self>, ::factum::DecodeError> {
        let name = recorded.name.as_str();
        if <CustomerMoved as ::factum::Event>::TYPES[0].is_named(name) {
            return <CustomerMoved as ::factum::Event>::decode_all(recorded)
                .map(|event| event.map(Self::Moved));
        }
        if <CustomerRenamed as ::factum::Event>::TYPES[0].is_named(name) {
            return <CustomerRenamed as ::factum::Event>::decode_all(recorded)
                .map(|event| event.map(Self::Renamed));
        }
        let mut found = ::core::option::Option::None;
        if <CustomerMoved as ::factum::Event>::TYPES[0].is_part_of(name) {
            let parts = <CustomerMoved as ::factum::Event>::decode_all(recorded)?
                .into_iter()
                .map(Self::Moved);
            found.get_or_insert_with(::std::vec::Vec::new).extend(parts);
        }
        if <CustomerRenamed as ::factum::Event>::TYPES[0].is_part_of(name) {
            let parts = <CustomerRenamed as ::factum::Event>::decode_all(recorded)?
                .into_iter()
                .map(Self::Renamed);
            found.get_or_insert_with(::std::vec::Vec::new).extend(parts);
        }
        ::factum::__private::parts(recorded, found)
    }
}

#[allow(deprecated)]
const _: (&[::factum::EventType], &[&::core::primitive::str]) = (
    <CustomerEvent as ::factum::Event>::TYPES,
    <CustomerEvent as ::factum::Event>::DROPPED,
);

#[automatically_derived]
#[allow(deprecated)]
impl ::core::convert::From<CustomerMoved> for CustomerEvent {
    fn from(event: CustomerMoved) -> Self {
        Self::Moved(event)
    }
}

#[automatically_derived]
#[allow(deprecated)]
impl ::core::convert::From<CustomerRenamed> for CustomerEvent {
    fn from(event: CustomerRenamed) -> Self {
        Self::Renamed(event)
    }
}

#[automatically_derived]
#[allow(deprecated)]
impl<__A> ::factum::Route<__A> for CustomerEvent
where
    __A: ::factum::Apply<CustomerMoved>,
    __A: ::factum::Apply<CustomerRenamed>,
{
    fn route(self, aggregate: &mut __A) {
        match self {
            Self::Moved(event) => ::factum::Apply::apply(aggregate, event),
            Self::Renamed(event) => ::factum::Apply::apply(aggregate, event),
        }
    }
}
