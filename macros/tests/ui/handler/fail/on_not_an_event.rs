use factum::EventHandler;

struct OrderPlaced;

#[derive(EventHandler)]
#[handler(name = "mails", error = std::io::Error, on(OrderPlaced))]
struct Mails;

fn main() {}
