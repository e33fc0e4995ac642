//! What the derives generate, as code to be read: see `snapshots/`.
//!
//! When it is meant to change, `SNAPSHOTS=overwrite cargo test -p factum-macros` writes it, and the diff is what is
//! reviewed.

use std::path::Path;
use std::{env, fs};

use proc_macro2::TokenStream;
use quote::quote;

use crate::ctxt::Ctxt;
use crate::{aggregate, check, event, handler, process, view};

type Derive = fn(TokenStream) -> TokenStream;

#[test]
fn event_plain() {
    snapshot(
        "event_plain",
        event,
        quote! {
            #[event(name = "order.placed")]
            pub struct OrderPlaced {
                pub customer: String,
            }
        },
    );
}

#[test]
fn event_personal() {
    snapshot(
        "event_personal",
        event,
        quote! {
            #[event(name = "customer.registered")]
            #[serde(rename_all = "camelCase")]
            pub struct CustomerRegistered {
                pub customer: u64,
                #[event(personal(subject = customer))]
                pub full_name: String,
                #[event(personal(subject = customer, fallback = 1900))]
                #[serde(rename = "born")]
                pub year: u16,
            }
        },
    );
}

#[test]
fn event_with_history() {
    snapshot(
        "event_with_history",
        event,
        quote! {
            #[event(
                name = "order.shipped",
                version = 5,
                upcast(from = 3, with = shipped_v3),
                upcast(from = 1, with = shipped_v1),
                upcast(from = 2, typed = shipped_v2),
                upcast(from = 4, typed = shipped_v4),
                alias = "order.sent",
                alias("order.posted", "order.dispatched")
            )]
            pub struct OrderShipped {
                pub parcel: String,
            }
        },
    );
}

#[test]
fn event_split() {
    snapshot(
        "event_split",
        event,
        quote! {
            #[event(
                name = "customer.moved",
                split(from = CustomerChanged, with = moved),
                split(from = CustomerImported, with = moved_when_imported)
            )]
            pub struct CustomerMoved {
                pub to: String,
            }
        },
    );
}

#[test]
fn event_enum_with_dropped() {
    snapshot(
        "event_enum_with_dropped",
        event,
        quote! {
            #[event(dropped("customer.viewed", "customer.exported"))]
            pub enum CustomerEvent {
                Moved(CustomerMoved),
                Renamed(CustomerRenamed),
            }
        },
    );
}

#[test]
fn event_generic() {
    snapshot(
        "event_generic",
        event,
        quote! {
            #[event(name = "field.changed")]
            pub struct Changed<T: Clone>
            where
                T: Debug,
            {
                pub to: T,
            }
        },
    );
}

#[test]
fn event_enum() {
    snapshot(
        "event_enum",
        event,
        quote! {
            pub enum OrderEvent {
                Placed(OrderPlaced),
                Shipped(OrderShipped),
            }
        },
    );
}

#[test]
fn event_enum_generic() {
    snapshot(
        "event_enum_generic",
        event,
        quote! {
            pub enum FieldEvent<T> {
                Changed(Changed<T>),
            }
        },
    );
}

#[test]
fn event_with_errors() {
    snapshot(
        "event_with_errors",
        event,
        quote! {
            pub enum OrderEvent {
                Placed(OrderPlaced),
                Shipped { parcel: String },
                Cancelled,
            }
        },
    );
}

#[test]
fn aggregate_plain() {
    snapshot(
        "aggregate_plain",
        aggregate,
        quote! {
            #[aggregate(category = "order", id = OrderId, event = OrderEvent)]
            pub struct Order {
                status: Status,
            }
        },
    );
}

#[test]
fn aggregate_with_snapshots() {
    snapshot(
        "aggregate_with_snapshots",
        aggregate,
        quote! {
            #[aggregate(category = "order", id = OrderId, event = OrderEvent, snapshot(every = 100, version = 1))]
            #[derive(Serialize, Deserialize)]
            pub struct Order {
                status: Status,
            }
        },
    );
}

#[test]
fn aggregate_with_snapshots_when_told() {
    snapshot(
        "aggregate_with_snapshots_when_told",
        aggregate,
        quote! {
            #[aggregate(
                category = "order",
                id = OrderId,
                event = OrderEvent,
                snapshot(when = |order, events| order.is_closed || events >= 500, version = 2)
            )]
            #[derive(Serialize, Deserialize)]
            pub struct Order {
                is_closed: bool,
            }
        },
    );
}

#[test]
fn aggregate_generic() {
    snapshot(
        "aggregate_generic",
        aggregate,
        quote! {
            #[aggregate(category = "field", id = u64, event = FieldEvent<T>)]
            pub struct Field<T> {
                value: Option<T>,
            }
        },
    );
}

#[test]
fn event_with_tags() {
    snapshot(
        "event_with_tags",
        event,
        quote! {
            #[event(name = "goods.moved")]
            pub struct Moved {
                #[event(tag = "place")]
                from: Place,
                #[event(tags = "place")]
                to: Option<Place>,
                #[event(tag)]
                r#type: Kind,
                #[event(tags)]
                goods: Vec<u32>,
                count: u32,
            }
        },
    );
}

#[test]
fn view_plain() {
    snapshot(
        "view_plain",
        view,
        quote! {
            #[view(event = CourseEvent)]
            pub struct FreeSeats(u32);
        },
    );
}

#[test]
fn view_with_errors() {
    snapshot(
        "view_with_errors",
        view,
        quote! {
            #[view(events = CourseEvent)]
            pub struct FreeSeats(u32);
        },
    );
}

#[test]
fn aggregate_with_errors() {
    snapshot(
        "aggregate_with_errors",
        aggregate,
        quote! {
            #[aggregate(category = "shop/order", event = OrderEvent)]
            pub struct Order;
        },
    );
}

#[test]
fn handler_plain() {
    snapshot(
        "handler_plain",
        handler,
        quote! {
            #[handler(name = "mails", error = MailError, on(OrderPlaced))]
            pub struct Mails {
                sender: Sender,
            }
        },
    );
}

#[test]
fn handler_with_priorities() {
    snapshot(
        "handler_with_priorities",
        handler,
        quote! {
            #[handler(
                name = "mails",
                error = MailError,
                on(OrderPlaced, priority = 10),
                on(shipping::OrderShipped, priority = -10),
                on(OrderCancelled)
            )]
            pub struct Mails;
        },
    );
}

#[test]
fn handler_with_conditions() {
    snapshot(
        "handler_with_conditions",
        handler,
        quote! {
            #[handler(
                name = "mails",
                error = MailError,
                on(OrderShipped, priority = 10, when = |event| event.event.express),
                on(OrderCancelled, when = is_paid)
            )]
            pub struct Mails;
        },
    );
}

#[test]
fn handler_in_a_transaction() {
    snapshot(
        "handler_in_a_transaction",
        handler,
        quote! {
            #[handler(name = "order-summary", error = sqlx::Error, cx = PgTransaction, on(OrderPlaced), flush)]
            pub struct OrderSummary;
        },
    );
}

#[test]
fn handler_generic() {
    snapshot(
        "handler_generic",
        handler,
        quote! {
            #[handler(name = "copy", error = S::Error, cx = Transaction<Tx>, on(Changed<u64>))]
            pub struct Copy<S: Sink, Tx>
            where
                Tx: Send + Sync + 'static,
            {
                sink: S,
                works_in: PhantomData<Tx>,
            }
        },
    );
}

#[test]
fn handler_with_errors() {
    snapshot(
        "handler_with_errors",
        handler,
        quote! {
            #[handler(error = MailError, on(OrderPlaced), on(OrderPlaced))]
            pub struct Mails;
        },
    );
}

#[test]
fn process_plain() {
    snapshot(
        "process_plain",
        process,
        quote! {
            #[process(name = "welcome", on(CustomerRegistered))]
            pub struct Welcome {
                is_sent: bool,
            }
        },
    );
}

#[test]
fn process_with_all() {
    snapshot(
        "process_with_all",
        process,
        quote! {
            #[process(
                name = "fulfilment",
                on(OrderPlaced),
                on(payment::PaymentReceived),
                issues(StockRequested),
                issues(PaymentRequested),
                deadline(PaymentRequested)
            )]
            pub struct Fulfilment;
        },
    );
}

#[test]
fn process_generic() {
    snapshot(
        "process_generic",
        process,
        quote! {
            #[process(name = "copy", on(Changed<T>), issues(Requested), deadline(Requested))]
            pub struct Copy<T: Clone> {
                value: Option<T>,
            }
        },
    );
}

#[test]
fn process_with_errors() {
    snapshot(
        "process_with_errors",
        process,
        quote! {
            #[aggregate(category = "fulfilment", id = OrderId, event = FulfilmentEvent)]
            #[process(name = "shop/fulfilment", issues(StockRequested), issues(StockRequested))]
            pub struct Fulfilment;
        },
    );
}

/// Compares the input and what `derive` adds to it with `snapshots/{name}.rs`.
fn snapshot(name: &str, derive: Derive, input: TokenStream) {
    let derived = derive(input.clone());
    let actual = format!("{}\n// Derived:\n\n{}", pretty(input), pretty(derived));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("snapshots").join(name).with_extension("rs");
    if env::var("SNAPSHOTS").is_ok_and(|value| value == "overwrite") {
        fs::write(&path, actual).unwrap();
        return;
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    let line =
        actual.lines().zip(expected.lines()).take_while(|(actual, expected)| actual == expected).count();
    assert!(
        actual == expected,
        "{} differs from line {} on; if it should, run with SNAPSHOTS=overwrite. This is generated:\n{actual}",
        path.display(),
        line + 1
    );
}

/// The items of `tokens`, with an empty line between them.
fn pretty(tokens: TokenStream) -> String {
    let file: syn::File = syn::parse2(tokens).expect("the derives generate items");
    let items = file.items.iter().map(|item| prettyplease::unparse(&syn::parse_quote!(#item)));
    items.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_renamed_crate_is_the_only_one() {
    let inputs: [(Derive, TokenStream); 9] = [
        (
            event,
            quote!(
                #[event(name = "a", version = 2, upcast(from = 1, with = f), crate = other)]
                struct A<T>(T);
            ),
        ),
        (
            event,
            quote!(
                #[event(crate = other)]
                enum E {
                    A(A),
                    B(B),
                }
            ),
        ),
        (
            event,
            quote!(
                #[event(crate = other)]
                enum E {
                    A,
                    B(B),
                }
            ),
        ),
        (
            aggregate,
            quote!(
                #[aggregate(category = "a", id = u8, event = E, crate = other)]
                struct A;
            ),
        ),
        (
            aggregate,
            quote!(
                #[aggregate(category = "", id = u8, event = E, crate = other)]
                struct A;
            ),
        ),
        (
            handler,
            quote!(
                #[handler(name = "a", error = E, on(A), on(B, when = f), flush, crate = other)]
                struct H;
            ),
        ),
        (
            handler,
            quote!(
                #[handler(name = "", error = E, on(A), flush, crate = other)]
                struct H;
            ),
        ),
        (
            process,
            quote!(
                #[process(name = "a", on(A), issues(B), deadline(B), crate = other)]
                struct P<T>(T);
            ),
        ),
        (
            process,
            quote!(
                #[process(name = "", on(A), crate = other)]
                #[aggregate(category = "a", id = u8, event = E, crate = other)]
                struct P;
            ),
        ),
    ];
    for (derive, input) in inputs {
        let derived = derive(input).to_string();
        assert!(derived.contains("other ::") && !derived.contains("factum"), "{derived}");
    }
}

#[test]
fn names_are_as_long_as_in_the_core() {
    assert_eq!(check::NAME_BYTES_MAX, factum::NAME_BYTES_MAX);
}

#[test]
#[should_panic(expected = "errors were collected and not checked")]
fn errors_cannot_be_forgotten() {
    drop(Ctxt::new());
}
