//! Lines that are no purchases, and lines that were changed.

use std::sync::Mutex;

use order_service::cdnow::Field;
use order_service::import::{ImportError, Options, import};

use crate::{first_lines, input, shops};

/// Ten purchases, the fifth of which is none.
fn one_bad_line() -> String {
    first_lines(10).lines().enumerate().fold(String::new(), |text, (index, line)| {
        let line = if index == 5 { " 00003 19970199  2   20.76" } else { line };
        text + line + "\r\n"
    })
}

#[tokio::test]
async fn an_import_stops_at_a_bad_line_and_says_which() {
    let shop = shops::memory();
    let error =
        import(&shop, input(one_bad_line()), Options::default(), |_, _| {}).await.expect_err("line 6 is bad");
    let ImportError::Line(bad) = &error else { panic!("{error:?}") };
    assert_eq!((bad.line, bad.field), (6, Field::Date));
    assert_eq!(error.to_string(), "line 6: date: \"19970199\" is not a day written as YYYYMMDD");
    assert!(
        shop.orders
            .find(&order_service::domain::OrderId("cdnow-6".into()))
            .await
            .expect("readable")
            .is_none()
    );
}

#[tokio::test]
async fn an_import_can_go_on_after_a_bad_line() {
    let shop = shops::memory();
    let skipped = Mutex::new(Vec::new());
    let options = Options { skip_bad: true };
    let progress = import(&shop, input(one_bad_line()), options, |_, error| {
        skipped.lock().expect("no panic").extend(error.map(ToString::to_string));
    })
    .await
    .expect("bad lines are skipped");
    assert_eq!((progress.purchases, progress.bad), (9, 1));
    assert_eq!(skipped.into_inner().expect("no panic").len(), 1);
    // Mended, the line is imported, and only it.
    let progress = import(&shop, input(first_lines(10)), Options::default(), |_, _| {})
        .await
        .expect("all lines are fine");
    assert_eq!((progress.purchases, progress.new), (10, 1));
}

#[tokio::test]
async fn a_line_that_was_changed_since_is_not_taken_for_the_one_it_replaced() {
    let shop = shops::memory();
    import(&shop, input(first_lines(10)), Options::default(), |_, _| {}).await.expect("all lines are fine");
    let changed = first_lines(10).replacen("11.77", "11.78", 1);
    let error =
        import(&shop, input(changed), Options::default(), |_, _| {}).await.expect_err("line 2 was changed");
    assert!(matches!(error, ImportError::Refused { line: 2, .. }), "{error:?}");
    let report = order_service::report::Report::of(&shop.read).await.expect("readable");
    assert_eq!(report.total.orders, 10);
}

#[tokio::test]
async fn two_equal_lines_are_two_purchases() {
    let shop = shops::memory();
    let text = " 00001 19970101  1   11.77\r\n".repeat(3);
    let progress =
        import(&shop, input(text), Options::default(), |_, _| {}).await.expect("all lines are fine");
    assert_eq!((progress.purchases, progress.new), (3, 3));
    let report = order_service::report::Report::of(&shop.read).await.expect("readable");
    assert_eq!((report.customers, report.total.orders, report.total.spent.0), (1, 3, 3531));
}
