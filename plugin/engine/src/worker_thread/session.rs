//! One stream through a model.

use std::sync::Arc;

use underscore_backend::{Device, Failure, Manner};

use super::model::Model;

/// By so much more may a model's test vector differ on a card, which sums in another order than the processor that it was made on: the query
/// model's by 0.6 of the tolerance, measured. Rounded to ten bits (TF32) it would be 190 times the tolerance.
const ON_A_CARD: f32 = 10.0;

/// A test vector of more calls than this compiles and runs what it compiled in one pass.
const LONG_VECTOR_CALLS: usize = 6;

/// Why a call gave no masks.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The backend says so.
    #[error(transparent)]
    Backend(#[from] Failure),
    /// A mask is no number.
    #[error("the model gave a mask that is no number (value {idx} of {len})")]
    NotFinite {
        /// Place of the first one.
        idx: usize,
        /// Number of values.
        len: usize,
    },
    /// The test vector came out otherwise than when the model was exported.
    #[error(
        "the model's test vector differs: expected at most {tolerance:e}, got {actual:e}. The model or libtorch does not \
         work as it should on this machine"
    )]
    TestVector {
        /// Allowed.
        tolerance: f32,
        /// Found.
        actual: f32,
    },
    /// The test vector is not as long as it says.
    #[error("the model's test vector is torn: expected {expected} values, got {actual}")]
    TestVectorSize {
        /// By its own counts.
        expected: usize,
        /// In the file.
        actual: usize,
    },
}

/// The running state of one stream. Used by one thread.
pub struct Session {
    model: Arc<Model>,
    opened: underscore_backend::Session,
    num_channels: usize,
    /// What the backend was asked for last.
    asked: Vec<f32>,
}

impl Session {
    /// Opens a stream of `num_channels` channels from a zero state.
    pub fn open(model: Arc<Model>, num_channels: usize) -> Result<Self, SessionError> {
        let opened = model.loaded().session(num_channels)?;
        Ok(Self { model, opened, num_channels, asked: Vec::new() })
    }

    /// Channels of the stream.
    pub fn num_channels(&self) -> usize {
        self.num_channels
    }

    /// What the following calls are to look for; empty where the model is not asked.
    pub fn ask(&mut self, embedding: &[f32]) -> Result<(), SessionError> {
        if self.asked != embedding {
            self.opened.ask(embedding)?;
            self.asked.clear();
            self.asked.extend_from_slice(embedding);
        }
        Ok(())
    }

    /// Back to a zero state.
    pub fn reset(&mut self) {
        self.opened.reset();
    }

    /// One inference call: `spectrum` `[channel][frame][bin][re, im]` in, `masks` `[stem][channel][frame][bin]` out, kept to
    /// the range that the model declares.
    pub fn run(&mut self, manner: Manner, spectrum: &[f32], masks: &mut [f32]) -> Result<(), SessionError> {
        self.opened.run(manner, spectrum, masks).inspect_err(|_| self.model.doubt())?;
        let len = masks.len();
        let (min, max) = self.model.mask_range();
        for (idx, mask) in masks.iter_mut().enumerate() {
            if !mask.is_finite() {
                self.model.doubt();
                return Err(SessionError::NotFinite { idx, len });
            }
            *mask = mask.clamp(min, max);
        }
        Ok(())
    }

    /// Warms the model up, runs its test vector unless these weights were seen to give it since they last failed, and leaves a zero state. The first
    /// calls of a model compile and allocate, and take many times as long as later ones: they are not to happen while sound is waiting.
    pub fn check(&mut self, spectrum_len: usize, masks_len: usize, embedding_size: usize) -> Result<(), SessionError> {
        let model = self.model.clone();
        let test = model.test_vector();
        let tolerance = if model.device() == Device::CPU { test.tolerance } else { ON_A_CARD * test.tolerance };
        let expected = embedding_size + test.num_calls * (spectrum_len + masks_len);
        if test.num_channels != self.num_channels || test.num_calls == 0 || model.is_seen_to_work() {
            // Another number of channels than the vector's, or no vector, or nothing to learn from it: warm up only.
            let (spectrum, mut masks) = (vec![0.0; spectrum_len], vec![0.0; masks_len]);
            for _ in 0..3 {
                self.run(Manner::ALONE, &spectrum, &mut masks)?;
            }
            self.reset();
            return Ok(());
        }
        if test.values.len() != expected {
            return Err(SessionError::TestVectorSize { expected, actual: test.values.len() });
        }
        let (embedding, calls) = test.values.split_at(embedding_size);
        let (spectra, expected_masks) = calls.split_at(test.num_calls * spectrum_len);
        self.ask(embedding)?;
        let mut masks = vec![0.0; masks_len];
        // Twice, unless it is long: what the first calls compile, later ones run.
        let num_passes = if test.num_calls > LONG_VECTOR_CALLS { 1 } else { 2 };
        for _ in 0..num_passes {
            for (spectrum, expected) in spectra.chunks_exact(spectrum_len).zip(expected_masks.chunks_exact(masks_len)) {
                self.run(Manner::ALONE, spectrum, &mut masks)?;
                let differences = masks.iter().zip(expected).map(|(a, b)| (a - b).abs());
                // One that is no number is not below the tolerance.
                if let Some(actual) = differences.clone().find(|difference| difference.is_nan()) {
                    return Err(SessionError::TestVector { tolerance, actual });
                }
                let actual = differences.fold(0.0, f32::max);
                if actual > tolerance {
                    return Err(SessionError::TestVector { tolerance, actual });
                }
            }
            self.reset();
        }
        model.note_seen_to_work();
        Ok(())
    }
}
