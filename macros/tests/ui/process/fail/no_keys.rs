use factum::ProcessManager;

#[derive(ProcessManager)]
struct Fulfilment;

#[derive(ProcessManager)]
#[process]
struct Returns;

fn main() {}
