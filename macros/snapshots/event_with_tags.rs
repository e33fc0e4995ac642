#[event(name = "goods.moved")]
pub struct Moved {
    #[event(tag = "place")]
    from: Place,
    #[event(tags = "place")]
    to: Option<Place>,
    #[event(tag)]
    r#type: Kind,
    #[event(tags)]
    goods: Vec<u32>,
    count: u32,
}

// Derived:

#[automatically_derived]
#[allow(deprecated)]
impl ::factum::Event for Moved {
    const TYPES: &'static [::factum::EventType] = &[
        ::factum::EventType::new("goods.moved", 1, &[])
            .tagged(&["goods", "place", "type"]),
    ];
    fn event_type(&self) -> &'static ::factum::EventType {
        &<Self as ::factum::Event>::TYPES[0]
    }
    fn tag(
        &self,
        tags: &mut ::std::collections::BTreeSet<::factum::Tag>,
    ) -> ::core::result::Result<(), ::factum::InvalidName> {
        ::factum::__private::tag::<Place>(tags, "place", &self.from)?;
        ::factum::__private::tag_each::<Option<Place>>(tags, "place", &self.to)?;
        ::factum::__private::tag::<Kind>(tags, "type", &self.r#type)?;
        ::factum::__private::tag_each::<Vec<u32>>(tags, "goods", &self.goods)?;
        ::core::result::Result::Ok(())
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
impl<__A> ::factum::Route<__A> for Moved
where
    __A: ::factum::Apply<Self>,
{
    fn route(self, aggregate: &mut __A) {
        ::factum::Apply::apply(aggregate, self)
    }
}
