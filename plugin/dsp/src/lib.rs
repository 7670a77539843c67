//! Signal processing of Underscore: spectra of frames, masks on spectra, and sound of frames again.
//!
//! Slices in, slices out: no threads, no plugin types, no inference. Everything is sized when it is made and nothing
//! allocates, locks or waits afterwards, so every `&mut self` function here may run on the audio thread. A slice of the wrong
//! length is a fault of the caller and panics; the lengths are those of the [`Grid`], which does not change while a host is
//! active.
//!
//! Axis order where several axes meet: `[stem][channel][bin]`. Spectra are unnormalised DFTs of the windowed signal, bins
//! 0 to `window / 2`.
//!
//! ```
//! use underscore_dsp::{Complex32, Grid, History, Istft, OverlapAdd, Stft, apply};
//!
//! let grid = Grid::new(48_000.0, 0.064, 0.016, 0.064)?;
//! let (mut history, mut stft) = (History::new(grid.window_samples()), Stft::new(grid));
//! let (mut istft, mut overlap) = (Istft::new(grid), OverlapAdd::new(grid, 1));
//! let mut frame = vec![0.0; grid.window_samples()];
//! let mut segment = vec![0.0; grid.synthesis_samples()];
//! let mut spectrum = vec![Complex32::default(); grid.num_bins()];
//! let mut stem = spectrum.clone();
//! let mask = vec![0.5; grid.num_bins()];
//! let (hop_in, mut hop_out) = (vec![0.25; grid.hop_samples()], vec![0.0; grid.hop_samples()]);
//! for _ in 0..8 {
//!     history.push(&hop_in);
//!     history.copy(0, &mut frame);
//!     stft.analyse(&frame, &mut spectrum);
//!     apply(&mask, &spectrum, &mut stem);
//!     istft.synthesise(&mut stem, &mut segment);
//!     overlap.add(0, &segment);
//!     overlap.take_hop(0, &mut hop_out);
//! }
//! assert!(hop_out.iter().all(|sample| (sample - 0.125).abs() < 1e-6));
//! # Ok::<(), underscore_dsp::GridError>(())
//! ```

pub mod control;
pub mod ducker;
pub mod grid;
pub mod history;
pub mod istft;
pub mod linking;
pub mod mask;
pub mod masked_synthesis;
pub mod memory;
pub mod overlap;
pub mod ramp;
pub mod sanitise;
pub mod stft;
pub mod window;

pub use control::{Control, ControlBuffer};
pub use ducker::{Ducker, DuckerSettings};
pub use grid::{Grid, GridError};
pub use history::History;
pub use istft::Istft;
pub use linking::{link_rms, pack};
pub use mask::{MaskExtender, apply, shape};
pub use masked_synthesis::MaskedSynthesis;
pub use memory::touched_zeros;
pub use overlap::OverlapAdd;
pub use ramp::{Ramp, s_curve};
pub use realfft::num_complex::Complex32;
pub use sanitise::{is_garbage, sanitise};
pub use stft::Stft;
pub use window::WindowPair;
