//! Link arguments: where the shipped library finds libtorch, and where the tests do.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=LIBTORCH");
    let target_os = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();

    match target_os.as_str() {
        "linux" => {
            // libtorch lies beside the library or in a folder beside it, never where the build machine had it. Its static
            // parts stay private: a host may hold another copy of any of them.
            println!("cargo::rustc-link-arg-cdylib=-Wl,-rpath,$ORIGIN:$ORIGIN/libtorch");
            println!("cargo::rustc-link-arg-cdylib=-Wl,--exclude-libs,ALL");
        }
        "macos" => {
            println!("cargo::rustc-link-arg-cdylib=-Wl,-rpath,@loader_path");
            println!("cargo::rustc-link-arg-cdylib=-Wl,-rpath,@loader_path/libtorch");
        }
        _ => {}
    }

    // Tests run on the build machine only, with the libtorch they were built against.
    if target_os != "windows"
        && let Ok(libtorch) = std::env::var("LIBTORCH")
    {
        let lib = Path::new(&libtorch).join("lib");
        println!("cargo::rustc-link-arg-tests=-Wl,-rpath,{}", lib.display());
    }
}
