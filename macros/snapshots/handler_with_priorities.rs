#[handler(
    name = "mails",
    error = MailError,
    on(OrderPlaced, priority = 10),
    on(shipping::OrderShipped, priority = -10),
    on(OrderCancelled)
)]
pub struct Mails;

// Derived:

#[automatically_derived]
#[allow(deprecated, clippy::large_futures)]
impl ::factum::EventHandler<()> for Mails {
    const NAME: &'static str = "mails";
    const INTERESTS: &'static [::factum::Interest] = &[
        ::factum::Interest::new::<OrderPlaced>(10),
        ::factum::Interest::new::<shipping::OrderShipped>(-10),
        ::factum::Interest::new::<OrderCancelled>(0),
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
            1 => {
                ::factum::__private::call::<
                    Self,
                    shipping::OrderShipped,
                    (),
                >(self, event, cx)
                    .await
            }
            2 => {
                ::factum::__private::call::<Self, OrderCancelled, ()>(self, event, cx)
                    .await
            }
            _ => ::core::unreachable!("a handler is asked for its own interests"),
        }
    }
}
