//! `derive(EventHandler)`: the tokens.

use proc_macro2::{Literal, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Index, Type};

use crate::ast::{HandlerInput, Target};
use crate::attr::OnAttr;

pub(crate) fn expand(input: &HandlerInput) -> TokenStream {
    let HandlerInput { target, attrs } = input;
    let (ident, krate) = (&target.ident, target.krate());
    let (impl_generics, type_generics, where_clause) = target.generics.split_for_impl();
    let (name, error, cx) = (attrs.name.get(), attrs.error.get(), attrs.cx());
    let interests = attrs.on.iter().map(|on| expand_interest(target, on));
    let turns = attrs.on.iter().enumerate().map(|(interest, on)| {
        let (interest, call) = (Index::from(interest), expand_call(target, on, &cx));
        quote!(#interest => #call)
    });
    let flush = attrs.flush.key().map(|key| {
        let flush = expand_flush(target, key, &cx);
        quote! {
            async fn flush(&self, cx: &mut #krate::Context<#cx>) -> ::core::result::Result<(), #error> {
                #flush
            }
        }
    });
    // However large a future is, the dispatcher puts it in a box.
    quote! {
        #[automatically_derived]
        #[allow(deprecated, clippy::large_futures)]
        impl #impl_generics #krate::EventHandler<#cx> for #ident #type_generics #where_clause {
            const NAME: &'static str = #name;
            const INTERESTS: &'static [#krate::Interest] = &[#(#interests),*];
            type Error = #error;

            async fn handle(
                &self,
                interest: usize,
                event: &#krate::RecordedEvent,
                cx: &mut #krate::Context<#cx>,
            ) -> ::core::result::Result<(), #krate::HandleError<#error>> {
                match interest {
                    #(#turns,)*
                    _ => ::core::unreachable!("a handler is asked for its own interests"),
                }
            }

            #flush
        }
    }
}

fn expand_interest(target: &Target, on: &OnAttr) -> TokenStream {
    let (krate, event, priority) = (target.krate(), &on.event, Literal::i32_unsuffixed(on.priority));
    quote!(#krate::Interest::new::<#event>(#priority))
}

/// All of it stands at the listed event, which is where rustc then says, once, that its `On` is missing.
fn expand_call(target: &Target, on: &OnAttr, cx: &Type) -> TokenStream {
    let (event, place) = (&on.event, on.event.span());
    let krate = target.krate_at(place);
    match &on.when {
        None => {
            let args = quote!(self, event, cx);
            quote_spanned!(place=> #krate::__private::call::<Self, #event, #cx>(#args).await)
        }
        Some(when) => {
            let (handler, recorded, context) = (quote!(self), quote!(event), quote!(cx));
            quote_spanned! {place=>
                #krate::__private::call_when::<Self, #event, #cx>(
                    #handler,
                    #krate::__private::read_when::<#event>(#recorded, #when),
                    #context,
                )
                .await
            }
        }
    }
}

/// All of it stands at the key, which is where rustc then says, once, that `Flush` is missing.
fn expand_flush(target: &Target, key: Span, cx: &Type) -> TokenStream {
    let krate = target.krate_at(key);
    let args = quote!(self, cx);
    quote_spanned!(key=> <Self as #krate::Flush<#cx>>::flush(#args).await)
}
