//! An example out of a file, chosen in the system's dialog.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Once, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use nice_plug_egui::baseview::WindowContext;
use rfd::AsyncFileDialog;
use underscore_audio_file::{EXTENSIONS, ReadError, read_beginning};
use underscore_engine::{Recording, keep_this_binary_loaded};

use crate::query::{Preset, SavedQuery, shown};

/// The longest part of a file that is read, seconds; its loudest three seconds are the example.
const LONGEST_S: f64 = 120.0;

/// Pause between two looks whether the instance is still there.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// A dialog that is gone sooner was never there.
const FASTEST_ANSWER: Duration = Duration::from_millis(300);

const NO_DIALOG: &str =
    "The system opened no file dialog. On Linux it takes a desktop portal (xdg-desktop-portal) or zenity: install one.";

/// Done when this binary is kept loaded.
static KEPT: Once = Once::new();

/// The dialog, while one is open.
#[derive(Debug, Default)]
pub struct ExampleFile {
    waiting: Option<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Nobody waits for the answer any more.
    is_over: Arc<AtomicBool>,
    /// The dialog is closed, and what was chosen there was read.
    is_done: Arc<AtomicBool>,
    /// Where a file was chosen and could be read.
    offered: Arc<OnceLock<PickedFile>>,
}

/// A file that was offered as an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PickedFile {
    /// Slot that the file is for.
    pub slot: usize,
    /// Number of the example that the slot had before.
    pub number: u64,
    /// Sessions that were loaded till then.
    pub num_loads: u64,
    /// What the slot asked for when the dialog was opened.
    pub preset: Preset,
}

impl ExampleFile {
    /// Opens the dialog above `window`, unless one is open already. What is chosen there is offered as the example of `slot`, which asks for
    /// `preset` now; what cannot be read is told on its board.
    pub fn choose(&mut self, (slot, preset): (usize, Preset), query: &SavedQuery, window: &WindowContext) {
        if self.is_busy() {
            return;
        }
        // The dialog has a thread of its own, which nobody can end, and a file may lie where reading takes for ever: both may outlast the
        // instance.
        KEPT.call_once(keep_this_binary_loaded);
        let extensions: Vec<String> = EXTENSIONS.iter().flat_map(|it| [(*it).to_owned(), it.to_uppercase()]).collect();
        // Made here, because macOS wants its dialogs made by the main thread.
        let dialog = AsyncFileDialog::new()
            .set_title("An example of what is to be found")
            .add_filter("Audio", &extensions)
            .set_parent(window)
            .pick_file();
        let waiting = Waiting::default();
        let (is_over, is_done, offered) = (waiting.is_over.clone(), waiting.is_done.clone(), waiting.offered.clone());
        let (query, opened) = (query.clone(), Instant::now());
        let wait = move || {
            match answer(dialog, &is_over) {
                Some(Some(file)) => {
                    let board = query.board();
                    // Before it is read: while that takes long, another session may be loaded.
                    let num_loads = board.num_loads();
                    let recording = recording(file.path());
                    let before = PickedFile { slot, number: board.number(), num_loads, preset };
                    if !is_over.load(Ordering::Acquire) && board.offer_unless_loaded(num_loads, recording) {
                        let _ = offered.set(before);
                    }
                }
                // Nobody closes a dialog as fast as that.
                Some(None) if opened.elapsed() < FASTEST_ANSWER => query.board().refuse_offer(NO_DIALOG.into()),
                Some(None) | None => {}
            }
            is_done.store(true, Ordering::Release);
        };
        match std::thread::Builder::new().name("underscore file".into()).spawn(wait) {
            Ok(_) => self.waiting = Some(waiting),
            Err(error) => tracing::error!("no file can be chosen: no thread: {error}"),
        }
    }

    /// A file that was chosen and read; once.
    pub fn take_offered(&mut self) -> Option<PickedFile> {
        let offered = self.waiting.as_ref()?.offered.get().copied()?;
        self.waiting = None;
        Some(offered)
    }

    /// Whether a file is being chosen or read: no other one can be meanwhile.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.waiting.as_ref().is_some_and(|waiting| !waiting.is_done.load(Ordering::Acquire))
    }
}

impl Drop for ExampleFile {
    fn drop(&mut self) {
        if let Some(waiting) = &self.waiting {
            waiting.is_over.store(true, Ordering::Release);
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for the future's end; none where `is_over` comes first.
fn answer<T>(future: impl Future<Output = T>, is_over: &AtomicBool) -> Option<T> {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    while !is_over.load(Ordering::Acquire) {
        if let Poll::Ready(answer) = future.as_mut().poll(&mut context) {
            return Some(answer);
        }
        std::thread::park_timeout(LOOK_INTERVAL);
    }
    None
}

/// What there is to hear in the file, under its name; or why it cannot be an example.
fn recording(path: &Path) -> Result<Recording, String> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    // A decoder that stumbles over a strange file is not to take the host along.
    let read = catch_unwind(AssertUnwindSafe(|| {
        let audio = read_beginning(path, LONGEST_S)?;
        Ok(Recording::new(shown(&name), audio.channels, f64::from(audio.rate_hz)))
    }));
    match read {
        Ok(Ok(recording)) => Ok(recording),
        Ok(Err::<_, ReadError>(error)) => Err(format!("The file cannot be an example: {error}.")),
        Err(_) => Err(format!("{} cannot be read: it broke its decoder. Convert it to WAV.", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_taken_under_its_name_and_what_is_none_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("door slam with a very long name.wav");
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: 22_050,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::create(&path, spec).expect("a file");
        (0..4_000).for_each(|n| writer.write_sample((n % 100 * 200) as i16).expect("a sample"));
        writer.finalize().expect("a file");
        let found = recording(&path).expect("a recording");
        assert_eq!((found.name(), found.rate_hz()), ("door slam with a very lo", 22_050.0));

        for (name, content) in
            [("torn.wav", &b"RIFF\x10\0\0\0WAVEfmt "[..]), ("notes.wav", b"no sound"), ("empty.mp3", b"")]
        {
            let path = folder.path().join(name);
            std::fs::write(&path, content).expect("a file");
            let why = recording(&path).expect_err("a reason");
            println!("{why}");
            assert!(why.contains(name));
        }
        assert!(recording(&folder.path().join("gone.wav")).is_err_and(|why| why.contains("gone.wav")));
    }

    #[test]
    fn an_answer_is_waited_for_until_nobody_wants_it_any_more() {
        let is_over = AtomicBool::new(false);
        assert_eq!(answer(async { 7 }, &is_over), Some(7));
        let mut has_waited = false;
        let later = std::future::poll_fn(|context| {
            context.waker().wake_by_ref();
            if std::mem::replace(&mut has_waited, true) { Poll::Ready(8) } else { Poll::Pending }
        });
        assert_eq!(answer(later, &is_over), Some(8));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| answer(std::future::pending::<()>(), &is_over));
            std::thread::sleep(LOOK_INTERVAL / 2);
            assert!(!waiting.is_finished());
            is_over.store(true, Ordering::Release);
            assert_eq!(waiting.join().expect("it ends"), None);
        });
    }
}
