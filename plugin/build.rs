//! Link options of the plugin file.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // A host may close the file as soon as the last instance is gone, while a thread that a dependency started for the editor
    // (its window, the clipboard) is still on its last instructions. They must not vanish under it.
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo::rustc-link-arg-cdylib=-Wl,-z,nodelete");
    }
}
