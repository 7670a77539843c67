//! Between the engine and an inference backend: the C boundary (`boundary`) and the caller's safe side of it (`caller`).
//!
//! A backend is a shared library that exports one function, [`ENTRY_SYMBOL`], which returns a [`BackendTable`]. The engine
//! opens it when a model is first needed, so that neither scanning the plugin nor a machine without libtorch ever touches
//! libtorch. Who opens the library is told nothing of how it works, and calls it through [`Backend`].

mod boundary;
mod caller;

pub use boundary::*;
pub use caller::{Backend, Failure, Model, Session, WrongBuild};
