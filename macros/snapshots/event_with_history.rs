#[event(
    name = "order.shipped",
    version = 3,
    upcast(from = 1, with = shipped_v1),
    upcast(from = 2, with = shipped_v2),
    alias = "order.sent",
    alias = "order.posted"
)]
pub struct OrderShipped {
    pub parcel: String,
}

// Derived:

#[automatically_derived]
#[allow(deprecated)]
impl ::factum::Event for OrderShipped {
    const TYPES: &'static [::factum::EventType] = &[
        ::factum::EventType::new("order.shipped", 3, &["order.sent", "order.posted"]),
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
    fn decode(
        recorded: &::factum::RecordedEvent,
    ) -> ::core::result::Result<Self, ::factum::DecodeError> {
        let event_type = &<Self as ::factum::Event>::TYPES[0];
        let upcasts = [
            ::factum::__private::Upcast::new(
                1,
                |payload| ::factum::__private::step(shipped_v1, payload),
            ),
            ::factum::__private::Upcast::new(
                2,
                |payload| ::factum::__private::step(shipped_v2, payload),
            ),
        ];
        ::factum::__private::decode::<Self>(recorded, event_type, &upcasts)
    }
}

#[automatically_derived]
#[allow(deprecated)]
impl<__A> ::factum::Route<__A> for OrderShipped
where
    __A: ::factum::Apply<Self>,
{
    fn route(self, aggregate: &mut __A) {
        ::factum::Apply::apply(aggregate, self)
    }
}
