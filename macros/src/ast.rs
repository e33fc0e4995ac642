//! The input of each derive, in our own words.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens, quote_spanned};
use syn::ext::IdentExt as _;
use syn::token::Paren;
use syn::{
    Attribute, Data, DeriveInput, Expr, Fields, Generics, Ident, Member, Path, Token, Type, Variant,
    WherePredicate, parse_quote,
};

use crate::attr::{
    AggregateAttrs, EventAttrs, FieldAttrs, HandlerAttrs, PersonalAttr, ProcessAttrs, TagAttr, ViewAttrs,
};
use crate::ctxt::Ctxt;
use crate::personal::{self, PersonalField};

/// What is the same for every derive: whose it is.
pub(crate) struct Target {
    pub(crate) ident: Ident,
    pub(crate) generics: Generics,
    /// The path to the facade crate, where it is not `::factum`.
    krate: Option<Path>,
}

/// The input of `derive(Event)`.
pub(crate) struct EventInput {
    pub(crate) target: Target,
    pub(crate) attrs: EventAttrs,
    pub(crate) kind: EventKind,
}

/// The two forms of an event.
pub(crate) enum EventKind {
    /// One fact.
    Struct {
        /// The `tag` of `#[serde(tag = "..")]`, which would put a name into the payload.
        serde_tag: Option<Ident>,
        /// What it is about.
        tags: Vec<TagField>,
        /// The fields that are about a person.
        personal: Vec<PersonalField>,
    },
    /// One fact out of several.
    Enum(Vec<EventVariant>),
}

/// `#[event(tag)] course: CourseId`.
pub(crate) struct TagField {
    pub(crate) member: Member,
    pub(crate) ty: Type,
    pub(crate) attr: TagAttr,
}

impl TagField {
    /// The first part of its tags; nothing, if neither the attribute nor the field says it.
    pub(crate) fn key(&self) -> Option<String> {
        match (&self.attr.key, &self.member) {
            (Some(key), _) => Some(key.value()),
            (None, Member::Named(name)) => Some(name.unraw().to_string()),
            (None, Member::Unnamed(_)) => None,
        }
    }
}

/// `Placed(OrderPlaced)`.
pub(crate) struct EventVariant {
    pub(crate) ident: Ident,
    pub(crate) event: Type,
}

/// The input of `derive(Aggregate)`.
pub(crate) struct AggregateInput {
    pub(crate) target: Target,
    pub(crate) attrs: AggregateAttrs,
}

/// The input of `derive(View)`.
pub(crate) struct ViewInput {
    pub(crate) target: Target,
    pub(crate) attrs: ViewAttrs,
}

/// The input of `derive(EventHandler)`.
pub(crate) struct HandlerInput {
    pub(crate) target: Target,
    pub(crate) attrs: HandlerAttrs,
}

/// The input of `derive(ProcessManager)`.
pub(crate) struct ProcessInput {
    pub(crate) target: Target,
    pub(crate) attrs: ProcessAttrs,
    /// Whether it derives `Aggregate` as well, as far as can be seen.
    pub(crate) is_aggregate: bool,
}

impl EventInput {
    pub(crate) fn from_syn(cx: &Ctxt, input: &DeriveInput) -> Self {
        let attrs = EventAttrs::parse(cx, &input.attrs);
        if !matches!(input.data, Data::Struct(_)) {
            refuse_attrs_inside(cx, "event", "on the event struct", &input.data);
        }
        let kind = match &input.data {
            Data::Enum(data) => {
                if data.variants.is_empty() {
                    cx.error_on(&input.ident, "an event enum has at least one variant");
                }
                EventKind::Enum(
                    data.variants.iter().filter_map(|variant| event_variant(cx, variant)).collect(),
                )
            }
            Data::Struct(data) => {
                let fields = EventFields::parse(cx, &data.fields);
                let personal = personal::fields(cx, &input.attrs, &data.fields, &fields.personal);
                EventKind::Struct { serde_tag: serde_tag(&input.attrs), tags: fields.tags, personal }
            }
            Data::Union(data) => {
                cx.error_on(data.union_token, "an event is a struct, or an enum of event structs");
                EventKind::Struct { serde_tag: None, tags: Vec::new(), personal: Vec::new() }
            }
        };
        Self { target: Target::new(input, attrs.krate.get()), attrs, kind }
    }
}

impl AggregateInput {
    pub(crate) fn from_syn(cx: &Ctxt, input: &DeriveInput) -> Self {
        let attrs = AggregateAttrs::parse(cx, &input.attrs);
        refuse_attrs_inside(cx, "aggregate", "above the aggregate", &input.data);
        if let Data::Union(data) = &input.data {
            cx.error_on(data.union_token, "an aggregate is a struct or an enum");
        }
        Self { target: Target::new(input, attrs.krate.get()), attrs }
    }
}

impl ViewInput {
    pub(crate) fn from_syn(cx: &Ctxt, input: &DeriveInput) -> Self {
        let attrs = ViewAttrs::parse(cx, &input.attrs);
        refuse_attrs_inside(cx, "view", "above the view", &input.data);
        if let Data::Union(data) = &input.data {
            cx.error_on(data.union_token, "a view is a struct or an enum");
        }
        Self { target: Target::new(input, attrs.krate.get()), attrs }
    }
}

impl HandlerInput {
    pub(crate) fn from_syn(cx: &Ctxt, input: &DeriveInput) -> Self {
        let attrs = HandlerAttrs::parse(cx, &input.attrs);
        refuse_attrs_inside(cx, "handler", "above the handler", &input.data);
        if let Data::Union(data) = &input.data {
            cx.error_on(data.union_token, "an event handler is a struct or an enum");
        }
        Self { target: Target::new(input, attrs.krate.get()), attrs }
    }
}

impl ProcessInput {
    pub(crate) fn from_syn(cx: &Ctxt, input: &DeriveInput) -> Self {
        let attrs = ProcessAttrs::parse(cx, &input.attrs);
        refuse_attrs_inside(cx, "process", "above the process manager", &input.data);
        if let Data::Union(data) = &input.data {
            cx.error_on(data.union_token, "a process manager is a struct or an enum");
        }
        let is_aggregate = input.attrs.iter().any(|attr| attr.path().is_ident("aggregate"));
        Self { target: Target::new(input, attrs.krate.get()), attrs, is_aggregate }
    }
}

impl Target {
    fn new(input: &DeriveInput, krate: Option<&Path>) -> Self {
        Self { ident: input.ident.clone(), generics: input.generics.clone(), krate: krate.cloned() }
    }

    /// The path to the facade crate.
    pub(crate) fn krate(&self) -> TokenStream {
        self.krate_at(Span::call_site())
    }

    /// The path to the facade crate, as if it were written at `place`: for rustc, a call begins with its first token.
    pub(crate) fn krate_at(&self, place: Span) -> TokenStream {
        let Some(path) = &self.krate else { return quote_spanned!(place=> ::factum) };
        let here = |mut token: TokenTree| {
            // What it means is decided where the user wrote it: it may begin with a `$crate`.
            token.set_span(token.span().located_at(place));
            token
        };
        path.to_token_stream().into_iter().map(here).collect()
    }

    /// Whether what holds of the type depends on its parameters.
    pub(crate) fn is_generic(&self) -> bool {
        !self.generics.params.is_empty()
    }

    /// The generics, for an impl that is there where `predicates` hold. For a type without parameters they hold or do
    /// not, and rustc says so in better words where the impl needs them.
    pub(crate) fn generics_where(&self, predicates: impl IntoIterator<Item = TokenStream>) -> Generics {
        let mut generics = self.generics.clone();
        if self.is_generic() {
            let predicates =
                predicates.into_iter().map(|predicate| -> WherePredicate { parse_quote!(#predicate) });
            generics.make_where_clause().predicates.extend(predicates);
        }
        generics
    }
}

/// What the fields of an event struct say of themselves.
#[derive(Default)]
struct EventFields {
    /// What the event is about, once for each tag.
    tags: Vec<TagField>,
    /// What is about a person, by the index of its field.
    personal: Vec<(usize, PersonalAttr)>,
}

impl EventFields {
    fn parse(cx: &Ctxt, fields: &Fields) -> Self {
        let mut found = Self::default();
        for (index, (field, member)) in fields.iter().zip(fields.members()).enumerate() {
            let FieldAttrs { tags, personal } = FieldAttrs::parse(cx, &field.attrs);
            if let (Some(personal), Some(_)) = (&personal, tags.first()) {
                cx.error_at(personal.place, "a tag is not sealed: what is personal is none");
            }
            let tag = |attr| TagField { member: member.clone(), ty: field.ty.clone(), attr };
            found.tags.extend(tags.into_iter().map(tag));
            found.personal.extend(personal.map(|personal| (index, personal)));
        }
        found
    }
}

/// The event struct of a variant, or a report of what the variant holds instead.
fn event_variant(cx: &Ctxt, variant: &Variant) -> Option<EventVariant> {
    let found = match &variant.fields {
        Fields::Unnamed(fields) if fields.unnamed.len() == 1 => {
            return Some(EventVariant { ident: variant.ident.clone(), event: fields.unnamed[0].ty.clone() });
        }
        fields if fields.is_empty() => "nothing".to_owned(),
        Fields::Unnamed(fields) => format!("{} values", fields.unnamed.len()),
        Fields::Named(_) | Fields::Unit => "fields of its own".to_owned(),
    };
    let name = &variant.ident;
    let message = format!(
        "a variant of an event enum holds one event struct, this one has {found}: write a struct with \
         `#[derive(Event)]`, and `{name}(ThatStruct)` here"
    );
    cx.error_on(name, message);
    None
}

/// Helper attributes are read above the type only; elsewhere, rustc would let them pass unread.
fn refuse_attrs_inside(cx: &Ctxt, helper: &str, place: &str, data: &Data) {
    let refuse = |attrs: &[Attribute], what: &str| {
        for attr in attrs.iter().filter(|attr| attr.path().is_ident(helper)) {
            cx.error_on(attr, format!("a {what} has no `#[{helper}(..)]`: it belongs {place}"));
        }
    };
    let refuse_on_fields = |fields: &Fields| fields.iter().for_each(|field| refuse(&field.attrs, "field"));
    match data {
        Data::Struct(data) => refuse_on_fields(&data.fields),
        Data::Enum(data) => {
            for variant in &data.variants {
                refuse(&variant.attrs, "variant");
                refuse_on_fields(&variant.fields);
            }
        }
        // Reported as what it is.
        Data::Union(_) => {}
    }
}

/// The `tag` of `#[serde(tag = "..")]`.
fn serde_tag(attrs: &[Attribute]) -> Option<Ident> {
    let mut tag = None;
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("serde")) {
        // What cannot be read here is serde's to report.
        let _ = attr.parse_nested_meta(|meta| {
            if meta.path.is_ident("tag") {
                tag = meta.path.get_ident().cloned();
            }
            if meta.input.peek(Token![=]) {
                meta.value()?.parse::<Expr>()?;
            } else if meta.input.peek(Paren) {
                meta.input.parse::<TokenTree>()?;
            }
            Ok(())
        });
    }
    tag
}
