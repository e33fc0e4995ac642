//! The derives of **factum**: a small compiler from declarations to the impls one would write by hand.
//!
//! Attributes become typed values (`attr`), the input becomes a tree in our own words (`ast`), rules are checked
//! (`check`), and tokens come out (`expand`), or all errors at once beside impls that keep them from echoing
//! (`fallback`).

mod ast;
mod attr;
mod check;
mod ctxt;
mod expand;
mod fallback;
mod personal;
#[cfg(test)]
mod tests;

use proc_macro2::TokenStream;
use syn::DeriveInput;

use crate::ctxt::Ctxt;

#[doc = include_str!("../docs/event.md")]
#[proc_macro_derive(Event, attributes(event))]
pub fn derive_event(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    event(input.into()).into()
}

#[doc = include_str!("../docs/aggregate.md")]
#[proc_macro_derive(Aggregate, attributes(aggregate))]
pub fn derive_aggregate(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    aggregate(input.into()).into()
}

#[doc = include_str!("../docs/view.md")]
#[proc_macro_derive(View, attributes(view))]
pub fn derive_view(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    view(input.into()).into()
}

#[doc = include_str!("../docs/handler.md")]
#[proc_macro_derive(EventHandler, attributes(handler))]
pub fn derive_event_handler(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    handler(input.into()).into()
}

#[doc = include_str!("../docs/process.md")]
#[proc_macro_derive(ProcessManager, attributes(process))]
pub fn derive_process_manager(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    process(input.into()).into()
}

fn event(input: TokenStream) -> TokenStream {
    derive(input, ast::EventInput::from_syn, check::event, expand::event::expand, fallback::event)
}

fn aggregate(input: TokenStream) -> TokenStream {
    derive(
        input,
        ast::AggregateInput::from_syn,
        check::aggregate,
        expand::aggregate::expand,
        fallback::aggregate,
    )
}

fn view(input: TokenStream) -> TokenStream {
    derive(input, ast::ViewInput::from_syn, check::view, expand::view::expand, fallback::view)
}

fn handler(input: TokenStream) -> TokenStream {
    derive(input, ast::HandlerInput::from_syn, check::handler, expand::handler::expand, fallback::handler)
}

fn process(input: TokenStream) -> TokenStream {
    derive(input, ast::ProcessInput::from_syn, check::process, expand::process::expand, fallback::process)
}

/// The pipeline that all derives go through.
fn derive<T>(
    input: TokenStream,
    read: fn(&Ctxt, &DeriveInput) -> T,
    check: fn(&Ctxt, &T),
    expand: fn(&T) -> TokenStream,
    fallback: fn(&T) -> TokenStream,
) -> TokenStream {
    let input = match syn::parse2(input) {
        Ok(input) => input,
        Err(error) => return error.to_compile_error(),
    };
    let cx = Ctxt::new();
    let tree = read(&cx, &input);
    check(&cx, &tree);
    match cx.check() {
        Ok(()) => expand(&tree),
        Err(errors) => {
            let (errors, fallback) = (errors.to_compile_error(), fallback(&tree));
            quote::quote!(#errors #fallback)
        }
    }
}
