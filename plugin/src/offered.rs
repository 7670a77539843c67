//! What stands between a host and the framework hands it to the plugin that its thread is just making: the framework makes that by itself, and has no
//! other way to give it anything.

use std::cell::Cell;
use std::sync::Arc;

/// Of one thread, for the next plugin that it makes.
pub struct Offered<T>(Cell<Option<Arc<T>>>);

impl<T: Default> Offered<T> {
    /// There is nothing to be taken.
    #[must_use]
    pub const fn nothing() -> Self {
        Self(Cell::new(None))
    }

    /// Makes one and offers it, in the place of one that nobody took.
    #[must_use]
    pub fn make(&self) -> Arc<T> {
        let made = Arc::<T>::default();
        self.0.set(Some(made.clone()));
        made
    }

    /// Takes what is offered: whoever comes next finds nothing.
    #[must_use]
    pub fn take(&self) -> Option<Arc<T>> {
        self.0.take()
    }
}
