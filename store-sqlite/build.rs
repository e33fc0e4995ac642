//! Embeds the migrations anew when one is added: cargo cannot see that `sqlx::migrate!` read a folder.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
