//! Signal processing of Underscore: spectra of hops, masks on spectra, and hops of spectra again.
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
//! use underscore_dsp::{Complex32, Grid, Istft, Stft, apply};
//!
//! let grid = Grid::new(48_000.0, 0.064, 0.016, 0.064)?;
//! let (mut stft, mut istft) = (Stft::new(grid, 1), Istft::new(grid, 1));
//! let mut spectrum = vec![Complex32::default(); grid.num_bins()];
//! let mut stem = spectrum.clone();
//! let mask = vec![0.5; grid.num_bins()];
//! let (hop_in, mut hop_out) = (vec![0.25; grid.hop_samples()], vec![0.0; grid.hop_samples()]);
//! for _ in 0..8 {
//!     stft.analyse(0, &hop_in, &mut spectrum);
//!     apply(&mask, &spectrum, &mut stem);
//!     istft.synthesise(0, &mut stem, &mut hop_out);
//! }
//! assert!(hop_out.iter().all(|sample| (sample - 0.125).abs() < 1e-6));
//! # Ok::<(), underscore_dsp::GridError>(())
//! ```

pub mod delay;
pub mod grid;
pub mod istft;
pub mod linking;
pub mod mask;
pub mod ramp;
pub mod sanitise;
pub mod stft;
pub mod window;

pub use delay::DelayLine;
pub use grid::{Grid, GridError};
pub use istft::Istft;
pub use linking::{link_rms, pack};
pub use mask::{MaskExtender, apply, shape};
pub use ramp::Ramp;
pub use realfft::num_complex::Complex32;
pub use sanitise::sanitise;
pub use stft::Stft;
pub use window::WindowPair;
