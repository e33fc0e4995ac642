#[handler(error = MailError, on(OrderPlaced), on(OrderPlaced))]
pub struct Mails;

// Derived:

::core::compile_error! {
    "missing `#[handler(name = \"..\")]`: what it is called in errors and logs"
}

::core::compile_error! {
    "this event is listed already: it has one turn in a handler"
}

impl ::factum::EventHandler<()> for Mails {
    const NAME: &'static str = "error";
    const INTERESTS: &'static [::factum::Interest] = &[];
    type Error = MailError;
    async fn handle(
        &self,
        _: usize,
        _: &::factum::RecordedEvent,
        _: &mut ::factum::Context<()>,
    ) -> ::core::result::Result<(), ::factum::HandleError<MailError>> {
        ::core::unreachable!()
    }
}
