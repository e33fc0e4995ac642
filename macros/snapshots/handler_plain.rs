#[handler(name = "mails", error = MailError, on(OrderPlaced))]
pub struct Mails {
    sender: Sender,
}

// Derived:

#[automatically_derived]
#[allow(deprecated, clippy::large_futures)]
impl ::factum::EventHandler<()> for Mails {
    const NAME: &'static str = "mails";
    const INTERESTS: &'static [::factum::Interest] = &[
        ::factum::Interest::new::<OrderPlaced>(0),
    ];
    type Error = MailError;
    async fn handle(
        &self,
        interest: usize,
        event: &::factum::RecordedEvent,
        cx: &mut ::factum::Context<()>,
    ) -> ::core::result::Result<(), ::factum::HandleError<MailError>> {
        match interest {
            0 => {
                ::factum::__private::call::<Self, OrderPlaced, ()>(self, event, cx).await
            }
            _ => ::core::unreachable!("a handler is asked for its own interests"),
        }
    }
}
