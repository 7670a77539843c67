//! What is compiled against libtorch beside torch-sys, and link arguments: where the shipped library finds libtorch, and where the tests do.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=LIBTORCH");
    println!("cargo::rerun-if-changed=src/unbound.cpp");
    println!("cargo::rerun-if-changed=src/blocks.cpp");
    println!("cargo::rerun-if-changed=src/convolutions.cpp");
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

    // Set by `.cargo/config.toml`. Where it is not, torch-sys has failed before.
    let Ok(libtorch) = std::env::var("LIBTORCH") else { return };
    let libtorch = Path::new(&libtorch);
    compile_unbound(&libtorch.join("include"));
    // Tests run on the build machine only, with the libtorch they were built against.
    if target_os != "windows" {
        println!("cargo::rustc-link-arg-tests=-Wl,-rpath,{}", libtorch.join("lib").display());
    }
}

/// What of libtorch tch does not bind, against the same headers and with the same flags as torch-sys.
fn compile_unbound(include: &Path) {
    println!("cargo::rerun-if-env-changed=LIBTORCH_CXX11_ABI");
    let abi = std::env::var("LIBTORCH_CXX11_ABI").unwrap_or_else(|_| "1".to_owned());
    let mut build = cc::Build::new();
    // Without it Microsoft's compiler leaves locks locked behind an exception.
    if std::env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|env| env == "msvc") {
        build.flag("/EHsc");
    }
    build
        .cpp(true)
        .std("c++17")
        .warnings(false)
        .includes([include.to_owned(), include.join("torch/csrc/api/include")])
        .define("_GLIBCXX_USE_CXX11_ABI", abi.as_str())
        .files(["src/unbound.cpp", "src/blocks.cpp", "src/convolutions.cpp"])
        .compile("underscore_unbound");
}
