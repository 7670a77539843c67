//! Weights of recurrent layers in the order that oneDNN works in on a processor, or cuDNN on a card.
//!
//! Torch brings the weights of an LSTM into that order at every call, which on a processor takes a ninth of a call of four frames
//! and a sixth of a call of one (`python -m underscore_training.export.packer --time MODEL`). A model that says so (`packs_recurrent_weights`) hands them out and takes them back packed; its
//! masks are the same bit for bit.

use std::sync::OnceLock;

use tch::{CModule, IValue, TchError};

/// Written by `python -m underscore_training.export.packer`. A file of its own, so that a model can be opened by a libtorch without
/// oneDNN, which does not know the operator in here.
const PACK_LSTM: &[u8] = include_bytes!("pack_lstm.pt");

/// Packs the weights of `module`, which is on the processor and has not been called. Where libtorch has no oneDNN they stay as
/// they are.
pub(crate) fn pack(module: &CModule) -> Result<(), TchError> {
    static PACKER: OnceLock<Option<CModule>> = OnceLock::new();
    let Some(packer) = PACKER.get_or_init(|| CModule::load_data(&mut &*PACK_LSTM).ok()) else { return Ok(()) };
    let _no_grad = tch::no_grad_guard();
    module
        .method_is::<IValue>("recurrent_weights", &[])
        .and_then(|weights| packer.forward_is(&[weights]))
        .and_then(|packed| module.method_is("use_packed", &[packed]))
        .map(drop)
}

/// Lays the weights of each recurrent layer of `module`, which is on a card and has not been called, into one piece of memory. Else cuDNN
/// copies them there at every call, and libtorch writes a warning about each to the host's console: 43 000 in half a minute.
pub(crate) fn flatten(module: &CModule) {
    let _no_grad = tch::no_grad_guard();
    // A file of before there was this method does without: its calls are slower, and the same.
    let _ = module.method_is::<IValue>("flatten_recurrent_weights", &[]);
}
