#[process(name = "copy", on(Changed<T>), issues(Requested), deadline(Requested))]
pub struct Copy<T: Clone> {
    value: Option<T>,
}

// Derived:

#[automatically_derived]
#[allow(deprecated, long_running_const_eval, clippy::large_futures)]
impl<T: Clone> ::factum::ProcessManager for Copy<T>
where
    Changed<T>: ::factum::Event,
    Requested: ::factum::Event,
    Self: ::factum::__private::Records<Requested>,
    Self: ::factum::React<Changed<T>>,
    Self: ::factum::Issue<Requested>,
    Self: ::factum::Deadline<Requested>,
{
    const NAME: &'static str = "copy";
    const REACTIONS: &'static [::factum::Interest] = &::factum::__private::apart([
        ::factum::Interest::new::<Changed<T>>(0),
    ]);
    const ISSUES: &'static [::factum::Interest] = &::factum::__private::apart([
        ::factum::Interest::new::<Requested>(0),
    ]);
    const DEADLINES: &'static [::factum::Interest] = &::factum::__private::apart_as_recorded(
        ::factum::__private::apart([::factum::Interest::new::<Requested>(0)]),
    );
    fn react_to(
        reaction: usize,
        event: &::factum::RecordedEvent,
    ) -> ::core::result::Result<
        ::std::vec::Vec<::factum::Reaction<Self>>,
        ::factum::DecodeError,
    > {
        match reaction {
            0 => ::factum::__private::react::<Self, Changed<T>>(event),
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
                    Requested,
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
            0 => ::factum::__private::wait::<Self, Requested>(event),
            _ => ::core::unreachable!("a process is asked for its own deadlines"),
        }
    }
}
