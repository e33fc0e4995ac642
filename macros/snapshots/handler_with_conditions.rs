#[handler(
    name = "mails",
    error = MailError,
    on(OrderShipped, priority = 10, when = |event|event.event.express),
    on(OrderCancelled, when = is_paid)
)]
pub struct Mails;

// Derived:

#[automatically_derived]
#[allow(deprecated, clippy::large_futures)]
impl ::factum::EventHandler<()> for Mails {
    const NAME: &'static str = "mails";
    const INTERESTS: &'static [::factum::Interest] = &[
        ::factum::Interest::new::<OrderShipped>(10),
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
                ::factum::__private::call_when::<
                    Self,
                    OrderShipped,
                    (),
                >(
                        self,
                        ::factum::__private::read_when::<
                            OrderShipped,
                        >(event, |event| event.event.express),
                        cx,
                    )
                    .await
            }
            1 => {
                ::factum::__private::call_when::<
                    Self,
                    OrderCancelled,
                    (),
                >(
                        self,
                        ::factum::__private::read_when::<OrderCancelled>(event, is_paid),
                        cx,
                    )
                    .await
            }
            _ => ::core::unreachable!("a handler is asked for its own interests"),
        }
    }
}
