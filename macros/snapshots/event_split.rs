#[event(
    name = "customer.moved",
    split(from = CustomerChanged, with = moved),
    split(from = CustomerImported, with = moved_when_imported)
)]
pub struct CustomerMoved {
    pub to: String,
}

// Derived:

#[automatically_derived]
#[allow(deprecated)]
impl ::factum::Event for CustomerMoved {
    const TYPES: &'static [::factum::EventType] = &[
        ::factum::EventType::new("customer.moved", 1, &[])
            .split_from(
                &[
                    ::factum::__private::sole(
                        <CustomerChanged as ::factum::Event>::TYPES,
                    ),
                    ::factum::__private::sole(
                        <CustomerImported as ::factum::Event>::TYPES,
                    ),
                ],
            ),
    ];
    fn event_type(&self) -> &'static ::factum::EventType {
        &<Self as ::factum::Event>::TYPES[0]
    }
    fn encode(
        &self,
        codec: ::factum::Codec,
    ) -> ::core::result::Result<::std::vec::Vec<u8>, ::factum::BoxError> {
        ::factum::__private::encode::<Self>(self, codec)
    }
    fn decode_all(
        recorded: &::factum::RecordedEvent,
    ) -> ::core::result::Result<::factum::Decoded<Self>, ::factum::DecodeError> {
        let event_type = &<Self as ::factum::Event>::TYPES[0];
        if <CustomerChanged as ::factum::Event>::TYPES[0]
            .is_found_as(recorded.name.as_str())
        {
            return ::factum::__private::split::<
                CustomerChanged,
                Self,
                _,
            >(moved, recorded);
        }
        if <CustomerImported as ::factum::Event>::TYPES[0]
            .is_found_as(recorded.name.as_str())
        {
            return ::factum::__private::split::<
                CustomerImported,
                Self,
                _,
            >(moved_when_imported, recorded);
        }
        ::factum::__private::decode::<Self>(recorded, event_type, &[])
    }
}

#[automatically_derived]
#[allow(deprecated)]
impl<__A> ::factum::Route<__A> for CustomerMoved
where
    __A: ::factum::Apply<Self>,
{
    fn route(self, aggregate: &mut __A) {
        ::factum::Apply::apply(aggregate, self)
    }
}
