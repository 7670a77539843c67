//! Passes a value to the plugin instance that this thread is constructing: the framework constructs it itself and takes no arguments.

use std::cell::Cell;
use std::sync::Arc;

/// Holds the value for the next plugin that its thread constructs.
pub struct ConstructionSlot<T>(Cell<Option<Arc<T>>>);

impl<T> ConstructionSlot<T> {
    /// A slot without a value.
    #[must_use]
    pub const fn empty() -> Self {
        Self(Cell::new(None))
    }

    /// Puts `value` in, in the place of one that nobody took.
    #[must_use]
    pub fn put(&self, value: T) -> Arc<T> {
        let value = Arc::new(value);
        self.0.set(Some(value.clone()));
        value
    }

    /// Takes the value out; a second call finds nothing.
    #[must_use]
    pub fn take(&self) -> Option<Arc<T>> {
        self.0.take()
    }
}
