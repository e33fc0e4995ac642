#[aggregate(category = "field", id = u64, event = FieldEvent<T>)]
pub struct Field<T> {
    value: Option<T>,
}

// Derived:

#[automatically_derived]
#[allow(deprecated)]
impl<T> ::factum::Aggregate for Field<T>
where
    Self: ::core::default::Default + ::core::marker::Send + ::core::marker::Sync
        + 'static,
{
    const CATEGORY: &'static str = "field";
    type Id = u64;
    type Event = FieldEvent<T>;
}
