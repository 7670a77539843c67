//! Masks: from the model's bins to the host's, their strength, and their application.

use realfft::num_complex::Complex32;

/// The top band, as a part of the model's range: an eighth is 1 kHz of 8 kHz, 2 kHz of 16 kHz.
const BAND_DIVISOR: usize = 8;

/// Takes a mask from the bins of the model to those of the host.
///
/// Both grids have the same bin spacing, so the bins that the model knows are copied (or cut, where the host has fewer). Bins
/// above its range take one value: the mean over the model's top eighth (1 kHz for a model that is fed 16 kHz, 2 kHz for one that
/// is fed 32 kHz).
///
/// Why that band: what lies above 8 kHz is mostly the sibilants of speech, the air of cymbals and strings, and upper
/// harmonics, and whoever owns the last kilohertz below owns these too; a lower band would let the formants and fundamentals of
/// one source decide. Why a mean over so many bins: a single bin's mask flickers from frame to frame, and one flickering value
/// over 16 kHz of bandwidth is heard as breathing; the mean over 64 bins flickers an eighth as much where bins are
/// independent. So that the spectrum has no step at the edge, the mask goes from the model's last bin to that mean linearly
/// over half of the band.
pub struct MaskExtender {
    num_model_bins: usize,
    num_host_bins: usize,
    /// First model bin of the band that is averaged.
    band_start_idx: usize,
    /// Weight of the mean in each bin of the blend above the edge, rising, never 0 or 1.
    blend: Vec<f32>,
}

impl MaskExtender {
    /// Prepares the way from `model_bins` to `host_bins` bins of the same spacing.
    #[must_use]
    pub fn new(model_bins: usize, host_bins: usize) -> Self {
        let num_band_bins = (model_bins / BAND_DIVISOR).max(1);
        let num_blend_bins = num_band_bins / 2;
        let step = ((num_blend_bins + 1) as f32).recip();
        Self {
            num_model_bins: model_bins,
            num_host_bins: host_bins,
            band_start_idx: model_bins.saturating_sub(num_band_bins),
            blend: (1..=num_blend_bins).map(|n| n as f32 * step).collect(),
        }
    }

    /// Writes the host's mask `[host bin]` from the model's `[model bin]`.
    ///
    /// # Panics
    /// If a mask has not the number of bins given to [`MaskExtender::new`].
    pub fn extend(&self, model_mask: &[f32], host_mask: &mut [f32]) {
        assert_eq!(model_mask.len(), self.num_model_bins, "model_mask must have the model's bins");
        assert_eq!(host_mask.len(), self.num_host_bins, "host_mask must have the host's bins");
        let num_known = self.num_model_bins.min(self.num_host_bins);
        let (known, above) = host_mask.split_at_mut(num_known);
        known.copy_from_slice(&model_mask[..num_known]);
        if above.is_empty() {
            return;
        }
        let band = &model_mask[self.band_start_idx..];
        let Some(&edge) = band.last() else {
            above.fill(0.0);
            return;
        };
        let mean = band.iter().sum::<f32>() / band.len() as f32;
        above.fill(mean);
        for (out, weight) in above.iter_mut().zip(&self.blend) {
            *out = edge + weight * (mean - edge);
        }
    }
}

/// Changes how decided the masks of one frame are, in place: `m_i' = m_i^p / (Σ_j m_j^p + r^p)`.
///
/// `masks` is `[stem][bin]`, `num_stems_estimated · num_bins` long, without the residual stem, whose share is
/// `r = max(0, 1 − Σ_j m_j)`. `exponent` is `p`: 1 leaves the masks as they are, bit for bit; above 1 the strongest stem takes
/// more (less bleed, more artefacts); below 1 the shares draw together (more bleed, fewer artefacts) and at 0 every stem, the
/// residual included, gets `1 / (num_stems_estimated + 1)`. A share of 0 stays 0 for any `p` above 0. Results are in 0..=1 and
/// never NaN: values that are negative or NaN count as 0, an exponent that is negative or NaN as 0 too.
///
/// The powers are the dearest thing in a hop: shape the model's bins before they are extended, not after.
///
/// # Panics
/// If `masks` is not `num_stems_estimated · num_bins` long.
pub fn shape(masks: &mut [f32], num_stems_estimated: usize, num_bins: usize, exponent: f32) {
    assert_eq!(masks.len(), num_stems_estimated * num_bins, "masks must be [stem][bin]");
    let exponent = exponent.max(0.0);
    if exponent.to_bits() == 1.0_f32.to_bits() || masks.is_empty() {
        return;
    }
    if exponent == 0.0 {
        masks.fill(((num_stems_estimated + 1) as f32).recip());
        return;
    }
    for bin_idx in 0..num_bins {
        let (mut sum, mut sum_powers) = (0.0, 0.0);
        for mask in masks.iter_mut().skip(bin_idx).step_by(num_bins) {
            let share = mask.max(0.0);
            *mask = share.powf(exponent);
            sum += share;
            sum_powers += *mask;
        }
        let residual = (1.0 - sum).max(0.0);
        let norm = (sum_powers + residual.powf(exponent)).recip();
        for mask in masks.iter_mut().skip(bin_idx).step_by(num_bins) {
            *mask *= norm;
        }
    }
}

/// Multiplies each bin by its mask: `out[k] = mask[k] · spectrum[k]`.
///
/// # Panics
/// If the three slices are not of one length.
pub fn apply(mask: &[f32], spectrum: &[Complex32], out: &mut [Complex32]) {
    assert_eq!(mask.len(), spectrum.len(), "mask and spectrum must have the same bins");
    assert_eq!(mask.len(), out.len(), "mask and out must have the same bins");
    for ((out, bin), gain) in out.iter_mut().zip(spectrum).zip(mask) {
        *out = Complex32::new(bin.re * gain, bin.im * gain);
    }
}
