#[event(
    name = "order.shipped",
    version = 5,
    upcast(from = 3, with = shipped_v3),
    upcast(from = 1, with = shipped_v1),
    upcast(from = 2, typed = shipped_v2),
    upcast(from = 4, typed = shipped_v4),
    alias = "order.sent",
    alias("order.posted", "order.dispatched")
)]
pub struct OrderShipped {
    pub parcel: String,
}

// Derived:

#[automatically_derived]
#[allow(deprecated)]
impl ::factum::Event for OrderShipped {
    const TYPES: &'static [::factum::EventType] = &[
        ::factum::EventType::new(
            "order.shipped",
            5,
            &["order.sent", "order.posted", "order.dispatched"],
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
        let today = ::factum::__private::today::<Self>();
        let version_4 = ::factum::__private::on_type::<
            Self,
            _,
            _,
            _,
            _,
        >(4, &today, |old| ::factum::__private::typed(shipped_v4, old));
        let version_3 = ::factum::__private::on_value(
            3,
            &version_4,
            |old| ::factum::__private::step(shipped_v3, old),
        );
        let version_2 = ::factum::__private::on_type::<
            Self,
            _,
            _,
            _,
            _,
        >(
            2,
            &version_3,
            |old| {
                #[allow(unused_imports)]
                use ::factum::__private::{FallibleValue as _, PlainValue as _};
                ::factum::__private::Answer(
                    ::factum::__private::typed(shipped_v2, old).value(),
                )
            },
        );
        let version_1 = ::factum::__private::on_value(
            1,
            &version_2,
            |old| ::factum::__private::step(shipped_v1, old),
        );
        ::factum::__private::decode::<
            Self,
        >(recorded, event_type, &[&version_1, &version_2, &version_3, &version_4])
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
