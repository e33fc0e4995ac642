//! `derive(Aggregate)`: the tokens.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};

use crate::ast::AggregateInput;
use crate::attr::{Due, Keyed, SnapshotAttr};

pub(crate) fn expand(input: &AggregateInput) -> TokenStream {
    let (ident, krate) = (&input.target.ident, input.target.krate());
    let (category, id, event) = (input.attrs.category.get(), input.attrs.id.get(), input.attrs.event.get());
    let is_state =
        quote!(Self: ::core::default::Default + ::core::marker::Send + ::core::marker::Sync + 'static);
    let is_stored = input.attrs.snapshot.get().map(|_| quote!(Self: #krate::__private::Remembered));
    let generics = input.target.generics_where([is_state].into_iter().chain(is_stored));
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    let snapshot = input.attrs.snapshot.keyed().map(|snapshot| expand_snapshot(input, snapshot));
    quote! {
        #[automatically_derived]
        #[allow(deprecated)]
        impl #impl_generics #krate::Aggregate for #ident #type_generics #where_clause {
            const CATEGORY: &'static str = #category;
            type Id = #id;
            type Event = #event;
            #snapshot
        }
    }
}

/// At the key, where rustc then says that `Serialize` or `Deserialize` is missing; a function is called with what it gets,
/// at its own place, where rustc says that its signature is another one.
fn expand_snapshot(input: &AggregateInput, snapshot: &Keyed<SnapshotAttr>) -> TokenStream {
    let (krate, krate_at_key) = (input.target.krate(), input.target.krate_at(snapshot.key));
    let SnapshotAttr { due, version } = &snapshot.value;
    let policy = match due {
        Due::Every(events) => {
            quote_spanned!(snapshot.key=> #krate_at_key::__private::snapshot_every::<Self>(#events, #version))
        }
        Due::When(when) => {
            quote_spanned!(snapshot.key=> #krate_at_key::__private::snapshot_when::<Self>(#when, #version))
        }
    };
    quote! {
        const SNAPSHOT: ::core::option::Option<&'static #krate::SnapshotPolicy<Self>> =
            ::core::option::Option::Some(&#policy);
    }
}
