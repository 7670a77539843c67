//! From a mask at the model's bins and a spectrum at the host's to the synthesised segment of the frame.

use realfft::num_complex::Complex32;

use crate::grid::Grid;
use crate::istft::Istft;
use crate::mask::{self, MaskExtender};
use crate::memory::touched_zeros;

/// Puts spectra through masks and back into time.
pub struct MaskedSynthesis {
    extender: MaskExtender,
    istft: Istft,
    /// `[bin]` at the host's rate.
    host_mask: Vec<f32>,
    masked: Vec<Complex32>,
}

impl MaskedSynthesis {
    /// Plans the transform and allocates everything; masks have `num_model_bins`.
    #[must_use]
    pub fn new(grid: Grid, num_model_bins: usize) -> Self {
        Self {
            extender: MaskExtender::new(num_model_bins, grid.num_bins()),
            istft: Istft::new(grid),
            host_mask: touched_zeros(grid.num_bins()),
            masked: touched_zeros(grid.num_bins()),
        }
    }

    /// The mask `[model bin]` of the spectra that follow.
    ///
    /// # Panics
    /// If it has another number of bins than [`MaskedSynthesis::new`] was told.
    pub fn set_mask(&mut self, mask: &[f32]) {
        self.extender.extend(mask, &mut self.host_mask);
    }

    /// Writes the synthesised segment of the frame of `spectrum` through the mask; see [`Istft::synthesise`].
    ///
    /// # Panics
    /// If `spectrum` is not `num_bins` long or `segment` not `synthesis_samples`.
    pub fn synthesise(&mut self, spectrum: &[Complex32], segment: &mut [f32]) {
        mask::apply(&self.host_mask, spectrum, &mut self.masked);
        self.istft.synthesise(&mut self.masked, segment);
    }
}
