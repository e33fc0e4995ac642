use factum::Event;

#[derive(Event)]
enum OrderEvent {}

fn main() {}
