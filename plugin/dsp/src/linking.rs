//! Spectra of the host as input of a model: linked over channels, or one by one.
//!
//! Both write `[bin][re, im]`, interleaved, for the model's bins `0..out.len() / 2`: bins that the host has beyond are left
//! out, bins that it lacks are 0. `scale` is `model window / host window`, which makes the magnitudes of the unnormalised DFT
//! those that the model was trained on.

use realfft::num_complex::Complex32;

/// Writes one spectrum for all channels: real part `scale · √(mean over channels of |X|²)`, imaginary part 0.
///
/// The RMS magnitude, not a mono downmix, because a downmix cancels what is wide. `spectra` yields one spectrum per channel;
/// without any, the result is 0.
pub fn link_rms<S: AsRef<[Complex32]>>(spectra: impl IntoIterator<Item = S>, scale: f32, out: &mut [f32]) {
    out.fill(0.0);
    let (linked, _) = out.as_chunks_mut::<2>();
    let mut num_channels = 0_u16;
    for spectrum in spectra {
        num_channels += 1;
        for ([power, _], bin) in linked.iter_mut().zip(spectrum.as_ref()) {
            *power += bin.norm_sqr();
        }
    }
    let scale = scale / f32::from(num_channels.max(1)).sqrt();
    for [magnitude, _] in linked {
        *magnitude = magnitude.sqrt() * scale;
    }
}

/// Writes the spectrum of one channel: `(scale · re, scale · im)` per bin.
pub fn pack(spectrum: &[Complex32], scale: f32, out: &mut [f32]) {
    let (packed, _) = out.as_chunks_mut::<2>();
    let num_bins = spectrum.len().min(packed.len());
    for (pair, bin) in packed.iter_mut().zip(spectrum) {
        *pair = [bin.re * scale, bin.im * scale];
    }
    out[2 * num_bins..].fill(0.0);
}
