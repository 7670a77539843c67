//! What is to be done when the window ends. The framework tells nobody of it, but drops what the window's context holds.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use egui::{Context, Id};

type Work = Box<dyn FnOnce() + Send>;

struct AtEnd(Mutex<Option<Work>>);

impl Drop for AtEnd {
    fn drop(&mut self) {
        let work = self.0.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        // A host may take the instance away below its window, and the framework panics where it is asked for anything then. The window's thread is the
        // host's main one on some systems.
        if work.is_some_and(|work| catch_unwind(AssertUnwindSafe(work)).is_err()) {
            tracing::debug!("the window has outlived its instance");
        }
    }
}

/// Does `work`, which is known by this name, when the window of `context` has drawn its last picture.
pub fn at_end(context: &Context, name: &'static str, work: impl FnOnce() + Send + 'static) {
    let at_end = Arc::new(AtEnd(Mutex::new(Some(Box::new(work)))));
    context.data_mut(|data| data.insert_temp(Id::unique(("at end", name)), at_end));
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn it_is_done_once_when_the_window_ends_and_one_that_fails_keeps_nothing_else_from_it() {
        let num_done = Arc::new(AtomicU32::new(0));
        let context = Context::default();
        let done = num_done.clone();
        at_end(&context, "fails", || panic!("the instance is gone"));
        at_end(&context, "is done", move || {
            done.fetch_add(1, Ordering::Relaxed);
        });
        context.run_ui(egui::RawInput::default(), |_| ()).textures_delta.clear();
        assert_eq!(num_done.load(Ordering::Relaxed), 0);
        drop(context);
        assert_eq!(num_done.load(Ordering::Relaxed), 1);
    }
}
