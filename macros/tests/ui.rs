//! The words a mistake gets: what the derives say, and what rustc says about what they generate.
//!
//! The expected words are those of Rust 1.95; another compiler words its own part differently. When they are meant to
//! change, `TRYBUILD=overwrite cargo test -p factum-macros --test ui` writes them, and the diff is what is reviewed. One file is tried
//! with `cargo test -p factum-macros --test ui -- what trybuild=no_serde`.

use trybuild::TestCases;

#[test]
fn what_is_right_compiles_and_runs() {
    TestCases::new().pass("tests/ui/*/pass/*.rs");
}

/// Apart from the others, so that these are checked and never built.
#[test]
fn what_is_wrong_is_said() {
    TestCases::new().compile_fail("tests/ui/*/fail/*.rs");
}
