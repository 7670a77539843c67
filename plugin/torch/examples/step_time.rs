//! What a model costs: time to open the library, to load the model and to run it, and the memory that takes.
//!
//! ```text
//! cargo run --release -p underscore-torch --example step_time [-- MODEL.pt [NUM_CALLS]]
//! ```
//!
//! The built library is opened as the engine opens it, from a folder with libtorch beside it. Needs libtorch as `cargo xtask setup`
//! leaves it. Memory is read from `/proc`, so its columns are empty except on Linux.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::ptr;
use std::time::Instant;

use underscore_backend::{BackendTable, Device, ENTRY_SYMBOL, EntryFn, Message, ModelHandle, SessionHandle, Status};

/// Resident memory of this process, MB: all of it, and the part that no file backs.
fn resident_mb() -> (f64, f64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or(f64::NAN) / 1000.0
    };
    (field("VmRSS:"), field("RssAnon:"))
}

fn print_memory(when: &str) {
    let (resident, anonymous) = resident_mb();
    println!("{when:<34}{resident:>8.1} MB resident, {anonymous:.1} MB of it anonymous");
}

/// Time this thread has had a core, ms; unlike the clock it does not count what other programs took.
fn thread_cpu_ms() -> f64 {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    schedstat.split_whitespace().next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(f64::NAN) / 1e6
}

/// Pages this thread has asked the system for, not counting those read from disk.
fn thread_page_faults() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap_or_default();
    // The second field, the name, may hold spaces; faults are the eighth after it.
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    after_name.split_whitespace().nth(7).and_then(|count| count.parse().ok()).unwrap_or(f64::NAN)
}

fn check(status: Status, message: &Message) -> Result<(), Box<dyn Error>> {
    if status == Status::OK { Ok(()) } else { Err(message.text().into()) }
}

/// A folder with the built library and libtorch in it, laid out as when installed.
fn installed_layout() -> Result<(tempfile::TempDir, PathBuf), Box<dyn Error>> {
    let name = format!("{}underscore_torch{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let own = std::env::current_exe()?;
    let built = own.ancestors().nth(2).ok_or("no build folder")?.join("deps").join(&name);
    let libtorch = Path::new(env!("LIBTORCH")).join("lib").canonicalize()?;
    let folder = tempfile::tempdir()?;
    let library = folder.path().join(&name);
    std::fs::copy(&built, &library).map_err(|error| format!("{}: {error}", built.display()))?;
    #[cfg(unix)]
    std::os::unix::fs::symlink(libtorch, folder.path().join("libtorch"))?;
    #[cfg(not(unix))]
    for entry in std::fs::read_dir(libtorch)? {
        let entry = entry?;
        std::fs::copy(entry.path(), folder.path().join(entry.file_name()))?;
    }
    Ok((folder, library))
}

fn load(table: &BackendTable, path: &Path) -> Result<ModelHandle, Box<dyn Error>> {
    let path = path.to_str().ok_or("the path is not UTF-8")?;
    let (mut model, mut message) = (ptr::null_mut(), Message::default());
    // SAFETY: all pointers are to live values of this frame.
    let status =
        unsafe { (table.load_model)(path.as_ptr(), path.len(), Device::CPU, &raw mut model, &raw mut message) };
    check(status, &message)?;
    Ok(model)
}

fn open(table: &BackendTable, model: ModelHandle, num_channels: u32) -> Result<SessionHandle, Box<dyn Error>> {
    let (mut session, mut message) = (ptr::null_mut(), Message::default());
    // SAFETY: the model is live, the pointers are to values of this frame.
    let status = unsafe { (table.open_session)(model, num_channels, &raw mut session, &raw mut message) };
    check(status, &message)?;
    Ok(session)
}

/// Runs `num_calls` calls and returns the milliseconds each took.
fn run(
    table: &BackendTable,
    session: SessionHandle,
    spectrum: &[f32],
    masks: &mut [f32],
    num_calls: usize,
) -> Result<Vec<f64>, Box<dyn Error>> {
    let mut message = Message::default();
    (0..num_calls)
        .map(|_| {
            let start = Instant::now();
            // SAFETY: the session is live and used by this thread only; pointers and lengths are those of the slices.
            let status = unsafe {
                (table.run)(
                    session,
                    spectrum.as_ptr(),
                    spectrum.len(),
                    masks.as_mut_ptr(),
                    masks.len(),
                    &raw mut message,
                )
            };
            check(status, &message).map(|()| start.elapsed().as_secs_f64() * 1e3)
        })
        .collect()
}

fn main() -> Result<(), Box<dyn Error>> {
    // On a thread of its own, as the engine's worker is: allocators treat the main thread differently.
    let worker = std::thread::spawn(|| measure().map_err(|error| error.to_string()));
    Ok(worker.join().map_err(|_| "the measuring thread panicked")??)
}

/// The shipped model that separates: the one that is not the identity.
fn separator() -> Result<PathBuf, Box<dyn Error>> {
    let weights = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/weights");
    let files = weights.read_dir()?.collect::<Result<Vec<_>, _>>()?;
    let is_separator = |path: &PathBuf| path.extension().is_some_and(|e| e == "pt") && !path.ends_with("identity.pt");
    let path = files.into_iter().map(|file| file.path()).find(is_separator);
    path.ok_or_else(|| format!("no model but the identity in {}", weights.display()).into())
}

fn measure() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().map_or_else(separator, |path| Ok(path.into()))?;
    let num_calls = arguments.next().map_or(Ok(200), |text| text.parse())?;

    print_memory("at start");
    let (_folder, library) = installed_layout()?;
    let start = Instant::now();
    // SAFETY: our own library, whose initialisers are libtorch's.
    let library = unsafe { libloading::Library::new(&library) }?;
    let open_ms = start.elapsed().as_secs_f64() * 1e3;
    print_memory(&format!("library opened in {open_ms:.0} ms"));
    // SAFETY: the symbol has this type by the boundary's definition, and the table lives as long as the process.
    let table = unsafe { &*library.get::<EntryFn>(ENTRY_SYMBOL.as_bytes())?() };
    // libtorch is never closed.
    std::mem::forget(library);

    let start = Instant::now();
    let model = load(table, &path)?;
    print_memory(&format!("model loaded in {:.0} ms", start.elapsed().as_secs_f64() * 1e3));

    // SAFETY: the model is live; the view is used before it is given back.
    let metadata: serde_json::Value = unsafe {
        let view = (table.metadata)(model);
        serde_json::from_slice(std::slice::from_raw_parts(view.ptr, view.len))?
    };
    let number = |field: &str| metadata[field].as_f64().ok_or_else(|| format!("metadata without {field}"));
    let values = (number("frames_per_call")? * number("num_bins")?) as usize;
    let num_masks = metadata["stems"].as_array().map_or(1, |stems| stems.len() - 1);
    let call_ms = number("frames_per_call")? * number("hop_s")? * 1e3;

    for num_channels in [1, 2] {
        let spectrum: Vec<f32> =
            (0..num_channels * values * 2).map(|idx| (((idx * 7919) % 2003) as f32 / 1001.5 - 1.0) * 20.0).collect();
        let mut masks = vec![0.0; num_masks * num_channels * values];
        let session = open(table, model, num_channels as u32)?;
        let first = run(table, session, &spectrum, &mut masks, 4)?;
        print_memory(&format!("{num_channels} channel(s), warm"));
        let (cpu_start_ms, faults_start) = (thread_cpu_ms(), thread_page_faults());
        let mut steady = run(table, session, &spectrum, &mut masks, num_calls)?;
        let cpu_ms = (thread_cpu_ms() - cpu_start_ms) / num_calls as f64;
        let faults = (thread_page_faults() - faults_start) / num_calls as f64;
        let mean_ms = steady.iter().sum::<f64>() / steady.len() as f64;
        steady.sort_by(f64::total_cmp);
        let quantile = |q: f64| steady[((steady.len() - 1) as f64 * q) as usize];
        println!("  first calls, ms: {}", first.iter().map(|ms| format!("{ms:.1}")).collect::<Vec<_>>().join(", "));
        println!(
            "  then, ms: mean {mean_ms:.1}, median {:.1}, p99 {:.1}, max {:.1}; on the core {cpu_ms:.1}",
            quantile(0.5),
            quantile(0.99),
            quantile(1.0),
        );
        println!(
            "  RTF: {:.3} by the clock, {:.3} on the core; {faults:.0} page faults per call",
            mean_ms / call_ms,
            cpu_ms / call_ms
        );
        print_memory(&format!("  after {num_calls} calls"));
        let second = open(table, model, num_channels as u32)?;
        run(table, second, &spectrum, &mut masks, 4)?;
        print_memory("  second session");
        // SAFETY: both are live and given back once.
        unsafe {
            (table.close_session)(second);
            (table.close_session)(session);
        }
    }
    // SAFETY: live and given back once, its sessions closed.
    unsafe { (table.free_model)(model) };
    Ok(())
}
