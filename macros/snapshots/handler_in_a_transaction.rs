#[handler(
    name = "order-summary",
    error = sqlx::Error,
    cx = PgTransaction,
    on(OrderPlaced),
    flush
)]
pub struct OrderSummary;

// Derived:

#[automatically_derived]
#[allow(deprecated, clippy::large_futures)]
impl ::factum::EventHandler<PgTransaction> for OrderSummary {
    const NAME: &'static str = "order-summary";
    const INTERESTS: &'static [::factum::Interest] = &[
        ::factum::Interest::new::<OrderPlaced>(0),
    ];
    type Error = sqlx::Error;
    async fn handle(
        &self,
        interest: usize,
        event: &::factum::RecordedEvent,
        cx: &mut ::factum::Context<PgTransaction>,
    ) -> ::core::result::Result<(), ::factum::HandleError<sqlx::Error>> {
        match interest {
            0 => {
                ::factum::__private::call::<
                    Self,
                    OrderPlaced,
                    PgTransaction,
                >(self, event, cx)
                    .await
            }
            _ => ::core::unreachable!("a handler is asked for its own interests"),
        }
    }
    async fn flush(
        &self,
        cx: &mut ::factum::Context<PgTransaction>,
    ) -> ::core::result::Result<(), sqlx::Error> {
        <Self as ::factum::Flush<PgTransaction>>::flush(self, cx).await
    }
}
