#[process(
    name = "fulfilment",
    on(OrderPlaced),
    on(payment::PaymentReceived),
    issues(StockRequested),
    issues(PaymentRequested),
    deadline(PaymentRequested)
)]
pub struct Fulfilment;

// Derived:

#[automatically_derived]
#[allow(deprecated, long_running_const_eval, clippy::large_futures)]
impl ::factum::ProcessManager for Fulfilment {
    const NAME: &'static str = "fulfilment";
    const REACTIONS: &'static [::factum::Interest] = &::factum::__private::apart([
        ::factum::Interest::new::<OrderPlaced>(0),
        ::factum::Interest::new::<payment::PaymentReceived>(0),
    ]);
    const ISSUES: &'static [::factum::Interest] = &::factum::__private::apart([
        ::factum::Interest::new::<StockRequested>(0),
        ::factum::Interest::new::<PaymentRequested>(0),
    ]);
    const DEADLINES: &'static [::factum::Interest] = &::factum::__private::apart_as_recorded(
        ::factum::__private::apart([::factum::Interest::new::<PaymentRequested>(0)]),
    );
    fn react_to(
        reaction: usize,
        event: &::factum::RecordedEvent,
    ) -> ::core::result::Result<
        ::std::vec::Vec<::factum::Reaction<Self>>,
        ::factum::DecodeError,
    > {
        match reaction {
            0 => ::factum::__private::react::<Self, OrderPlaced>(event),
            1 => ::factum::__private::react::<Self, payment::PaymentReceived>(event),
            _ => ::core::unreachable!("a process is asked for its own reactions"),
        }
    }
    async fn issue_for<__S>(
        issue: usize,
        event: &::factum::RecordedEvent,
        store: &__S,
        encoding: ::factum::Encoding,
        tx: &mut __S::Tx,
    ) -> ::core::result::Result<(), ::factum::ProcessError>
    where
        __S: ::factum::EventStore + ::factum::Transactional + ::core::clone::Clone,
    {
        match issue {
            0 => {
                ::factum::__private::issue::<
                    Self,
                    StockRequested,
                    __S,
                >(event, store, encoding, tx)
                    .await
            }
            1 => {
                ::factum::__private::issue::<
                    Self,
                    PaymentRequested,
                    __S,
                >(event, store, encoding, tx)
                    .await
            }
            _ => ::core::unreachable!("a process is asked for its own issues"),
        }
    }
    fn wait_for(
        deadline: usize,
        event: &::factum::RecordedEvent,
    ) -> ::core::result::Result<
        (::core::option::Option<::factum::__private::Time>, ::factum::Choice<Self>),
        ::factum::DecodeError,
    > {
        match deadline {
            0 => ::factum::__private::wait::<Self, PaymentRequested>(event),
            _ => ::core::unreachable!("a process is asked for its own deadlines"),
        }
    }
}

#[allow(deprecated)]
const _: &[::factum::Interest] = <Fulfilment as ::factum::ProcessManager>::REACTIONS;

#[allow(deprecated)]
const _: &[::factum::Interest] = <Fulfilment as ::factum::ProcessManager>::ISSUES;

#[allow(deprecated)]
const _: &[::factum::Interest] = <Fulfilment as ::factum::ProcessManager>::DEADLINES;
