use factum::EventHandler;

#[derive(EventHandler)]
struct Mails;

#[derive(EventHandler)]
#[handler]
struct Letters;

fn main() {}
