//! Rules that need more than the form of one attribute: one rule, one function, one paragraph.

use syn::{Ident, LitStr, Type, parse_quote};

use crate::ast::{
    AggregateInput, EventInput, EventKind, EventVariant, HandlerInput, ProcessInput, TagField, Target,
    ViewInput,
};
use crate::attr::ProcessAttrs;
use crate::ctxt::Ctxt;

/// The most bytes a name may have; the core crate has the same number.
pub(crate) const NAME_BYTES_MAX: usize = 255;

pub(crate) fn event(cx: &Ctxt, input: &EventInput) {
    owns_what_it_has(cx, &input.target);
    match &input.kind {
        EventKind::Struct { serde_tag, tags, .. } => {
            has_a_name(cx, input);
            names_are_names(cx, input);
            aliases_are_old_names(cx, input);
            upcasts_lead_to_today(cx, input);
            splits_are_of_different_events(cx, input);
            struct_drops_nothing(cx, input);
            payload_has_no_name(cx, serde_tag.as_ref());
            tags_have_keys(cx, tags);
        }
        EventKind::Enum(variants) => {
            enum_has_no_name(cx, input);
            dropped_names_are_names(cx, input);
            variants_hold_events(cx, input, variants);
            variants_hold_different_events(cx, variants);
        }
    }
}

pub(crate) fn aggregate(cx: &Ctxt, input: &AggregateInput) {
    owns_what_it_has(cx, &input.target);
    aggregate_is_complete(cx, input);
    category_is_a_name(cx, input);
}

pub(crate) fn view(cx: &Ctxt, input: &ViewInput) {
    owns_what_it_has(cx, &input.target);
    view_is_complete(cx, input);
}

pub(crate) fn handler(cx: &Ctxt, input: &HandlerInput) {
    owns_what_it_has(cx, &input.target);
    handler_is_complete(cx, input);
    handler_has_a_name(cx, input);
    events_are_listed_once(cx, input);
}

pub(crate) fn process(cx: &Ctxt, input: &ProcessInput) {
    owns_what_it_has(cx, &input.target);
    process_is_complete(cx, input);
    process_has_a_name(cx, input);
    lists_have_no_event_twice(cx, input);
}

/// Events, aggregates, handlers and process managers are kept, sent and remembered, so none of them
/// borrows.
fn owns_what_it_has(cx: &Ctxt, target: &Target) {
    for lifetime in target.generics.lifetimes() {
        let name = &lifetime.lifetime;
        let message = format!(
            "`{}` has to own what it has: remove `{name}`, and what is borrowed for it",
            target.ident
        );
        cx.error_on(name, message);
    }
}

/// An event struct is kept under a name from the attribute, never under its Rust name: renaming a type does not
/// change history.
fn has_a_name(cx: &Ctxt, input: &EventInput) {
    let meaning = "the name under which the event is stored, which never changes";
    is_given(cx, &input.target, &input.attrs.given, "name", "#[event(name = \"..\")]", meaning);
}

/// Names are not empty, have at most 255 bytes, and no control characters.
fn names_are_names(cx: &Ctxt, input: &EventInput) {
    if let Some(name) = input.attrs.name.get() {
        is_a_name(cx, "an event name", name);
    }
    for alias in &input.attrs.aliases {
        is_a_name(cx, "an alias", &alias.value);
    }
}

/// An alias is a name that is no longer written, so it differs from today's name and from the other aliases.
fn aliases_are_old_names(cx: &Ctxt, input: &EventInput) {
    let today = input.attrs.name.get().map(LitStr::value);
    let mut seen = Vec::new();
    for alias in &input.attrs.aliases {
        let text = alias.value.value();
        if today.as_ref() == Some(&text) {
            let message = "this is the name of the event: an alias is for a name that is no longer written";
            cx.error_on(&alias.value, message);
        } else if seen.contains(&text) {
            cx.error_on(&alias.value, format!("alias `{text}` is given twice"));
        }
        seen.push(text);
    }
}

/// A payload of every version since 1 must stay readable, so there is one step from each version before today's.
fn upcasts_lead_to_today(cx: &Ctxt, input: &EventInput) {
    let attrs = &input.attrs;
    let times_given = |key| attrs.given.iter().filter(|given| **given == key).count();
    let today = match attrs.version.get() {
        Some(version) => version.number,
        None if times_given("version") == 0 => 1,
        // It was given and could not be read.
        None => return,
    };
    let mut steps = Vec::new();
    for from in attrs.upcasts.iter().map(|upcast| upcast.value.from) {
        if from.number >= today {
            let message =
                format!("the event is at version {today}: an upcast starts from a version before that");
            cx.error_at(from.span, message);
        } else if steps.contains(&from.number) {
            cx.error_at(from.span, format!("there is an upcast from version {} already", from.number));
        } else {
            steps.push(from.number);
        }
    }
    if times_given("upcast") > attrs.upcasts.len() {
        // The step that is missing may be the one that could not be read.
        return;
    }
    // A version in the billions is a slip of the finger; one message says it as well as billions.
    if let Some(missing) = (1..today).find(|from| !steps.contains(from)) {
        let message = format!(
            "version {today} needs `upcast(from = {missing}, with = ..)`, or `typed = ..`: stored payloads of version \
             {missing} must stay readable"
        );
        cx.error_at(
            attrs.version.get().map_or_else(|| input.target.ident.span(), |version| version.span),
            message,
        );
    }
}

/// What an old event says to a part of it is said by one function.
fn splits_are_of_different_events(cx: &Ctxt, input: &EventInput) {
    let splits = &input.attrs.splits;
    for (index, split) in splits.iter().enumerate() {
        if splits[..index].iter().any(|first| first.value.from == split.value.from) {
            let message = "this is split already: one function says all that there is of this event in it";
            cx.error_on(&split.value.from, message);
        }
    }
}

/// Nothing is passed over by one event: an enum knows which names mean nothing to it.
fn struct_drops_nothing(cx: &Ctxt, input: &EventInput) {
    if let Some(dropped) = input.attrs.dropped.first() {
        cx.error_at(
            dropped.key,
            "this belongs on the event enum: what is dropped is passed over where all of its events are read",
        );
    }
}

/// The name of an event is a column of the store. A tag in the payload would say it twice, and decode slower.
fn payload_has_no_name(cx: &Ctxt, serde_tag: Option<&Ident>) {
    if let Some(tag) = serde_tag {
        cx.error_on(tag, "the store keeps the event's name beside its payload: remove `tag`");
    }
}

/// An enum is never stored itself: each of its variants is, under the name of its struct.
fn enum_has_no_name(cx: &Ctxt, input: &EventInput) {
    let attrs = &input.attrs;
    let aliases = attrs.aliases.iter().map(|alias| alias.key);
    let upcasts = attrs.upcasts.iter().map(|upcast| upcast.key);
    let splits = attrs.splits.iter().map(|split| split.key);
    for key in
        attrs.name.key().into_iter().chain(attrs.version.key()).chain(aliases).chain(upcasts).chain(splits)
    {
        cx.error_at(
            key,
            "this belongs on the event structs: an event enum is stored under the names of its variants",
        );
    }
}

/// What is dropped has a name, and is dropped once.
fn dropped_names_are_names(cx: &Ctxt, input: &EventInput) {
    let mut seen = Vec::new();
    for dropped in &input.attrs.dropped {
        is_a_name(cx, "a dropped name", &dropped.value);
        let text = dropped.value.value();
        if seen.contains(&text) {
            cx.error_on(&dropped.value, format!("`{text}` is dropped already"));
        }
        seen.push(text);
    }
}

/// A variant holds an event that can be named: `From` of any type whatever would clash with `From` of the enum.
fn variants_hold_events(cx: &Ctxt, input: &EventInput, variants: &[EventVariant]) {
    let params = input.target.generics.type_params().map(|param| &param.ident);
    let params: Vec<Type> = params.map(|param| parse_quote!(#param)).collect();
    for variant in variants.iter().filter(|variant| params.contains(&variant.event)) {
        cx.error_on(&variant.event, "a variant of an event enum holds an event struct, not a type parameter");
    }
}

/// An event is told by its name, so two variants cannot hold the same struct.
fn variants_hold_different_events(cx: &Ctxt, variants: &[EventVariant]) {
    for (index, variant) in variants.iter().enumerate() {
        if let Some(first) = variants[..index].iter().find(|first| first.event == variant.event) {
            cx.error_on(&first.event, format!("this is the event of `{}` as well", variant.ident));
            cx.error_on(&variant.event, format!("this is the event of `{}` already", first.ident));
        }
    }
}

/// A tag says what kind of thing its value is.
fn tags_have_keys(cx: &Ctxt, tags: &[TagField]) {
    for (index, tag) in tags.iter().enumerate() {
        let Some(key) = tag.key() else {
            let message = "a field without a name says what it is: `#[event(tag = \"course\")]`";
            cx.error_on(Ident::new("tag", tag.attr.place), message);
            continue;
        };
        if let Some(literal) = &tag.attr.key {
            is_a_name(cx, "a tag's key", literal);
        }
        if tags[..index].iter().any(|first| first.member == tag.member && first.key().as_ref() == Some(&key))
        {
            cx.error_on(Ident::new("tag", tag.attr.place), format!("the field is the tag `{key}` already"));
        }
    }
}

/// An aggregate says of which category, id and event it is.
fn aggregate_is_complete(cx: &Ctxt, input: &AggregateInput) {
    let is_given = |key, form, meaning| is_given(cx, &input.target, &input.attrs.given, key, form, meaning);
    is_given("category", "#[aggregate(category = \"..\")]", "the kind of thing it is, which never changes");
    is_given("id", "#[aggregate(id = ..)]", "the type that says which one of its kind it is");
    is_given("event", "#[aggregate(event = ..)]", "the enum of everything that can happen to it");
}

/// A view says which events it is folded from.
fn view_is_complete(cx: &Ctxt, input: &ViewInput) {
    let meaning = "the events it is folded from";
    is_given(cx, &input.target, &input.attrs.given, "event", "#[view(event = ..)]", meaning);
}

/// A category is a name, and has no slash, since a slash ends it in `order/42`.
fn category_is_a_name(cx: &Ctxt, input: &AggregateInput) {
    if let Some(category) = input.attrs.category.get() {
        is_a_name(cx, "a category", category);
        if category.value().contains('/') {
            cx.error_on(category, "a category has no slash: a slash ends it, as in `order/42`");
        }
    }
}

/// A handler has a name, an error, and something to handle.
fn handler_is_complete(cx: &Ctxt, input: &HandlerInput) {
    let is_given = |key, form, meaning| is_given(cx, &input.target, &input.attrs.given, key, form, meaning);
    is_given("name", "#[handler(name = \"..\")]", "what it is called in errors and logs");
    is_given("error", "#[handler(error = ..)]", "the type of its errors");
    is_given("on", "#[handler(on(..))]", "the events it handles, each with `priority = ..` if it matters");
}

/// A handler is found by its name in errors and logs.
fn handler_has_a_name(cx: &Ctxt, input: &HandlerInput) {
    if let Some(name) = input.attrs.name.get() {
        is_a_name(cx, "a handler's name", name);
    }
}

/// An event has one turn in a handler, so it is listed once.
fn events_are_listed_once(cx: &Ctxt, input: &HandlerInput) {
    let listed = &input.attrs.on;
    for (index, on) in listed.iter().enumerate() {
        if listed[..index].iter().any(|first| first.event == on.event) {
            cx.error_on(&on.event, "this event is listed already: it has one turn in a handler");
        }
    }
}

/// A process manager has a name, and something that sets it going.
fn process_is_complete(cx: &Ctxt, input: &ProcessInput) {
    let is_given = |key, form, meaning| is_given(cx, &input.target, &input.attrs.given, key, form, meaning);
    is_given(
        "name",
        "#[process(name = \"..\")]",
        "the key of its checkpoints and timers, which never changes",
    );
    is_given("on", "#[process(on(..))]", "the events of others it reacts to");
}

/// Its name, and what comes after a slash, are the names of its subscriptions.
fn process_has_a_name(cx: &Ctxt, input: &ProcessInput) {
    if let Some(name) = input.attrs.name.get() {
        is_a_short_name(cx, "a process's name", name, NAME_BYTES_MAX - "/deadlines".len());
        if name.value().contains('/') {
            cx.error_on(name, "a process's name has no slash: a slash ends it, as in `fulfilment/commands`");
        }
    }
}

/// An event has one reaction, one command and one deadline.
fn lists_have_no_event_twice(cx: &Ctxt, input: &ProcessInput) {
    let ProcessAttrs { on, issues, deadlines, .. } = &input.attrs;
    let lists = [(on, "reaction"), (issues, "command"), (deadlines, "deadline")];
    for (listed, what) in lists {
        for (index, event) in listed.iter().enumerate() {
            if listed[..index].contains(event) {
                cx.error_on(event, format!("this event is listed already: it has one {what} in a process"));
            }
        }
    }
}

fn is_given(cx: &Ctxt, target: &Target, given: &[&str], key: &str, form: &str, meaning: &str) {
    if !given.contains(&key) {
        cx.error_on(&target.ident, format!("missing `{form}`: {meaning}"));
    }
}

fn is_a_name(cx: &Ctxt, what: &str, literal: &LitStr) {
    is_a_short_name(cx, what, literal, NAME_BYTES_MAX);
}

fn is_a_short_name(cx: &Ctxt, what: &str, literal: &LitStr, bytes_max: usize) {
    let name = literal.value();
    if name.is_empty() {
        cx.error_on(literal, format!("{what} has at least one character"));
    } else if name.len() > bytes_max {
        cx.error_on(literal, format!("{what} has at most {bytes_max} bytes, this one has {}", name.len()));
    } else if name.contains(char::is_control) {
        cx.error_on(literal, format!("{what} has no control characters"));
    }
}
