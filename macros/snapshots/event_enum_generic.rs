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
    fn encode(
        &self,
        codec: ::factum::Codec,
    ) -> ::core::result::Result<::std::vec::Vec<u8>, ::factum::BoxError> {
        match self {
            Self::Changed(event) => <Changed<T> as ::factum::Event>::encode(event, codec),
        }
    }
    fn decode(
        recorded: &::factum::RecordedEvent,
    ) -> ::core::result::Result<Self, ::factum::DecodeError> {
        if <Changed<T> as ::factum::Event>::TYPES[0].is_named(recorded.name.as_str()) {
            return <Changed<T> as ::factum::Event>::decode(recorded).map(Self::Changed);
        }
        ::core::result::Result::Err(::factum::__private::unknown_name(recorded))
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
