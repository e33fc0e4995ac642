//! `derive(Event)`: the tokens.

use std::collections::BTreeSet;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Type, WherePredicate, parse_quote, parse_quote_spanned};

use crate::ast::{EventInput, EventKind, EventVariant, TagField, Target};
use crate::attr::{EventAttrs, SchemaVersion, SplitAttr, Step, UpcastAttr};
use crate::personal::{self, PersonalField};

pub(crate) fn expand(input: &EventInput) -> TokenStream {
    match &input.kind {
        EventKind::Struct { tags, personal, .. } => {
            expand_struct(&input.target, &input.attrs, tags, personal)
        }
        EventKind::Enum(variants) => expand_enum(&input.target, &input.attrs, variants),
    }
}

fn expand_struct(
    target: &Target,
    attrs: &EventAttrs,
    tags: &[TagField],
    personal: &[PersonalField],
) -> TokenStream {
    let (ident, krate) = (&target.ident, target.krate());
    let name = attrs.name.get();
    let version = attrs.version.get().map_or_else(|| quote!(1), |version| quote!(#version));
    let aliases = attrs.aliases.iter().map(|alias| &alias.value);
    let sources = expand_sources(target, attrs);
    let splits = attrs.splits.iter().map(|split| expand_split(target, &split.value));
    let (shapes, old_shapes) = expand_shapes(target, attrs);
    let tag = expand_tag(target, tags);
    let keys: BTreeSet<_> = tags.iter().filter_map(TagField::key).collect();
    let tagged = (!keys.is_empty()).then(|| {
        let keys = keys.iter();
        quote!(.tagged(&[#(#keys),*]))
    });
    let [recorded, event_type] = ["recorded", "event_type"].map(local);
    let generics = target.generics_where([
        quote!(Self: #krate::__private::Payload + ::core::marker::Send + ::core::marker::Sync + 'static),
    ]);
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    // At the type's name, where rustc then says that `Serialize` or `Deserialize` is missing.
    let krate_at_name = target.krate_at(ident.span());
    let encode = quote_spanned!(ident.span()=> #krate_at_name::__private::encode::<Self>);
    let decode = quote_spanned!(ident.span()=> #krate_at_name::__private::decode::<Self>);
    let personal = personal::expand(target, personal);
    let route = expand_route(target, &[&parse_quote!(Self)], &quote!(#krate::Apply::apply(aggregate, self)));
    quote! {
        #[automatically_derived]
        #[allow(deprecated)]
        impl #impl_generics #krate::Event for #ident #type_generics #where_clause {
            const TYPES: &'static [#krate::EventType] =
                &[#krate::EventType::new(#name, #version, &[#(#aliases),*])#tagged #sources];

            fn event_type(&self) -> &'static #krate::EventType {
                &<Self as #krate::Event>::TYPES[0]
            }

            #tag

            fn encode(
                &self,
                codec: #krate::Codec,
            ) -> ::core::result::Result<::std::vec::Vec<u8>, #krate::BoxError> {
                #encode(self, codec)
            }

            #personal

            fn decode_all(
                #recorded: &#krate::RecordedEvent,
            ) -> ::core::result::Result<#krate::Decoded<Self>, #krate::DecodeError> {
                let #event_type = &<Self as #krate::Event>::TYPES[0];
                #(#splits)*
                #shapes
                #decode(#recorded, #event_type, &[#(#old_shapes),*])
            }
        }

        #route
    }
}

/// What the event is about. Each call stands at the type of its field, which is where rustc then says that it makes no text.
fn expand_tag(target: &Target, tags: &[TagField]) -> Option<TokenStream> {
    let krate = target.krate();
    let calls: Vec<_> = tags
        .iter()
        .map(|tag| {
            let TagField { member, ty, attr } = tag;
            let (key, krate) = (tag.key(), target.krate_at(ty.span()));
            let call = if attr.is_many {
                quote_spanned!(ty.span()=> #krate::__private::tag_each::<#ty>)
            } else {
                quote_spanned!(ty.span()=> #krate::__private::tag::<#ty>)
            };
            quote!(#call(tags, #key, &self.#member)?;)
        })
        .collect();
    (!calls.is_empty()).then(|| {
        quote! {
            fn tag(
                &self,
                tags: &mut ::std::collections::BTreeSet<#krate::Tag>,
            ) -> ::core::result::Result<(), #krate::InvalidName> {
                #(#calls)*
                ::core::result::Result::Ok(())
            }
        }
    })
}

/// The name of a variable that no function of the user's can be taken for, whatever that is called.
fn local(name: &str) -> Ident {
    Ident::new(name, Span::mixed_site())
}

/// The old events of which it is a part; each stands at its type, where rustc then says that it is no event.
fn expand_sources(target: &Target, attrs: &EventAttrs) -> TokenStream {
    if attrs.splits.is_empty() {
        return TokenStream::new();
    }
    let sources: Vec<_> = attrs.splits.iter().map(|split| &split.value.from).collect();
    let types = expand_soles(target, &sources);
    let split_from = Ident::new("split_from", target.ident.span());
    quote!(.#split_from(&[#(#types),*]))
}

/// Reads an old event of which this one is a part. The call stands at the function, which is where rustc then says that its
/// signature is another one.
fn expand_split(target: &Target, split: &SplitAttr) -> TokenStream {
    let SplitAttr { from, with } = split;
    let types = expand_item(target, from, "TYPES");
    let krate = target.krate_at(with.span());
    let recorded = local("recorded");
    let call = quote_spanned!(with.span()=> #krate::__private::split::<#from, Self, _>(#with, #recorded));
    quote! {
        if #types[0].is_found_as(#recorded.name.as_str()) {
            return #call;
        }
    }
}

/// The versions from today's back to the first, each of which knows the next; and all of them but today's, from the first on.
fn expand_shapes(target: &Target, attrs: &EventAttrs) -> (TokenStream, Vec<TokenStream>) {
    let mut upcasts: Vec<_> = attrs.upcasts.iter().map(|upcast| &upcast.value).collect();
    if upcasts.is_empty() {
        return (TokenStream::new(), Vec::new());
    }
    upcasts.sort_by_key(|upcast| upcast.from.number);
    let shape = |from: &SchemaVersion| local(&format!("version_{}", from.number));
    let (krate, today, old) = (target.krate(), local("today"), local("old"));
    let mut shapes = quote!(let #today = #krate::__private::today::<Self>(););
    for (index, UpcastAttr { from, step }) in upcasts.iter().enumerate().rev() {
        let next = upcasts.get(index + 1);
        let next_shape = next.map_or_else(|| today.clone(), |next| shape(&next.from));
        let leads_to_value = next.is_some_and(|next| matches!(next.step, Step::Value(_)));
        // The step stands at the function, which is where rustc then says that its signature is another one.
        let call = match step {
            Step::Value(step) => {
                let krate_at_step = target.krate_at(step.span());
                let taken = quote_spanned!(step.span()=> #krate_at_step::__private::step(#step, #old));
                quote!(#krate::__private::on_value(#from, &#next_shape, |#old| #taken))
            }
            Step::Typed(step) => {
                let krate_at_step = target.krate_at(step.span());
                let mut taken = quote_spanned!(step.span()=> #krate_at_step::__private::typed(#step, #old));
                if leads_to_value {
                    let value = quote_spanned!(step.span()=> value());
                    taken = quote! {{
                        #[allow(unused_imports)]
                        use #krate::__private::{FallibleValue as _, PlainValue as _};
                        #krate::__private::Answer(#taken.#value)
                    }};
                }
                let args = quote!(#from, &#next_shape, |#old| #taken);
                quote_spanned!(step.span()=> #krate_at_step::__private::on_type::<Self, _, _, _, _>(#args))
            }
        };
        let shape = shape(from);
        shapes.extend(quote!(let #shape = #call;));
    }
    (shapes, upcasts.iter().map(|upcast| shape(&upcast.from)).map(|shape| quote!(&#shape)).collect())
}

fn expand_enum(target: &Target, attrs: &EventAttrs, variants: &[EventVariant]) -> TokenStream {
    let (ident, krate) = (&target.ident, target.krate());
    let names: Vec<_> = variants.iter().map(|variant| &variant.ident).collect();
    let events: Vec<_> = variants.iter().map(|variant| &variant.event).collect();
    let are_events = events.iter().map(|event| quote!(#event: #krate::Event));
    let is_static = quote!(Self: ::core::marker::Send + ::core::marker::Sync + 'static);
    let generics = target.generics_where(are_events.chain([is_static]));
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    let types = expand_types(target, &events);
    let dropped = expand_dropped(target, attrs);
    let [types_of, event_type, tag, encode, personal, decode_all] =
        ["TYPES", "event_type", "tag", "encode", "personal", "decode_all"]
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
            const _: (&[#krate::EventType], &[&::core::primitive::str]) =
                (<#ident as #krate::Event>::TYPES, <#ident as #krate::Event>::DROPPED);
        }
    });
    // The names of hundreds of events are many to compare with each other.
    quote! {
        #[automatically_derived]
        #[allow(deprecated, long_running_const_eval)]
        impl #impl_generics #krate::Event for #ident #type_generics #where_clause {
            const TYPES: &'static [#krate::EventType] = &#types;
            #dropped

            fn event_type(&self) -> &'static #krate::EventType {
                match self {
                    #(Self::#names(event) => #event_type(event),)*
                }
            }

            fn tag(
                &self,
                tags: &mut ::std::collections::BTreeSet<#krate::Tag>,
            ) -> ::core::result::Result<(), #krate::InvalidName> {
                match self {
                    #(Self::#names(event) => #tag(event, tags),)*
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

            fn personal(
                &self,
                codec: #krate::Codec,
            ) -> ::core::result::Result<::std::vec::Vec<#krate::privacy::Personal>, #krate::BoxError> {
                match self {
                    #(Self::#names(event) => #personal(event, codec),)*
                }
            }

            fn decode_all(
                recorded: &#krate::RecordedEvent,
            ) -> ::core::result::Result<#krate::Decoded<Self>, #krate::DecodeError> {
                let name = recorded.name.as_str();
                #(
                    if #types_of[0].is_named(name) {
                        return #decode_all(recorded).map(|event| event.map(Self::#names));
                    }
                )*
                let mut found = ::core::option::Option::None;
                #(
                    if #types_of[0].is_part_of(name) {
                        let parts = #decode_all(recorded)?.into_iter().map(Self::#names);
                        found.get_or_insert_with(::std::vec::Vec::new).extend(parts);
                    }
                )*
                #krate::__private::parts(recorded, found)
            }
        }

        #checked
        #(#from)*
        #route
    }
}

/// The names of all events; it stands at the enum's name, which is where rustc then says that two share one.
fn expand_types(target: &Target, events: &[&Type]) -> TokenStream {
    let types = expand_soles(target, events);
    let types = quote!([#(#types),*]);
    let krate = target.krate_at(target.ident.span());
    quote_spanned!(target.ident.span()=> #krate::__private::distinct(#types))
}

/// The one type of each event.
fn expand_soles(target: &Target, events: &[&Type]) -> Vec<TokenStream> {
    let sole = |event: &&Type| {
        let krate = target.krate_at(event.span());
        quote_spanned!(event.span()=> #krate::__private::sole(<#event as #krate::Event>::TYPES))
    };
    events.iter().map(sole).collect()
}

/// The names that are passed over; they stand at the first of them, which is where rustc then says that one is read as well.
fn expand_dropped(target: &Target, attrs: &EventAttrs) -> Option<TokenStream> {
    let place = attrs.dropped.first()?.key;
    let (krate, krate_at_key) = (target.krate(), target.krate_at(place));
    let names = attrs.dropped.iter().map(|dropped| &dropped.value);
    let args = quote!(<Self as #krate::Event>::TYPES, [#(#names),*]);
    let dropped = quote_spanned!(place=> #krate_at_key::__private::dropped(#args));
    Some(quote!(const DROPPED: &'static [&'static str] = &#dropped;))
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
