use factum::Event;

#[derive(Event)]
enum Any<E: Event> {
    One(E),
}

fn main() {}
