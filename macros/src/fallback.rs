//! Impls that are emitted beside an error, so that one mistake is one message and not one for every use of the type.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Type, parse_quote};

use crate::ast::{
    AggregateInput, EventInput, EventKind, EventVariant, HandlerInput, ProcessInput, Target, ViewInput,
};
use crate::expand;

pub(crate) fn event(input: &EventInput) -> TokenStream {
    let (ident, krate) = (&input.target.ident, input.target.krate());
    let generics =
        input.target.generics_where([quote!(Self: ::core::marker::Send + ::core::marker::Sync + 'static)]);
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    let mut with_aggregate = generics.clone();
    with_aggregate.params.push(parse_quote!(__A));
    let (route_generics, _, _) = with_aggregate.split_for_impl();
    let from = match &input.kind {
        EventKind::Enum(variants) if !input.target.is_generic() => from_events(&input.target, variants),
        // The events of a generic enum may be what is wrong with it.
        _ => TokenStream::new(),
    };
    quote! {
        impl #impl_generics #krate::Event for #ident #type_generics #where_clause {
            const TYPES: &'static [#krate::EventType] = &[#krate::EventType::new("error", 1, &[])];
            fn event_type(&self) -> &'static #krate::EventType { ::core::unreachable!() }
            fn encode(&self, _: #krate::Codec) -> ::core::result::Result<::std::vec::Vec<u8>, #krate::BoxError> {
                ::core::unreachable!()
            }
            fn decode_all(
                _: &#krate::RecordedEvent,
            ) -> ::core::result::Result<#krate::Decoded<Self>, #krate::DecodeError> {
                ::core::unreachable!()
            }
        }
        impl #route_generics #krate::Route<__A> for #ident #type_generics #where_clause {
            fn route(self, _: &mut __A) { ::core::unreachable!() }
        }
        #from
    }
}

/// `From` for every event, once.
fn from_events(target: &Target, variants: &[EventVariant]) -> TokenStream {
    let ident = &target.ident;
    let mut seen = Vec::new();
    let mut from = TokenStream::new();
    for EventVariant { ident: name, event } in variants {
        if !seen.contains(&event) {
            seen.push(event);
            from.extend(quote! {
                impl ::core::convert::From<#event> for #ident {
                    fn from(event: #event) -> Self { Self::#name(event) }
                }
            });
        }
    }
    from
}

pub(crate) fn aggregate(input: &AggregateInput) -> TokenStream {
    let (ident, krate) = (&input.target.ident, input.target.krate());
    // Without its event type nothing sensible can be said about an aggregate.
    let Some(event) = input.attrs.event.get() else { return TokenStream::new() };
    let id: Type = input.attrs.id.get().cloned().unwrap_or_else(|| parse_quote!(::std::string::String));
    let generics = input.target.generics_where([
        quote!(Self: ::core::default::Default + ::core::marker::Send + ::core::marker::Sync + 'static),
    ]);
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    quote! {
        impl #impl_generics #krate::Aggregate for #ident #type_generics #where_clause {
            const CATEGORY: &'static str = "error";
            type Id = #id;
            type Event = #event;
        }
    }
}

pub(crate) fn view(input: &ViewInput) -> TokenStream {
    // Without its event type nothing sensible can be said about a view; with it, nothing else can be wrong.
    input.attrs.event.get().map_or_else(TokenStream::new, |_| expand::view::expand(input))
}

pub(crate) fn handler(input: &HandlerInput) -> TokenStream {
    let (ident, krate) = (&input.target.ident, input.target.krate());
    // Without its error type, the user's `On` impls would disagree with whatever is said here, and those of a type
    // that borrows disagree with `On`.
    let Some(error) = input.attrs.error.get().filter(|_| input.target.generics.lifetimes().next().is_none())
    else {
        return TokenStream::new();
    };
    let cx = input.attrs.cx();
    let generics =
        input.target.generics_where([quote!(Self: ::core::marker::Send + ::core::marker::Sync + 'static)]);
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    quote! {
        impl #impl_generics #krate::EventHandler<#cx> for #ident #type_generics #where_clause {
            const NAME: &'static str = "error";
            const INTERESTS: &'static [#krate::Interest] = &[];
            type Error = #error;
            async fn handle(
                &self,
                _: usize,
                _: &#krate::RecordedEvent,
                _: &mut #krate::Context<#cx>,
            ) -> ::core::result::Result<(), #krate::HandleError<#error>> {
                ::core::unreachable!()
            }
        }
    }
}

pub(crate) fn process(input: &ProcessInput) -> TokenStream {
    if !input.is_aggregate {
        // Whoever is no aggregate is no process manager either, and rustc would say so on top.
        return TokenStream::new();
    }
    let (ident, krate) = (&input.target.ident, input.target.krate());
    let generics = input.target.generics_where([quote!(Self: #krate::Aggregate)]);
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    quote! {
        impl #impl_generics #krate::ProcessManager for #ident #type_generics #where_clause {
            const NAME: &'static str = "error";
            const REACTIONS: &'static [#krate::Interest] = &[];
            fn react_to(
                _: usize,
                _: &#krate::RecordedEvent,
            ) -> ::core::result::Result<::std::vec::Vec<#krate::Reaction<Self>>, #krate::DecodeError> {
                ::core::unreachable!()
            }
        }
    }
}
