//! `derive(Aggregate)`: the tokens.

use proc_macro2::TokenStream;
use quote::quote;

use crate::ast::AggregateInput;

pub(crate) fn expand(input: &AggregateInput) -> TokenStream {
    let (ident, krate) = (&input.target.ident, input.target.krate());
    let (category, id, event) = (input.attrs.category.get(), input.attrs.id.get(), input.attrs.event.get());
    let generics = input.target.generics_where([
        quote!(Self: ::core::default::Default + ::core::marker::Send + ::core::marker::Sync + 'static),
    ]);
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    quote! {
        #[automatically_derived]
        #[allow(deprecated)]
        impl #impl_generics #krate::Aggregate for #ident #type_generics #where_clause {
            const CATEGORY: &'static str = #category;
            type Id = #id;
            type Event = #event;
        }
    }
}
