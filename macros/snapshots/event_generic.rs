#[event(name = "field.changed")]
pub struct Changed<T: Clone>
where
    T: Debug,
{
    pub to: T,
}

// Derived:

#[automatically_derived]
#[allow(deprecated)]
impl<T: Clone> ::factum::Event for Changed<T>
where
    T: Debug,
    Self: ::factum::__private::Payload + ::core::marker::Send + ::core::marker::Sync
        + 'static,
{
    const TYPES: &'static [::factum::EventType] = &[
        ::factum::EventType::new("field.changed", 1, &[]),
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
        ::factum::__private::decode::<Self>(recorded, event_type, &[])
    }
}

#[automatically_derived]
#[allow(deprecated)]
impl<T: Clone, __A> ::factum::Route<__A> for Changed<T>
where
    T: Debug,
    Self: ::factum::Event,
    __A: ::factum::Apply<Self>,
{
    fn route(self, aggregate: &mut __A) {
        ::factum::Apply::apply(aggregate, self)
    }
}
