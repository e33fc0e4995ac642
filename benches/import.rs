//! The whole import of the example, end to end: 69,659 purchases as commands, durable, both projections up to date.

use std::fs::File;
use std::io::BufReader;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use factum::{EventStore, Transactional};
use factum_testkit::Postgres;
use order_service::import::{Options, import};
use order_service::read::ReadModel;
use order_service::report::Report;
use order_service::shop::Shop;
use tokio::runtime::Runtime;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/order-service/data/CDNOW_master.txt");

fn imports(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let mut group = criterion.benchmark_group("import 69,659 purchases");
    group.throughput(Throughput::Elements(69_659));
    group.bench_function("memory", |bencher| {
        bencher.iter_custom(|times| (0..times).map(|_| runtime.block_on(one(&Shop::in_memory()))).sum());
    });
    group.bench_function("sqlite", |bencher| {
        bencher.iter_custom(|times| {
            let import_once = |_| {
                let folder = tempfile::tempdir().expect("a folder");
                runtime.block_on(async {
                    let shop = Shop::in_file(&folder.path().join("shop.db")).await.expect("a file");
                    one(&shop).await
                })
            };
            (0..times).map(import_once).sum()
        });
    });
    group.bench_function("postgres", |bencher| {
        let server = Postgres::durable().expect("a server");
        bencher.iter_custom(|times| {
            let import_once = |_| {
                runtime.block_on(async {
                    let database = server.database().await.expect("a database");
                    let shop = Shop::in_database(database.url()).await.expect("a database");
                    one(&shop).await
                })
            };
            (0..times).map(import_once).sum()
        });
    });
    group.finish();
}

async fn one<S, R>(shop: &Shop<S, R>) -> Duration
where
    S: EventStore + Transactional<Tx = R::Tx> + Clone,
    R: ReadModel,
{
    let file = BufReader::new(File::open(FILE).expect("the file is part of the example"));
    let progress = import(shop, file, Options::default(), |_, _| {}).await.expect("it can be imported");
    let report = Report::of(&shop.read).await.expect("it can be read");
    assert_eq!((report.total.orders, report.total.spent.0), (69_659, 250_031_563));
    progress.elapsed
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = imports
}
criterion_main!(benches);
