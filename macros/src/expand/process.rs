//! `derive(ProcessManager)`: the tokens.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Index, Type};

use crate::ast::{ProcessInput, Target};
use crate::attr::ProcessAttrs;

pub(crate) fn expand(input: &ProcessInput) -> TokenStream {
    let ProcessInput { target, attrs, .. } = input;
    let (ident, krate, name) = (&target.ident, target.krate(), attrs.name.get());
    let generics = target.generics_where(demands(input));
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    let consts = lists(input).map(|(list, events)| expand_list(target, list, events));
    let react = expand_react(target, &attrs.on);
    let issue = (!attrs.issues.is_empty()).then(|| expand_issue(target, &attrs.issues));
    let wait = (!attrs.deadlines.is_empty()).then(|| expand_wait(target, &attrs.deadlines));
    // An error of a list is one even if nothing runs the process yet.
    let checked = lists(input).map(|(list, _)| {
        let (krate, list) = (target.krate_at(ident.span()), Ident::new(list, ident.span()));
        quote_spanned! {ident.span()=>
            #[allow(deprecated)]
            const _: &[#krate::Interest] = <#ident as #krate::ProcessManager>::#list;
        }
    });
    let checked = checked.filter(|_| !target.is_generic());
    // However large a future is, the dispatcher puts it in a box.
    quote! {
        #[automatically_derived]
        #[allow(deprecated, long_running_const_eval, clippy::large_futures)]
        impl #impl_generics #krate::ProcessManager for #ident #type_generics #where_clause {
            const NAME: &'static str = #name;
            #(#consts)*
            #react
            #issue
            #wait
        }

        #(#checked)*
    }
}

fn expand_react(target: &Target, events: &[Type]) -> TokenStream {
    let krate = target.krate();
    let args = quote!(event);
    let turns = expand_turns(
        target,
        events,
        |krate, event| quote_spanned!(event.span()=> #krate::__private::react::<Self, #event>(#args)),
    );
    quote! {
        fn react_to(
            reaction: usize,
            event: &#krate::RecordedEvent,
        ) -> ::core::result::Result<::std::vec::Vec<#krate::Reaction<Self>>, #krate::DecodeError> {
            match reaction {
                #(#turns,)*
                _ => ::core::unreachable!("a process is asked for its own reactions"),
            }
        }
    }
}

fn expand_issue(target: &Target, events: &[Type]) -> TokenStream {
    let krate = target.krate();
    let store = format_ident!("__S");
    let args = quote!(event, store, encoding, tx);
    let turns = expand_turns(
        target,
        events,
        |krate, event| quote_spanned!(event.span()=> #krate::__private::issue::<Self, #event, #store>(#args).await),
    );
    quote! {
        async fn issue_for<#store>(
            issue: usize,
            event: &#krate::RecordedEvent,
            store: &#store,
            encoding: #krate::Encoding,
            tx: &mut #store::Tx,
        ) -> ::core::result::Result<(), #krate::ProcessError>
        where
            #store: #krate::EventStore + #krate::Transactional + ::core::clone::Clone,
        {
            match issue {
                #(#turns,)*
                _ => ::core::unreachable!("a process is asked for its own issues"),
            }
        }
    }
}

fn expand_wait(target: &Target, events: &[Type]) -> TokenStream {
    let krate = target.krate();
    let args = quote!(event);
    let turns = expand_turns(
        target,
        events,
        |krate, event| quote_spanned!(event.span()=> #krate::__private::wait::<Self, #event>(#args)),
    );
    quote! {
        fn wait_for(
            deadline: usize,
            event: &#krate::RecordedEvent,
        ) -> ::core::result::Result<
            (::core::option::Option<#krate::__private::Time>, #krate::Choice<Self>),
            #krate::DecodeError,
        > {
            match deadline {
                #(#turns,)*
                _ => ::core::unreachable!("a process is asked for its own deadlines"),
            }
        }
    }
}

/// The lists that have events, and what they are called.
fn lists(input: &ProcessInput) -> impl Iterator<Item = (&'static str, &[Type])> {
    let ProcessAttrs { on, issues, deadlines, .. } = &input.attrs;
    let lists = [("REACTIONS", on), ("ISSUES", issues), ("DEADLINES", deadlines)];
    lists.into_iter().map(|(list, events)| (list, events.as_slice())).filter(|(_, events)| !events.is_empty())
}

/// The list as a constant; it stands at the process's name, which is where rustc then says that an event is in it twice.
fn expand_list(target: &Target, name: &str, events: &[Type]) -> TokenStream {
    let (krate, name) = (target.krate(), format_ident!("{name}"));
    let interests = events.iter().map(|event| quote!(#krate::Interest::new::<#event>(0)));
    let interests = quote!([#(#interests),*]);
    let place = target.ident.span();
    let krate_at_name = target.krate_at(place);
    let mut apart = quote_spanned!(place=> #krate_at_name::__private::apart(#interests));
    if name == "DEADLINES" {
        apart = quote_spanned!(place=> #krate_at_name::__private::apart_as_recorded(#apart));
    }
    quote!(const #name: &'static [#krate::Interest] = &#apart;)
}

/// The arms of a `match`. All of a call stands at the listed event, which is where rustc then says, once, what is missing.
fn expand_turns(
    target: &Target,
    events: &[Type],
    call: impl Fn(&TokenStream, &Type) -> TokenStream,
) -> Vec<TokenStream> {
    let turn = |(number, event): (usize, &Type)| {
        let (number, call) = (Index::from(number), call(&target.krate_at(event.span()), event));
        quote!(#number => #call)
    };
    events.iter().enumerate().map(turn).collect()
}

/// What has to hold of a type with parameters. Each demand stands at its event, where rustc then says that it is not met.
fn demands(input: &ProcessInput) -> Vec<TokenStream> {
    let ProcessInput { target, attrs: ProcessAttrs { on, issues, deadlines, .. }, .. } = input;
    let is_event = once(on.iter().chain(issues).chain(deadlines)).into_iter().map(|event| {
        let krate = target.krate_at(event.span());
        quote_spanned!(event.span()=> #event: #krate::Event)
    });
    let is_own = once(issues.iter().chain(deadlines)).into_iter().map(|event| {
        let krate = target.krate_at(event.span());
        quote_spanned!(event.span()=> Self: #krate::__private::Records<#event>)
    });
    let lists = [("React", on), ("Issue", issues), ("Deadline", deadlines)];
    let has_impl = lists.into_iter().flat_map(|(name, events)| {
        events.iter().map(move |event| {
            let (krate, name) = (target.krate_at(event.span()), Ident::new(name, event.span()));
            quote_spanned!(event.span()=> Self: #krate::#name<#event>)
        })
    });
    is_event.chain(is_own).chain(has_impl).collect()
}

/// Each event once, however many lists have it.
fn once<'a>(events: impl Iterator<Item = &'a Type>) -> Vec<&'a Type> {
    events.fold(Vec::new(), |mut seen, event| {
        if !seen.contains(&event) {
            seen.push(event);
        }
        seen
    })
}
