//! `#[event(personal(..))]` on a field of an event: from the attribute to the tokens.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::token::Paren;
use syn::{Attribute, Expr, Field, Fields, LitStr, Token, Type};

use crate::ast::Target;
use crate::attr::PersonalAttr;
use crate::ctxt::Ctxt;

/// A field that is about a person.
pub(crate) struct PersonalField {
    ident: Ident,
    ty: Type,
    /// The field of the same event that says about whom.
    subject: Ident,
    /// What is read when the person is forgotten, if that is not the default.
    fallback: Option<Expr>,
    /// The name that serde gives it.
    stored: String,
    /// Whether serde may leave it out.
    may_be_left_out: bool,
}

/// The personal fields of an event struct: those that say so, as far as they can be sealed.
pub(crate) fn fields(
    cx: &Ctxt,
    attrs: &[Attribute],
    fields: &Fields,
    said: &[(usize, PersonalAttr)],
) -> Vec<PersonalField> {
    let said = said.iter().filter_map(|(index, attr)| Some((fields.iter().nth(*index)?, attr)));
    let personal: Vec<_> = said.filter_map(|(field, attr)| checked(cx, attrs, fields, field, attr)).collect();
    let is_personal = |ident: &Ident| personal.iter().any(|field| field.ident == *ident);
    for field in personal.iter().filter(|field| is_personal(&field.subject)) {
        let message = format!(
            "`{}` is personal itself: whose key opens a field has to be readable without a key",
            field.subject
        );
        cx.error_on(&field.subject, message);
    }
    personal
}

/// The field, if its value stands by itself in the payload, under a name that can be told.
fn checked(
    cx: &Ctxt,
    attrs: &[Attribute],
    fields: &Fields,
    field: &Field,
    attr: &PersonalAttr,
) -> Option<PersonalField> {
    let PersonalAttr { subject, fallback, .. } = attr;
    let Some(ident) = &field.ident else {
        cx.error_on(&field.ty, "a personal field has a name, by which it is found in the payload");
        return None;
    };
    if !fields.iter().any(|field| field.ident.as_ref() == Some(subject)) {
        cx.error_on(subject, format!("the event has no field `{subject}`"));
    }
    let (container, of_field) = (serde(attrs), serde(&field.attrs));
    for key in ["transparent", "into", "from", "try_from", "remote"] {
        if let Some(found) = container.key(key) {
            let message =
                format!("serde writes another type where there is `{key}`, whose fields are not known here");
            cx.error_at(found, message);
        }
    }
    for key in ["flatten", "skip", "skip_serializing", "with", "serialize_with"] {
        if let Some(found) = of_field.key(key) {
            let message = format!(
                "a personal field stands by itself in the payload, as its type writes it: remove `{key}`, or give the field a type \
                 of its own"
            );
            cx.error_at(found, message);
        }
    }
    let plain = ident.unraw().to_string();
    let stored = of_field.rename.clone().unwrap_or_else(|| container.rename_all(&plain));
    let may_be_left_out = of_field.key("skip_serializing_if").is_some();
    let (ident, ty) = (ident.clone(), field.ty.clone());
    let (subject, fallback) = (subject.clone(), fallback.clone());
    Some(PersonalField { ident, ty, subject, fallback, stored, may_be_left_out })
}

/// What serde is told.
#[derive(Default)]
struct Serde {
    keys: Vec<(String, Span)>,
    /// The name that is written.
    rename: Option<String>,
    /// The rule by which names are written.
    rename_all: Option<String>,
}

fn serde(attrs: &[Attribute]) -> Serde {
    let mut found = Serde::default();
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("serde")) {
        // What cannot be read here is serde's to report.
        let _ = attr.parse_nested_meta(|meta| {
            let key = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
            found.keys.push((key.clone(), meta.path.span()));
            let mut written = None;
            if meta.input.peek(Token![=]) {
                let value: Expr = meta.value()?.parse()?;
                written = text(&value);
            } else if meta.input.peek(Paren) {
                meta.parse_nested_meta(|inner| {
                    let value: Expr = inner.value()?.parse()?;
                    if inner.path.is_ident("serialize") {
                        written = text(&value);
                    }
                    Ok(())
                })?;
            }
            match &*key {
                "rename" => found.rename = written.or(found.rename.take()),
                "rename_all" => found.rename_all = written.or(found.rename_all.take()),
                _ => {}
            }
            Ok(())
        });
    }
    found
}

fn text(value: &Expr) -> Option<String> {
    syn::parse2::<LitStr>(quote!(#value)).ok().map(|text| text.value())
}

impl Serde {
    fn key(&self, key: &str) -> Option<Span> {
        self.keys.iter().find(|(found, _)| found == key).map(|(_, span)| *span)
    }

    /// The name that serde gives a field without one of its own.
    fn rename_all(&self, field: &str) -> String {
        let pascal = || {
            let words = field.split('_');
            let word = |word: &str| match word.split_at_checked(1) {
                Some((first, rest)) => first.to_ascii_uppercase() + rest,
                None => word.to_owned(),
            };
            words.map(word).collect::<String>()
        };
        match self.rename_all.as_deref() {
            Some("PascalCase") => pascal(),
            Some("camelCase") => {
                let pascal = pascal();
                let (first, rest) = pascal.split_at_checked(1).unwrap_or(("", &pascal));
                first.to_ascii_lowercase() + rest
            }
            Some("UPPERCASE" | "SCREAMING_SNAKE_CASE") => field.to_ascii_uppercase(),
            Some("kebab-case") => field.replace('_', "-"),
            Some("SCREAMING-KEBAB-CASE") => field.to_ascii_uppercase().replace('_', "-"),
            _ => field.to_owned(),
        }
    }
}

/// The method that says what is personal; nothing, if nothing is. Each demand stands at what was written, where rustc then says that it
/// is not met.
pub(crate) fn expand(target: &Target, fields: &[PersonalField]) -> Option<TokenStream> {
    if fields.is_empty() {
        return None;
    }
    let krate = target.krate();
    let codec = Ident::new("codec", Span::mixed_site());
    let personal =
        fields.iter().map(|PersonalField { ty, subject, fallback, stored, may_be_left_out, .. }| {
            let fallback = if let Some(fallback) = fallback {
                quote_spanned!(fallback.span()=> { let fallback: #ty = #fallback; fallback })
            } else {
                quote_spanned!(ty.span()=> <#ty as ::core::default::Default>::default())
            };
            let of_subject = quote_spanned!(subject.span()=> &self.#subject);
            let may_be_left_out = may_be_left_out.then(|| quote!(.may_be_left_out()));
            quote!(#krate::privacy::Personal::new(#stored, #of_subject, &#fallback, #codec)? #may_be_left_out)
        });
    Some(quote! {
        fn personal(
            &self,
            #codec: #krate::Codec,
        ) -> ::core::result::Result<::std::vec::Vec<#krate::privacy::Personal>, #krate::BoxError> {
            ::core::result::Result::Ok(::std::vec![#(#personal),*])
        }
    })
}
