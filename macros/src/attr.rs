//! Attributes to typed values, each with the span of its key, so that every later stage can point at it.

use proc_macro2::{Ident, Literal, Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::token::Paren;
use syn::{Attribute, Expr, ExprPath, LitInt, LitStr, Path, Token, Type, parenthesized, parse_quote};

use crate::ctxt::Ctxt;

/// A value and where its key stands.
pub(crate) struct Keyed<T> {
    pub(crate) key: Span,
    pub(crate) value: T,
}

/// A value that may be given once.
pub(crate) struct Once<T>(Option<Keyed<T>>);

impl<T> Default for Once<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Once<T> {
    fn set(&mut self, key: &Ident, value: T) -> syn::Result<()> {
        if self.0.is_some() {
            return Err(syn::Error::new(key.span(), format!("`{key}` is given twice")));
        }
        self.0 = Some(Keyed { key: key.span(), value });
        Ok(())
    }

    fn take(self) -> Option<T> {
        self.0.map(|keyed| keyed.value)
    }

    pub(crate) fn get(&self) -> Option<&T> {
        self.0.as_ref().map(|keyed| &keyed.value)
    }

    /// The value and its key.
    pub(crate) fn keyed(&self) -> Option<&Keyed<T>> {
        self.0.as_ref()
    }

    /// Where its key stands, if it was given.
    pub(crate) fn key(&self) -> Option<Span> {
        self.0.as_ref().map(|keyed| keyed.key)
    }
}

/// The keys that were given, each time they were: also those that could not be read, which are not missing as well.
pub(crate) type Given = Vec<&'static str>;

/// `#[event(..)]`.
#[derive(Default)]
pub(crate) struct EventAttrs {
    pub(crate) name: Once<LitStr>,
    pub(crate) version: Once<SchemaVersion>,
    pub(crate) upcasts: Vec<Keyed<UpcastAttr>>,
    pub(crate) aliases: Vec<Keyed<LitStr>>,
    pub(crate) splits: Vec<Keyed<SplitAttr>>,
    pub(crate) dropped: Vec<Keyed<LitStr>>,
    pub(crate) krate: Once<Path>,
    pub(crate) given: Given,
}

/// `upcast(from = 1, with = function)`, or with `typed` in the place of `with`.
pub(crate) struct UpcastAttr {
    pub(crate) from: SchemaVersion,
    pub(crate) step: Step,
}

/// What a step works on, and the function that takes it.
pub(crate) enum Step {
    /// `with`: on a JSON value.
    Value(ExprPath),
    /// `typed`: on a type of the user's.
    Typed(ExprPath),
}

/// `split(from = CustomerChanged, with = moved)`.
pub(crate) struct SplitAttr {
    /// The event that it was.
    pub(crate) from: Type,
    /// What it leads to.
    pub(crate) with: ExprPath,
}

/// `#[event(tag)]`, `#[event(tag = "course")]`, `#[event(tags)]` or `#[event(tags = "goods")]` on a field: what the event is about.
pub(crate) struct TagAttr {
    /// The first part of the tag, if it is not the field's name.
    pub(crate) key: Option<LitStr>,
    /// Whether the field has any number of values, each of which makes a tag.
    pub(crate) is_many: bool,
    /// Where `tag` stands.
    pub(crate) place: Span,
}

/// `#[event(personal(subject = customer))]` on a field: it is about a person.
pub(crate) struct PersonalAttr {
    /// The field of the same event that says about whom.
    pub(crate) subject: Ident,
    /// What is read when the person is forgotten, if that is not the default.
    pub(crate) fallback: Option<Expr>,
    /// Where `personal` stands.
    pub(crate) place: Span,
}

impl PersonalAttr {
    const FORM: &str = "a personal field says which other field has the id of whom it is about: \
                        `personal(subject = customer)`, with `fallback = ..` if what is read when the person is forgotten is not \
                        the default";

    /// What follows `personal`.
    fn parse(key: &Ident, input: ParseStream<'_>) -> syn::Result<Self> {
        if !input.peek(Paren) {
            return Err(syn::Error::new(key.span(), Self::FORM));
        }
        let inner;
        parenthesized!(inner in input);
        let (mut subject, mut fallback) = (None, None);
        while !inner.is_empty() {
            let name = inner.call(Ident::parse_any)?;
            let is_new =
                (name == "subject" && subject.is_none()) || (name == "fallback" && fallback.is_none());
            if !is_new || !inner.peek(Token![=]) {
                inner.parse::<TokenStream>()?;
                return Err(syn::Error::new(name.span(), Self::FORM));
            }
            inner.parse::<Token![=]>()?;
            if name == "subject" {
                subject = Some(inner.call(Ident::parse_any)?);
            } else {
                fallback = Some(inner.parse()?);
            }
            if !inner.is_empty() {
                inner.parse::<Token![,]>()?;
            }
        }
        let subject = subject.ok_or_else(|| syn::Error::new(key.span(), Self::FORM))?;
        Ok(Self { subject, fallback, place: key.span() })
    }
}

/// `#[event(..)]` on a field.
#[derive(Default)]
pub(crate) struct FieldAttrs {
    pub(crate) tags: Vec<TagAttr>,
    pub(crate) personal: Option<PersonalAttr>,
}

impl FieldAttrs {
    pub(crate) fn parse(cx: &Ctxt, attrs: &[Attribute]) -> Self {
        let mut found = Self::default();
        parse_keys(cx, attrs, "event", &["tag", "tags", "personal"], |key, input| {
            if key == "personal" {
                let personal = PersonalAttr::parse(key, input)?;
                if found.personal.replace(personal).is_some() {
                    return Err(syn::Error::new(key.span(), "`personal` is given twice"));
                }
            } else {
                let text = if input.peek(Token![=]) { Some(value(input)?) } else { None };
                found.tags.push(TagAttr { key: text, is_many: key == "tags", place: key.span() });
            }
            Ok(())
        });
        found
    }
}

/// A version of the shape of an event's payload.
#[derive(Clone, Copy)]
pub(crate) struct SchemaVersion {
    pub(crate) number: u32,
    pub(crate) span: Span,
}

/// `#[aggregate(..)]`.
#[derive(Default)]
pub(crate) struct AggregateAttrs {
    pub(crate) category: Once<LitStr>,
    pub(crate) id: Once<Type>,
    pub(crate) event: Once<Type>,
    pub(crate) snapshot: Once<SnapshotAttr>,
    pub(crate) krate: Once<Path>,
    pub(crate) given: Given,
}

/// `#[view(..)]`.
#[derive(Default)]
pub(crate) struct ViewAttrs {
    pub(crate) event: Once<Type>,
    pub(crate) krate: Once<Path>,
    pub(crate) given: Given,
}

/// `snapshot(every = 100, version = 1)`, or `snapshot(when = function, version = 1)`.
pub(crate) struct SnapshotAttr {
    pub(crate) due: Due,
    /// The version of the state's shape.
    pub(crate) version: SchemaVersion,
}

/// When a snapshot is taken.
pub(crate) enum Due {
    /// After so many events.
    Every(LitInt),
    /// When a function says so.
    When(Expr),
}

/// `#[handler(..)]`.
#[derive(Default)]
pub(crate) struct HandlerAttrs {
    pub(crate) name: Once<LitStr>,
    pub(crate) error: Once<Type>,
    pub(crate) cx: Once<Type>,
    pub(crate) on: Vec<OnAttr>,
    pub(crate) flush: Once<()>,
    pub(crate) krate: Once<Path>,
    pub(crate) given: Given,
}

/// `on(OrderShipped, priority = 10, when = |event| event.event.express)`.
pub(crate) struct OnAttr {
    pub(crate) event: Type,
    pub(crate) priority: i32,
    /// What is asked of each such event before it is handled.
    pub(crate) when: Option<Expr>,
}

/// `#[process(..)]`.
#[derive(Default)]
pub(crate) struct ProcessAttrs {
    pub(crate) name: Once<LitStr>,
    /// The events of others that it reacts to.
    pub(crate) on: Vec<Type>,
    /// Its own that issue commands.
    pub(crate) issues: Vec<Type>,
    /// Its own that set deadlines.
    pub(crate) deadlines: Vec<Type>,
    pub(crate) krate: Once<Path>,
    pub(crate) given: Given,
}

impl EventAttrs {
    pub(crate) fn parse(cx: &Ctxt, attrs: &[Attribute]) -> Self {
        let mut found = Self::default();
        let keys = ["name", "version", "upcast", "alias", "split", "dropped", "crate"];
        let given = parse_keys(cx, attrs, "event", &keys, |key, input| {
            match key.to_string().as_str() {
                "name" => found.name.set(key, value(input)?)?,
                "version" => found.version.set(key, value(input)?)?,
                "upcast" => found.upcasts.push(Keyed { key: key.span(), value: upcast(key, input)? }),
                "alias" => found.aliases.extend(names(key, "order.sent", input)?),
                "split" => found.splits.push(Keyed { key: key.span(), value: split(key, input)? }),
                "dropped" => found.dropped.extend(names(key, "order.viewed", input)?),
                _ => found.krate.set(key, path(input)?)?,
            }
            Ok(())
        });
        Self { given, ..found }
    }
}

impl AggregateAttrs {
    pub(crate) fn parse(cx: &Ctxt, attrs: &[Attribute]) -> Self {
        let mut found = Self::default();
        let keys = ["category", "id", "event", "snapshot", "crate"];
        let given = parse_keys(cx, attrs, "aggregate", &keys, |key, input| match key.to_string().as_str() {
            "category" => found.category.set(key, value(input)?),
            "id" => found.id.set(key, ty(input)?),
            "event" => found.event.set(key, ty(input)?),
            "snapshot" => found.snapshot.set(key, snapshot(key, input)?),
            _ => found.krate.set(key, path(input)?),
        });
        Self { given, ..found }
    }
}

impl ViewAttrs {
    pub(crate) fn parse(cx: &Ctxt, attrs: &[Attribute]) -> Self {
        let mut found = Self::default();
        let keys = ["event", "crate"];
        let given = parse_keys(cx, attrs, "view", &keys, |key, input| match key.to_string().as_str() {
            "event" => found.event.set(key, ty(input)?),
            _ => found.krate.set(key, path(input)?),
        });
        Self { given, ..found }
    }
}

impl HandlerAttrs {
    pub(crate) fn parse(cx: &Ctxt, attrs: &[Attribute]) -> Self {
        let mut found = Self::default();
        let keys = ["name", "error", "cx", "on", "flush", "crate"];
        let given = parse_keys(cx, attrs, "handler", &keys, |key, input| {
            match key.to_string().as_str() {
                "name" => found.name.set(key, value(input)?)?,
                "error" => found.error.set(key, ty(input)?)?,
                "cx" => found.cx.set(key, ty(input)?)?,
                "on" => found.on.push(on(key, input)?),
                "flush" => found.flush.set(key, ())?,
                _ => found.krate.set(key, path(input)?)?,
            }
            Ok(())
        });
        Self { given, ..found }
    }

    /// The context, which is `()` unless told otherwise.
    pub(crate) fn cx(&self) -> Type {
        self.cx.get().cloned().unwrap_or_else(|| parse_quote!(()))
    }
}

impl ProcessAttrs {
    pub(crate) fn parse(cx: &Ctxt, attrs: &[Attribute]) -> Self {
        let mut found = Self::default();
        let keys = ["name", "on", "issues", "deadline", "crate"];
        let given = parse_keys(cx, attrs, "process", &keys, |key, input| {
            match key.to_string().as_str() {
                "name" => found.name.set(key, value(input)?)?,
                "on" => found.on.push(listed(key, "OrderPlaced", input)?),
                "issues" => found.issues.push(listed(key, "PaymentRequested", input)?),
                "deadline" => found.deadlines.push(listed(key, "PaymentRequested", input)?),
                _ => found.krate.set(key, path(input)?)?,
            }
            Ok(())
        });
        Self { given, ..found }
    }
}

impl Parse for SchemaVersion {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let literal: LitInt = input.parse()?;
        match literal.base10_parse() {
            Ok(number) if (1..=i32::MAX.unsigned_abs()).contains(&number) => {
                Ok(Self { number, span: literal.span() })
            }
            _ => {
                let message = format!("versions count from 1 to {}", i32::MAX);
                Err(syn::Error::new(literal.span(), message))
            }
        }
    }
}

impl ToTokens for SchemaVersion {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let mut literal = Literal::u32_unsuffixed(self.number);
        literal.set_span(self.span);
        literal.to_tokens(tokens);
    }
}

/// `= value`
fn value<T: Parse>(input: ParseStream<'_>) -> syn::Result<T> {
    input.parse::<Token![=]>()?;
    input.parse()
}

/// `= Type`
fn ty(input: ParseStream<'_>) -> syn::Result<Type> {
    unquoted(input, "a type", Type::parse)
}

/// `= some::path`; a path that begins with `crate` is one too.
fn path(input: ParseStream<'_>) -> syn::Result<Path> {
    unquoted(input, "a path", Path::parse_mod_style)
}

/// A value that other derives want in quotes, so that people try it here.
fn unquoted<T>(
    input: ParseStream<'_>,
    what: &str,
    parse: fn(ParseStream<'_>) -> syn::Result<T>,
) -> syn::Result<T> {
    input.parse::<Token![=]>()?;
    let advice = if input.peek(LitStr) { ", without quotes" } else { "" };
    parse(input).map_err(|error| syn::Error::new(error.span(), format!("expected {what}{advice}")))
}

/// `(from = 1, with = function)`, or with `typed` in the place of `with`
fn upcast(key: &Ident, input: ParseStream<'_>) -> syn::Result<UpcastAttr> {
    let form = "an upcast says from which version it leads to the next, and how: `upcast(from = 1, with = function)` on a JSON \
                value, or `upcast(from = 1, typed = function)` on a type of its own";
    let (mut from, mut step) = (None, None);
    in_parens(key, form, input, |inner| {
        while !inner.is_empty() {
            let name = inner.call(Ident::parse_any)?;
            match name.to_string().as_str() {
                "from" if from.is_none() => from = Some(value(inner)?),
                "with" if step.is_none() => step = Some(Step::Value(function(inner)?)),
                "typed" if step.is_none() => step = Some(Step::Typed(function(inner)?)),
                _ => return Err(syn::Error::new(name.span(), form)),
            }
            comma_or_end(inner)?;
        }
        Ok(())
    })?;
    match (from, step) {
        (Some(from), Some(step)) => Ok(UpcastAttr { from, step }),
        _ => Err(syn::Error::new(key.span(), form)),
    }
}

/// `(from = CustomerChanged, with = function)`
fn split(key: &Ident, input: ParseStream<'_>) -> syn::Result<SplitAttr> {
    let form = "a split says of which old event this one is a part, and how: `split(from = CustomerChanged, with = function)`";
    let (mut from, mut with) = (None, None);
    in_parens(key, form, input, |inner| {
        while !inner.is_empty() {
            let name = inner.call(Ident::parse_any)?;
            match name.to_string().as_str() {
                "from" if from.is_none() => {
                    from = Some(unquoted(inner, "the type of the old event", Type::parse)?);
                }
                "with" if with.is_none() => with = Some(function(inner)?),
                _ => return Err(syn::Error::new(name.span(), form)),
            }
            comma_or_end(inner)?;
        }
        Ok(())
    })?;
    match (from, with) {
        (Some(from), Some(with)) => Ok(SplitAttr { from, with }),
        _ => Err(syn::Error::new(key.span(), form)),
    }
}

/// `= some::function`
fn function(input: ParseStream<'_>) -> syn::Result<ExprPath> {
    unquoted(input, "a path", ExprPath::parse)
}

/// `= "name"`, or `("name", "another")`
fn names(key: &Ident, example: &str, input: ParseStream<'_>) -> syn::Result<Vec<Keyed<LitStr>>> {
    let keyed = |value| Keyed { key: key.span(), value };
    if input.peek(Token![=]) {
        return Ok(vec![keyed(value(input)?)]);
    }
    let form = format!("a name is text: `{key} = \"{example}\"`, and several are `{key}(\"{example}\", ..)`");
    in_parens(key, &form, input, |inner| {
        let mut names = Vec::new();
        while !inner.is_empty() {
            let name = inner.parse().map_err(|error: syn::Error| syn::Error::new(error.span(), &form))?;
            names.push(keyed(name));
            comma_or_end(inner)?;
        }
        if names.is_empty() {
            return Err(syn::Error::new(key.span(), &form));
        }
        Ok(names)
    })
}

/// `(every = 100, version = 1)`, or `(when = function, version = 1)`
fn snapshot(key: &Ident, input: ParseStream<'_>) -> syn::Result<SnapshotAttr> {
    let form = "snapshots say when they are taken and which version of the state's shape they have: \
                `snapshot(every = 100, version = 1)`, or `when = |state, events| ..` instead of `every`";
    in_parens(key, form, input, |inner| {
        let (mut due, mut version) = (Once::default(), Once::default());
        while !inner.is_empty() {
            let name = inner.call(Ident::parse_any).map_err(|error| syn::Error::new(error.span(), form))?;
            match name.to_string().as_str() {
                "every" if due.get().is_none() => due.set(&name, Due::Every(count(inner)?))?,
                "when" if due.get().is_none() => due.set(&name, Due::When(value(inner)?))?,
                "version" => version.set(&name, value(inner)?)?,
                _ => return Err(syn::Error::new(name.span(), form)),
            }
            comma_or_end(inner)?;
        }
        match (due.take(), version.take()) {
            (Some(due), Some(version)) => Ok(SnapshotAttr { due, version }),
            _ => Err(syn::Error::new(key.span(), form)),
        }
    })
}

/// `= 100`
fn count(input: ParseStream<'_>) -> syn::Result<LitInt> {
    let number: LitInt = value(input)?;
    match number.base10_parse::<u32>() {
        Ok(1..) => Ok(number),
        _ => Err(syn::Error::new(number.span(), format!("a number of events is from 1 to {}", u32::MAX))),
    }
}

/// `(Event)`, or `(Event, priority = 10, when = |event| ..)`
fn on(key: &Ident, input: ParseStream<'_>) -> syn::Result<OnAttr> {
    let form = "every event is listed by itself: `on(OrderShipped)`, with `priority = 10` or `when = |event| ..` if it \
                matters";
    in_parens(key, form, input, |inner| {
        let wrong = |span| syn::Error::new(span, form);
        let event = inner.parse().map_err(|_| wrong(key.span()))?;
        comma_or_end(inner)?;
        let (mut turn, mut when) = (Once::default(), Once::default());
        while !inner.is_empty() {
            let name = inner.call(Ident::parse_any).map_err(|error| wrong(error.span()))?;
            match name.to_string().as_str() {
                "priority" => turn.set(&name, priority(inner)?)?,
                "when" => when.set(&name, value::<Expr>(inner)?)?,
                _ => return Err(wrong(name.span())),
            }
            comma_or_end(inner)?;
        }
        Ok(OnAttr { event, priority: turn.take().unwrap_or(0), when: when.take() })
    })
}

/// `= 10`
fn priority(input: ParseStream<'_>) -> syn::Result<i32> {
    let number: LitInt = value(input)?;
    number.base10_parse().map_err(|_| {
        let message = format!("a priority is a number from {} to {}", i32::MIN, i32::MAX);
        syn::Error::new(number.span(), message)
    })
}

/// `(Event)`
fn listed(key: &Ident, example: &str, input: ParseStream<'_>) -> syn::Result<Type> {
    let form = format!("every event is listed by itself: `{key}({example})`");
    in_parens(key, &form, input, |inner| {
        let event = inner.parse().map_err(|_| syn::Error::new(key.span(), &form))?;
        comma_or_end(inner)?;
        if inner.is_empty() {
            return Ok(event);
        }
        let next = inner.call(Ident::parse_any).map_err(|error| syn::Error::new(error.span(), &form))?;
        let message = if next == "priority" {
            "a process has no priorities: it is one subscriber among others"
        } else {
            &form
        };
        Err(syn::Error::new(next.span(), message))
    })
}

fn in_parens<T>(
    key: &Ident,
    form: &str,
    input: ParseStream<'_>,
    parse: impl FnOnce(ParseStream<'_>) -> syn::Result<T>,
) -> syn::Result<T> {
    if !input.peek(Paren) {
        return Err(syn::Error::new(key.span(), form));
    }
    let inner;
    parenthesized!(inner in input);
    let value = parse(&inner);
    if value.is_err() {
        // What is left after an error would be reported by syn as another one.
        inner.parse::<TokenStream>()?;
    }
    value
}

fn comma_or_end(input: ParseStream<'_>) -> syn::Result<()> {
    if !input.is_empty() {
        input.parse::<Token![,]>()?;
    }
    Ok(())
}

/// Goes through the keys of all `#[helper(..)]`, and says which were given. What cannot be read is reported, and the
/// next key is tried.
fn parse_keys(
    cx: &Ctxt,
    attrs: &[Attribute],
    helper: &str,
    keys: &[&'static str],
    mut read: impl FnMut(&Ident, ParseStream<'_>) -> syn::Result<()>,
) -> Given {
    let mut given = Given::new();
    for attr in attrs.iter().filter(|attr| attr.path().is_ident(helper)) {
        let all = attr.parse_args_with(|input: ParseStream<'_>| {
            while !input.is_empty() {
                let key = parse_key(input, keys, &mut given, &mut read);
                if let Err(error) = key.and_then(|()| comma_or_end(input)) {
                    cx.push(error);
                    skip_past_comma(input)?;
                }
            }
            Ok(())
        });
        if let Err(error) = all {
            cx.push(error);
            given.extend(keys);
        }
    }
    given
}

fn parse_key(
    input: ParseStream<'_>,
    keys: &[&'static str],
    given: &mut Given,
    read: &mut impl FnMut(&Ident, ParseStream<'_>) -> syn::Result<()>,
) -> syn::Result<()> {
    if !input.peek(Ident::peek_any) {
        // Whatever it was meant for.
        given.extend(keys);
        return Err(input.error(format!("expected a key: one of `{}`", keys.join("`, `"))));
    }
    let key = input.call(Ident::parse_any)?;
    let nearest = nearest(&key.to_string(), keys);
    given.extend(nearest);
    match nearest {
        Some(known) if key == known => read(&key, input),
        Some(known) => {
            Err(syn::Error::new(key.span(), format!("unknown key `{key}`: did you mean `{known}`?")))
        }
        None => {
            let message = format!("unknown key `{key}`: expected one of `{}`", keys.join("`, `"));
            Err(syn::Error::new(key.span(), message))
        }
    }
}

fn skip_past_comma(input: ParseStream<'_>) -> syn::Result<()> {
    while !input.is_empty() && !input.peek(Token![,]) {
        input.parse::<TokenTree>()?;
    }
    comma_or_end(input)
}

/// The key that `word` is, or that it is a slip of the finger away from: one in three letters may be wrong.
fn nearest(word: &str, keys: &[&'static str]) -> Option<&'static str> {
    let near = keys.iter().copied().filter(|key| distance(word, key) <= (key.len() / 3).max(1));
    near.min_by_key(|key| distance(word, key))
}

/// How many letters have to be added, removed, changed or swapped with their neighbour to get from one word to the
/// other.
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    // `steps[i][j]` is the distance between the first `i` and the first `j` letters.
    let mut steps = vec![vec![0; to.len() + 1]; from.len() + 1];
    for i in 0..=from.len() {
        for j in 0..=to.len() {
            steps[i][j] = match (i, j) {
                (0, n) | (n, 0) => n,
                _ => {
                    let changed = steps[i - 1][j - 1] + usize::from(from[i - 1] != to[j - 1]);
                    let swapped = i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1];
                    let swapped = if swapped { steps[i - 2][j - 2] + 1 } else { changed };
                    changed.min(swapped).min(steps[i - 1][j] + 1).min(steps[i][j - 1] + 1)
                }
            };
        }
    }
    steps[from.len()][to.len()]
}
