#[event(name = "customer.registered")]
#[serde(rename_all = "camelCase")]
pub struct CustomerRegistered {
    pub customer: u64,
    #[event(personal(subject = customer))]
    pub full_name: String,
    #[event(personal(subject = customer, fallback = 1900))]
    #[serde(rename = "born")]
    pub year: u16,
}

// Derived:

#[automatically_derived]
#[allow(deprecated)]
impl ::factum::Event for CustomerRegistered {
    const TYPES: &'static [::factum::EventType] = &[
        ::factum::EventType::new("customer.registered", 1, &[]),
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
    fn personal(
        &self,
        codec: ::factum::Codec,
    ) -> ::core::result::Result<
        ::std::vec::Vec<::factum::privacy::Personal>,
        ::factum::BoxError,
    > {
        ::core::result::Result::Ok(
            ::std::vec![
                ::factum::privacy::Personal::new("fullName", & self.customer, & < String
                as ::core::default::Default > ::default(), codec) ?,
                ::factum::privacy::Personal::new("born", & self.customer, & { let
                fallback : u16 = 1900; fallback }, codec) ?
            ],
        )
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
impl<__A> ::factum::Route<__A> for CustomerRegistered
where
    __A: ::factum::Apply<Self>,
{
    fn route(self, aggregate: &mut __A) {
        ::factum::Apply::apply(aggregate, self)
    }
}
