//! Threads that use a card, and whether it answers them: what the whole process knows of it, whatever models come and go.
//!
//! Where a driver hangs, it hangs for all of them. So whoever opens a card is told at once while some thread there was given up and has not come
//! back, even if the model that the thread ran is gone.

use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::error::BackendError;
use crate::line::{Line, Patience, Served, Unanswered, Watch, line};

/// A batch takes milliseconds. What comes first may find its kernels on a slow disk, and on one that is slower still the processor is used: a host
/// that bounces waits for the worker for a minute, in which the processor is to take over.
const PATIENCE: Patience = Patience { first: Duration::from_secs(45), later: Duration::from_secs(5) };

/// Of all threads that use the card.
static WATCHES: Mutex<Vec<Watch>> = Mutex::new(Vec::new());

/// Starts a thread that uses the card and answers requests.
pub(crate) fn start<R: Send + 'static>(
    name: &str,
    serve: impl FnOnce(&Served<R>) + Send + 'static,
) -> Result<(Line<R>, JoinHandle<()>), BackendError> {
    let (line, served) = line(PATIENCE);
    watches(|watches| watches.push(line.watch()));
    let thread = std::thread::Builder::new().name(name.into()).spawn(move || serve(&served));
    let thread = thread.map_err(|error| no_device(format!("there is no thread for the graphics card: {error}")))?;
    Ok((line, thread))
}

/// What comes of `work`, which opens the card or something on it, and which is not waited for if the card hangs.
pub(crate) fn open<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BackendError> + Send + 'static,
) -> Result<T, BackendError> {
    let hangs = || no_device("the graphics card does not answer".to_owned());
    if watches(|watches| watches.iter().any(Watch::hangs)) {
        return Err(hangs());
    }
    let (line, _) = start("underscore open", |served: &Served<Box<dyn FnOnce() + Send>>| {
        if let Some(work) = served.wait() {
            work();
        }
    })?;
    let opened = line.ask(|answer| {
        Box::new(move || {
            // Nobody may wait for it any more.
            let _ = answer.send(work());
        })
    });
    opened.map_err(|unanswered| match unanswered {
        Unanswered::Hangs => hangs(),
        Unanswered::Ended => no_device("the graphics card could not be opened, unexpectedly".to_owned()),
    })?
}

/// Does something with the watches of those threads that are still there.
fn watches<T>(work: impl FnOnce(&mut Vec<Watch>) -> T) -> T {
    let mut watches = WATCHES.lock().unwrap_or_else(PoisonError::into_inner);
    watches.retain(|watch| !watch.is_over());
    work(&mut watches)
}

fn no_device(reason: String) -> BackendError {
    BackendError::NoDevice { reason }
}
