//! What stands between a host and the framework hands things to the plugin that its thread is just making: the framework makes that by itself, and has no
//! other way to give it anything.

use std::cell::Cell;
use std::sync::Arc;

/// Of one thread, for the next plugin that it makes.
pub struct Offered<T>(Cell<Option<Arc<T>>>);

impl<T> Offered<T> {
    /// There is nothing to be taken.
    #[must_use]
    pub const fn nothing() -> Self {
        Self(Cell::new(None))
    }

    /// Offers it, in the place of what nobody took.
    #[must_use]
    pub fn offer(&self, value: T) -> Arc<T> {
        let value = Arc::new(value);
        self.0.set(Some(value.clone()));
        value
    }

    /// Takes what is offered: whoever comes next finds nothing.
    #[must_use]
    pub fn take(&self) -> Option<Arc<T>> {
        self.0.take()
    }
}
