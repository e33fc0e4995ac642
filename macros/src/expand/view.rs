//! `derive(View)`: the tokens.

use proc_macro2::TokenStream;
use quote::quote;

use crate::ast::ViewInput;

pub(crate) fn expand(input: &ViewInput) -> TokenStream {
    let (ident, krate, event) = (&input.target.ident, input.target.krate(), input.attrs.event.get());
    let generics = input.target.generics_where([
        quote!(Self: ::core::default::Default + ::core::marker::Send + ::core::marker::Sync + 'static),
    ]);
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    quote! {
        #[automatically_derived]
        #[allow(deprecated)]
        impl #impl_generics #krate::View for #ident #type_generics #where_clause {
            type Event = #event;
        }
    }
}
