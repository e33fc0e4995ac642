//! `derive(Event)`: the tokens.

use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Type, WherePredicate, parse_quote, parse_quote_spanned};

use crate::ast::{EventInput, EventKind, EventVariant, Target};
use crate::attr::{EventAttrs, UpcastAttr};

pub(crate) fn expand(input: &EventInput) -> TokenStream {
    match &input.kind {
        EventKind::Struct { .. } => expand_struct(&input.target, &input.attrs),
        EventKind::Enum(variants) => expand_enum(&input.target, variants),
    }
}

fn expand_struct(target: &Target, attrs: &EventAttrs) -> TokenStream {
    let (ident, krate) = (&target.ident, target.krate());
    let name = attrs.name.get();
    let version = attrs.version.get().map_or_else(|| quote!(1), |version| quote!(#version));
    let aliases = attrs.aliases.iter().map(|alias| &alias.value);
    let upcasts = attrs.upcasts.iter().map(|upcast| expand_upcast(target, &upcast.value));
    let generics = target.generics_where([
        quote!(Self: #krate::__private::Payload + ::core::marker::Send + ::core::marker::Sync + 'static),
    ]);
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    // At the type's name, where rustc then says that `Serialize` or `Deserialize` is missing.
    let krate_at_name = target.krate_at(ident.span());
    let encode = quote_spanned!(ident.span()=> #krate_at_name::__private::encode::<Self>);
    let decode = quote_spanned!(ident.span()=> #krate_at_name::__private::decode::<Self>);
    let route = expand_route(target, &[&parse_quote!(Self)], &quote!(#krate::Apply::apply(aggregate, self)));
    quote! {
        #[automatically_derived]
        #[allow(deprecated)]
        impl #impl_generics #krate::Event for #ident #type_generics #where_clause {
            const TYPES: &'static [#krate::EventType] =
                &[#krate::EventType::new(#name, #version, &[#(#aliases),*])];

            fn event_type(&self) -> &'static #krate::EventType {
                &<Self as #krate::Event>::TYPES[0]
            }

            fn encode(
                &self,
                codec: #krate::Codec,
            ) -> ::core::result::Result<::std::vec::Vec<u8>, #krate::BoxError> {
                #encode(self, codec)
            }

            fn decode(
                recorded: &#krate::RecordedEvent,
            ) -> ::core::result::Result<Self, #krate::DecodeError> {
                let event_type = &<Self as #krate::Event>::TYPES[0];
                let upcasts = [#(#upcasts),*];
                #decode(recorded, event_type, &upcasts)
            }
        }

        #route
    }
}

/// The step stands at the function, which is where rustc then says that its signature is another one.
fn expand_upcast(target: &Target, upcast: &UpcastAttr) -> TokenStream {
    let UpcastAttr { from, with } = upcast;
    let (krate, krate_at_function) = (target.krate(), target.krate_at(with.span()));
    let payload = quote!(payload);
    let step = quote_spanned!(with.span()=> #krate_at_function::__private::step(#with, #payload));
    quote!(#krate::__private::Upcast::new(#from, |#payload| #step))
}

fn expand_enum(target: &Target, variants: &[EventVariant]) -> TokenStream {
    let (ident, krate) = (&target.ident, target.krate());
    let names: Vec<_> = variants.iter().map(|variant| &variant.ident).collect();
    let events: Vec<_> = variants.iter().map(|variant| &variant.event).collect();
    let are_events = events.iter().map(|event| quote!(#event: #krate::Event));
    let is_static = quote!(Self: ::core::marker::Send + ::core::marker::Sync + 'static);
    let generics = target.generics_where(are_events.chain([is_static]));
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    let types = expand_types(target, &events);
    let [types_of, event_type, encode, decode] = ["TYPES", "event_type", "encode", "decode"]
        .map(|item| events.iter().map(|event| expand_item(target, event, item)).collect::<Vec<_>>());
    let from = variants.iter().map(|variant| expand_from(target, variant));
    let route = quote! {
        match self {
            #(Self::#names(event) => #krate::Apply::apply(aggregate, event),)*
        }
    };
    let route = expand_route(target, &events, &route);
    // An error of the enum is one even if nothing uses it yet.
    let checked = (!target.is_generic()).then(|| {
        quote_spanned! {ident.span()=>
            #[allow(deprecated)]
            const _: &[#krate::EventType] = <#ident as #krate::Event>::TYPES;
        }
    });
    // The names of hundreds of events are many to compare with each other.
    quote! {
        #[automatically_derived]
        #[allow(deprecated, long_running_const_eval)]
        impl #impl_generics #krate::Event for #ident #type_generics #where_clause {
            const TYPES: &'static [#krate::EventType] = &#types;

            fn event_type(&self) -> &'static #krate::EventType {
                match self {
                    #(Self::#names(event) => #event_type(event),)*
                }
            }

            fn encode(
                &self,
                codec: #krate::Codec,
            ) -> ::core::result::Result<::std::vec::Vec<u8>, #krate::BoxError> {
                match self {
                    #(Self::#names(event) => #encode(event, codec),)*
                }
            }

            fn decode(
                recorded: &#krate::RecordedEvent,
            ) -> ::core::result::Result<Self, #krate::DecodeError> {
                #(
                    if #types_of[0].is_named(recorded.name.as_str()) {
                        return #decode(recorded).map(Self::#names);
                    }
                )*
                ::core::result::Result::Err(#krate::__private::unknown_name(recorded))
            }
        }

        #checked
        #(#from)*
        #route
    }
}

/// The names of all events; it stands at the enum's name, which is where rustc then says that two share one.
fn expand_types(target: &Target, events: &[&Type]) -> TokenStream {
    let types = events.iter().map(|event| {
        let krate = target.krate_at(event.span());
        quote_spanned!(event.span()=> #krate::__private::sole(<#event as #krate::Event>::TYPES))
    });
    let types = quote!([#(#types),*]);
    let krate = target.krate_at(target.ident.span());
    quote_spanned!(target.ident.span()=> #krate::__private::distinct(#types))
}

/// What an event has as an event; it stands at the event, which is where rustc then says that it is none.
fn expand_item(target: &Target, event: &Type, item: &str) -> TokenStream {
    let (krate, item) = (target.krate_at(event.span()), Ident::new(item, event.span()));
    quote_spanned!(event.span()=> <#event as #krate::Event>::#item)
}

fn expand_from(target: &Target, variant: &EventVariant) -> TokenStream {
    let (ident, EventVariant { ident: name, event }) = (&target.ident, variant);
    let (impl_generics, type_generics, where_clause) = target.generics.split_for_impl();
    quote! {
        #[automatically_derived]
        #[allow(deprecated)]
        impl #impl_generics ::core::convert::From<#event> for #ident #type_generics #where_clause {
            fn from(event: #event) -> Self {
                Self::#name(event)
            }
        }
    }
}

/// `impl Route<A>` for every aggregate that applies all of `events`. Each demand stands at its event, where rustc then
/// says that it is the one an aggregate does not meet.
fn expand_route(target: &Target, events: &[&Type], body: &TokenStream) -> TokenStream {
    let (ident, krate) = (&target.ident, target.krate());
    let (_, type_generics, _) = target.generics.split_for_impl();
    let mut generics = target.generics_where([quote!(Self: #krate::Event)]);
    generics.params.push(parse_quote!(__A));
    let demands = events.iter().map(|event| -> WherePredicate {
        let krate = target.krate_at(event.span());
        parse_quote_spanned!(event.span()=> __A: #krate::Apply<#event>)
    });
    generics.make_where_clause().predicates.extend(demands);
    let (impl_generics, _, where_clause) = generics.split_for_impl();
    let krate = target.krate_at(ident.span());
    let route = quote_spanned!(ident.span()=> #krate::Route<__A>);
    quote! {
        #[automatically_derived]
        #[allow(deprecated)]
        impl #impl_generics #route for #ident #type_generics #where_clause {
            fn route(self, aggregate: &mut __A) {
                #body
            }
        }
    }
}
