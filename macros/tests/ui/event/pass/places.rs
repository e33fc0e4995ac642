//! In modules, in functions, private, and reached by paths.

mod order {
    mod past {
        use serde::{Deserialize, Serialize};

        #[derive(factum::Event, Serialize, Deserialize)]
        #[event(name = "order.placed", version = 2, upcast(from = 1, with = super::upcasts::same))]
        pub(in crate::order) struct OrderPlaced;
    }

    mod upcasts {
        pub(super) fn same(payload: serde_json::Value) -> Result<serde_json::Value, std::io::Error> {
            Ok(payload)
        }
    }

    #[derive(factum::Event)]
    enum OrderEvent {
        Placed(past::OrderPlaced),
    }

    #[derive(factum::Aggregate, Default)]
    #[aggregate(category = "order", id = std::num::NonZeroU64, event = self::OrderEvent)]
    struct Order;

    impl factum::Apply<past::OrderPlaced> for Order {
        fn apply(&mut self, _: past::OrderPlaced) {}
    }

    pub fn check() {
        factum::Route::route(OrderEvent::Placed(past::OrderPlaced), &mut Order);
    }
}

fn main() {
    order::check();

    use serde::{Deserialize, Serialize};

    #[derive(factum::Event, Serialize, Deserialize)]
    #[event(name = "cart.filled")]
    struct CartFilled;

    #[derive(factum::Event)]
    enum CartEvent {
        Filled(CartFilled),
    }

    #[derive(factum::Aggregate, Default)]
    #[aggregate(category = "cart", id = String, event = CartEvent)]
    struct Cart {
        is_full: bool,
    }

    impl factum::Apply<CartFilled> for Cart {
        fn apply(&mut self, _: CartFilled) {
            self.is_full = true;
        }
    }

    #[derive(factum::EventHandler)]
    #[handler(name = "carts", error = std::convert::Infallible, on(CartEvent))]
    struct Carts;

    impl factum::On<CartEvent> for Carts {
        async fn on(
            &self,
            _: &factum::Envelope<CartEvent>,
            _: &mut factum::Context,
        ) -> Result<(), std::convert::Infallible> {
            Ok(())
        }
    }

    let mut cart = Cart::default();
    factum::Route::route(CartEvent::from(CartFilled), &mut cart);
    assert!(cart.is_full);
    let _ = factum::Dispatcher::new().handler(Carts);
}
