//! A host's part, for tests.
#![allow(
    clippy::cast_possible_wrap,
    clippy::unnecessary_cast,
    reason = "the interface's constants are u32 or i32 by platform"
)]

use nice_plug::wrapper::vst3::Wrapper;
use nice_plug::wrapper::vst3::vst3::ComWrapper;
use nice_plug::wrapper::vst3::vst3::Steinberg::Vst::{ProcessSetup, SymbolicSampleSizes_};

use super::processor_shim::ProcessorShim;
use crate::Underscore;

/// An instance as the factory makes it.
pub fn instance() -> ComWrapper<Wrapper<Underscore>> {
    let shim = ProcessorShim::offer();
    let instance = ComWrapper::new(Wrapper::<Underscore>::new());
    shim.install(&instance);
    instance
}

/// At 48 kHz, one of the modes above.
pub fn setup(mode: i32, max_samples: i32) -> ProcessSetup {
    ProcessSetup {
        processMode: mode,
        symbolicSampleSize: SymbolicSampleSizes_::kSample32 as i32,
        maxSamplesPerBlock: max_samples,
        sampleRate: 48_000.0,
    }
}
