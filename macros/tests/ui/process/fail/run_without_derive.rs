use factum::{OnFailure, Process, memory::MemoryStore};

struct Fulfilment;

fn main() {
    let _ = Process::<Fulfilment, _>::new(MemoryStore::new(), OnFailure::stop());
}
