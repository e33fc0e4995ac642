pub enum FieldEvent<T> {
    Changed(Changed<T>),
}

// Derived:

#[automatically_derived]
#[allow(deprecated, long_running_const_eval)]
impl<T> ::factum::Event for FieldEvent<T>
where
    Changed<T>: ::factum::Event,
    Self: ::core::marker::Send + ::core::marker::Sync + 'static,
{
    const TYPES: &'static [::factum::EventType] = &::factum::__private::distinct([
        ::factum::__private::sole(<Changed<T> as ::factum::Event>::TYPES),
    ]);
    fn event_type(&self) -> &'static ::factum::EventType {
        match self {
            Self::Changed(event) => <Changed<T> as ::factum::Event>::event_type(event),
        }
    }
    fn tag(
        &self,
        tags: &mut ::std::collections::BTreeSet<::factum::Tag>,
    ) -> ::core::result::Result<(), ::factum::InvalidName> {
        match self {
            Self::Changed(event) => <Changed<T> as ::factum::Event>::tag(event, tags),
        }
    }
    fn encode(
        &self,
        codec: ::factum::Codec,
    ) -> ::core::result::Result<::std::vec::Vec<u8>, ::factum::BoxError> {
        match self {
            Self::Changed(event) => <Changed<T> as ::factum::Event>::encode(event, codec),
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
            Self::Changed(event) => {
                <Changed<T> as ::factum::Event>::personal(event, codec)
            }
        }
    }
    fn decode_all(
        recorded: &::factum::RecordedEvent,
    ) -> ::core::result::Result<::factum::Decoded<Self>, ::factum::DecodeError> {
        let name = recorded.name.as_str();
        if <Changed<T> as ::factum::Event>::TYPES[0].is_named(name) {
            return <Changed<T> as ::factum::Event>::decode_all(recorded)
                .map(|event| event.map(Self::Changed));
        }
        let mut found = ::core::option::Option::None;
        if <Changed<T> as ::factum::Event>::TYPES[0].is_part_of(name) {
            let parts = <Changed<T> as ::factum::Event>::decode_all(recorded)?
                .into_iter()
                .map(Self::Changed);
            found.get_or_insert_with(::std::vec::Vec::new).extend(parts);
        }
        ::factum::__private::parts(recorded, found)
    }
}

#[automatically_derived]
#[allow(deprecated)]
impl<T> ::core::convert::From<Changed<T>> for FieldEvent<T> {
    fn from(event: Changed<T>) -> Self {
        Self::Changed(event)
    }
}

#[automatically_derived]
#[allow(deprecated)]
impl<T, __A> ::factum::Route<__A> for FieldEvent<T>
where
    Self: ::factum::Event,
    __A: ::factum::Apply<Changed<T>>,
{
    fn route(self, aggregate: &mut __A) {
        match self {
            Self::Changed(event) => ::factum::Apply::apply(aggregate, event),
        }
    }
}
