#[process(name = "welcome", on(CustomerRegistered))]
pub struct Welcome {
    is_sent: bool,
}

// Derived:

#[automatically_derived]
#[allow(deprecated, long_running_const_eval, clippy::large_futures)]
impl ::factum::ProcessManager for Welcome {
    const NAME: &'static str = "welcome";
    const REACTIONS: &'static [::factum::Interest] = &::factum::__private::apart([
        ::factum::Interest::new::<CustomerRegistered>(0),
    ]);
    fn react_to(
        reaction: usize,
        event: &::factum::RecordedEvent,
    ) -> ::core::result::Result<
        ::std::vec::Vec<::factum::Reaction<Self>>,
        ::factum::DecodeError,
    > {
        match reaction {
            0 => ::factum::__private::react::<Self, CustomerRegistered>(event),
            _ => ::core::unreachable!("a process is asked for its own reactions"),
        }
    }
}

#[allow(deprecated)]
const _: &[::factum::Interest] = <Welcome as ::factum::ProcessManager>::REACTIONS;
