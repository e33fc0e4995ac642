#[handler(name = "copy", error = S::Error, cx = Transaction<Tx>, on(Changed<u64>))]
pub struct Copy<S: Sink, Tx>
where
    Tx: Send + Sync + 'static,
{
    sink: S,
    works_in: PhantomData<Tx>,
}

// Derived:

#[automatically_derived]
#[allow(deprecated, clippy::large_futures)]
impl<S: Sink, Tx> ::factum::EventHandler<Transaction<Tx>> for Copy<S, Tx>
where
    Tx: Send + Sync + 'static,
{
    const NAME: &'static str = "copy";
    const INTERESTS: &'static [::factum::Interest] = &[
        ::factum::Interest::new::<Changed<u64>>(0),
    ];
    type Error = S::Error;
    async fn handle(
        &self,
        interest: usize,
        event: &::factum::RecordedEvent,
        cx: &mut ::factum::Context<Transaction<Tx>>,
    ) -> ::core::result::Result<(), ::factum::HandleError<S::Error>> {
        match interest {
            0 => {
                ::factum::__private::call::<
                    Self,
                    Changed<u64>,
                    Transaction<Tx>,
                >(self, event, cx)
                    .await
            }
            _ => ::core::unreachable!("a handler is asked for its own interests"),
        }
    }
}
