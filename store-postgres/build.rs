//! Settles how the SQL of this crate is checked while it compiles.

fn main() {
    // `sqlx::migrate!` does not notice a new file by itself, nor `sqlx::query_file!` new data.
    println!("cargo::rerun-if-changed=migrations");
    println!("cargo::rerun-if-changed=.sqlx");
    // Against the data in `.sqlx`, also where `FACTUM_DATABASE_URL` is set: it leads to the database that a program or a
    // test will use, which may not be migrated, or not be there yet. `cargo sqlx prepare` sets the variable to `false`.
    println!("cargo::rerun-if-env-changed=SQLX_OFFLINE");
    if std::env::var_os("SQLX_OFFLINE").is_none() {
        println!("cargo::rustc-env=SQLX_OFFLINE=true");
    }
}
