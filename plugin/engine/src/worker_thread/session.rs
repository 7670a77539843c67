//! One stream through a model.

use std::sync::Arc;

use underscore_backend::{Batching, Device, Failure};

use super::model::{Model, NUM_WARM_UPS};

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
    pub fn run(&mut self, batching: Batching, spectrum: &[f32], masks: &mut [f32]) -> Result<(), SessionError> {
        self.opened.run(batching, spectrum, masks).inspect_err(|_| self.model.doubt())?;
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
            for _ in 0..NUM_WARM_UPS {
                self.run(Batching::NEVER, &spectrum, &mut masks)?;
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
                self.run(Batching::NEVER, spectrum, &mut masks)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handoff::CallShape;
    use crate::latency::{ModelTiming, latency};
    use crate::worker_thread::fake_backend;

    /// What is heard of a frame is known two frames later: what is left of an earlier pass would be seen.
    const TIMING: ModelTiming =
        ModelTiming { frames_per_call: 4, look_ahead_frames: 2, num_bins: 3, ..ModelTiming::PAPER };
    const NUM_CALLS: usize = 3;
    const TOLERANCE: f32 = 1e-3;
    const ASKED: [f32; 2] = [0.25, 9.0];

    fn shape() -> CallShape {
        let grid = latency(&TIMING, 48_000.0, 512).unwrap().grid;
        let (num_frames, num_bins) = (TIMING.frames_per_call, TIMING.num_bins);
        CallShape { grid, num_channels: 2, num_frames, num_bins, num_stems: 1, embedding_size: ASKED.len() }
    }

    /// The mask of a frame is the first value of its spectrum; the stand-in adds the first one of what it is asked for.
    fn first_value(spectrum: &[f32]) -> f32 {
        spectrum[0]
    }

    /// The vector that the stand-in gives: what is asked for, all spectra, all masks.
    fn right_vector() -> Vec<f32> {
        let num_frames = NUM_CALLS * TIMING.frames_per_call;
        let heard: Vec<f32> = (0..num_frames).map(|frame_idx| (frame_idx as f32).sin()).collect();
        let spectra = heard.iter().flat_map(|first| [*first, 5.0, 5.0, 5.0, 5.0, 5.0]);
        let unheard = std::iter::repeat_n(&fake_backend::UNHEARD, TIMING.look_ahead_frames);
        let masks = unheard.chain(&heard).take(num_frames).flat_map(|mask| [mask + ASKED[0]; TIMING.num_bins]);
        ASKED.into_iter().chain(spectra).chain(masks).collect()
    }

    /// The stand-in with this test vector, its masks in -2..2, on `device`.
    fn model_on(device: Device, test_vector: Vec<f32>) -> Arc<Model> {
        let model = fake_backend::model(shape(), &TIMING, first_value, test_vector);
        Arc::new(model.declaring(device, (-2.0, 2.0), NUM_CALLS, TOLERANCE))
    }

    fn model(test_vector: Vec<f32>) -> Arc<Model> {
        model_on(Device::CPU, test_vector)
    }

    /// A new session of `num_channels` is checked.
    fn check(model: &Arc<Model>, num_channels: usize) -> Result<(), SessionError> {
        let mut session = Session::open(model.clone(), num_channels)?;
        session.check(shape().spectrum_len(num_channels), shape().masks_len(num_channels), ASKED.len())
    }

    /// One call of `first` in every frame of one channel, through a new session.
    fn masks_of(model: &Arc<Model>, first: f32) -> Result<Vec<f32>, SessionError> {
        let (spectrum, mut masks) = (vec![first; shape().spectrum_len(1)], vec![0.0; shape().masks_len(1)]);
        Session::open(model.clone(), 1)?.run(Batching::NEVER, &spectrum, &mut masks).map(|()| masks)
    }

    #[test]
    fn a_model_that_gives_its_test_vector_is_seen_to_work_and_its_session_begins_at_zero() {
        let model = model(right_vector());
        assert!(!model.is_seen_to_work(), "nobody has looked yet");
        let mut session = Session::open(model.clone(), 1).unwrap();
        session.check(shape().spectrum_len(1), shape().masks_len(1), ASKED.len()).unwrap();
        assert!(model.is_seen_to_work());
        let (spectrum, mut masks) = (vec![0.5; shape().spectrum_len(1)], vec![0.0; shape().masks_len(1)]);
        session.ask(&[0.0, 0.0]).unwrap();
        session.run(Batching::NEVER, &spectrum, &mut masks).unwrap();
        let by_frame: Vec<f32> = masks.chunks_exact(TIMING.num_bins).map(|masks| masks[0]).collect();
        assert_eq!(by_frame, [fake_backend::UNHEARD, fake_backend::UNHEARD, 0.5, 0.5]);
    }

    #[test]
    fn a_test_vector_may_be_off_by_its_tolerance_and_on_a_card_by_ten_times_as_much() {
        let first_mask = ASKED.len() + NUM_CALLS * shape().spectrum_len(1);
        // The first mask of all, and the last one.
        for place in [first_mask, right_vector().len() - 1] {
            for (device, tolerance) in [(Device::CPU, TOLERANCE), (Device::CUDA, 10.0 * TOLERANCE)] {
                for (share, is_right) in [(0.5, true), (-0.5, true), (2.0, false), (-2.0, false)] {
                    let mut vector = right_vector();
                    vector[place] += share * tolerance;
                    let model = model_on(device, vector);
                    match check(&model, 1) {
                        Ok(()) => assert!(is_right, "off by {share} of {tolerance} at {place}"),
                        Err(SessionError::TestVector { tolerance: allowed, actual }) => {
                            assert!(!is_right && allowed == tolerance, "{actual} of {allowed} at {place}");
                            assert!(
                                (actual - 2.0 * tolerance).abs() < 1e-5,
                                "{actual} where it is {share} of {allowed}"
                            );
                        }
                        Err(error) => panic!("{error}"),
                    }
                    assert_eq!(model.is_seen_to_work(), is_right);
                }
            }
            let mut vector = right_vector();
            vector[place] = f32::NAN;
            let found = check(&model(vector), 1);
            let is_told = matches!(found, Err(SessionError::TestVector { actual, .. }) if actual.is_nan());
            assert!(is_told, "what is no number is below no tolerance: {found:?}");
        }
    }

    #[test]
    fn a_test_vector_of_another_length_than_it_says_is_torn() {
        let right_len = right_vector().len();
        for len in [0, right_len - 1, right_len + 1] {
            let mut vector = right_vector();
            vector.resize(len, 0.0);
            let model = model(vector);
            match check(&model, 1) {
                Err(SessionError::TestVectorSize { expected, actual }) => {
                    assert_eq!((expected, actual), (right_len, len));
                }
                other => panic!("expected a torn vector of {len} values, got {other:?}"),
            }
            assert!(!model.is_seen_to_work());
        }
    }

    #[test]
    fn what_was_seen_to_work_is_not_looked_at_again_until_a_call_fails() {
        let mut vector = right_vector();
        let last = vector.len() - 1;
        vector[last] += 1.0;
        let model = model(vector);
        model.note_seen_to_work();
        check(&model, 1).expect("nothing is compared");
        model.doubt();
        assert!(matches!(check(&model, 1), Err(SessionError::TestVector { .. })));
    }

    #[test]
    fn a_session_of_other_channels_than_the_test_vector_s_is_run_and_proves_nothing() {
        let right = model(right_vector());
        check(&right, 2).unwrap();
        assert!(!right.is_seen_to_work());
        let broken = fake_backend::model(shape(), &TIMING, |_| f32::NAN, right_vector());
        let broken = Arc::new(broken.declaring(Device::CPU, (-2.0, 2.0), NUM_CALLS, TOLERANCE));
        assert!(matches!(check(&broken, 2), Err(SessionError::NotFinite { .. })), "it was not even run");
    }

    #[test]
    fn masks_that_are_no_numbers_are_refused_and_the_model_is_seen_to_work_no_longer() {
        for no_number in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let model = model(right_vector());
            check(&model, 1).unwrap();
            let first = TIMING.look_ahead_frames * TIMING.num_bins;
            match masks_of(&model, no_number) {
                Err(SessionError::NotFinite { idx, len }) => assert_eq!((idx, len), (first, shape().masks_len(1))),
                other => panic!("expected a refusal of {no_number}, got {other:?}"),
            }
            assert!(!model.is_seen_to_work(), "{no_number}");
        }
    }

    #[test]
    fn masks_are_kept_to_the_range_that_the_model_declares() {
        for (first, expected) in [(1.5, 1.5), (2.5, 2.0), (-1.5, -1.5), (-1e9, -2.0)] {
            let masks = masks_of(&model(right_vector()), first).unwrap();
            assert_eq!(masks[TIMING.look_ahead_frames * TIMING.num_bins..], [expected; 6], "{first}");
        }
    }
}
