//! Examples in, embeddings out.

use std::sync::Arc;

use underscore_dsp::{Complex32, Grid, Stft, link_rms};

use super::model::Model;
use crate::examples::{Example, WorkerExamples};
use crate::latency::ModelTiming;
use crate::query::Embedding;
use crate::query_board::{KeptExample, QueryBoard, QueryBoards};
use crate::recording::Recording;
use crate::thumbnail::Thumbnail;

/// Hops this far below the loudest one, at either end, are silence around the example.
const TRIM_DB: f32 = -50.0;

/// Hops softer than this are silence in any case: RMS, -100 dBFS.
const SILENCE_RMS: f32 = 1e-5;

/// Calls after which a model has compiled itself.
const NUM_WARM_UPS: usize = 3;

/// What an engine gives its worker to listen to.
pub struct Listener {
    pub examples: WorkerExamples,
    /// By slot.
    pub boards: Arc<QueryBoards>,
    /// Of the sidechain that is followed.
    pub followed: Arc<QueryBoard>,
    /// Of the model that listens.
    pub model_id: String,
    /// Of the host's rate, which the sidechain comes at.
    pub grid: Grid,
    /// Of the model.
    pub timing: ModelTiming,
    /// Frames of an example.
    pub num_frames: usize,
    pub embedding_size: usize,
}

impl Listener {
    /// Listens to one example, from the sidechain or from elsewhere. `false`: there was none.
    pub fn step(&mut self, model: &Model) -> bool {
        if let Some(example) = self.examples.receive() {
            let board = self.boards.get(example.place).unwrap_or(&self.followed);
            board.answer(example.ticket, self.kept(&example, model));
            self.examples.give_back(example);
            return true;
        }
        for board in self.boards.iter() {
            if let Some((ticket, recording)) = board.take_offer() {
                let unanswered = Unanswered { board, ticket };
                unanswered.answer(self.kept_of(&recording, model));
                return true;
            }
        }
        false
    }

    /// Listens to nothing in particular: a model compiles itself during its first calls, which take many times as long.
    pub fn warm_up(&self, model: &Model) {
        let spectrum = vec![0.0; self.num_frames * self.timing.num_bins * 2];
        let mut values = vec![0.0; self.embedding_size];
        for _ in 0..NUM_WARM_UPS {
            if let Err(error) = model.loaded().encode(&spectrum, &mut values) {
                tracing::warn!("no example will be listened to: {error}");
                return;
            }
        }
    }

    fn kept(&self, example: &Example, model: &Model) -> Result<KeptExample, String> {
        let found = self.heard(&example.in_order(), self.grid, model)?;
        found.ok_or_else(|| {
            if example.is_found {
                "Nothing was found in the last seconds that could be refined: ask for something that plays first."
            } else {
                "The example is silent: play into the sidechain what is to be found, then capture it."
            }
            .into()
        })
    }

    /// Of a recording the loudest part is the example, on a grid of its own rate: nothing is resampled.
    fn kept_of(&self, recording: &Recording, model: &Model) -> Result<KeptExample, String> {
        let (name, rate_hz) = (recording.name(), recording.rate_hz());
        let grid = self.timing.grid(rate_hz);
        let grid =
            grid.map_err(|_| format!("'{name}' cannot be an example: its sample rate, {rate_hz} Hz, is too odd."))?;
        let num_hops = grid.frames_reach_hops(self.num_frames);
        let found = self.heard(&recording.loudest(grid.hop_samples(), num_hops), grid, model)?;
        let found =
            found.ok_or_else(|| format!("'{name}' is silent: there is nothing in it that could be looked for."))?;
        Ok(KeptExample { name: name.to_owned(), ..found })
    }

    /// What is kept of samples `[channel][sample]`; none where they are silent.
    fn heard(&self, samples: &[Vec<f32>], grid: Grid, model: &Model) -> Result<Option<KeptExample>, String> {
        let num_bins = self.timing.num_bins;
        let Some(spectrum) = spectrum(samples, grid, num_bins, self.num_frames, self.timing.scale(grid)) else {
            return Ok(None);
        };
        let mut values = vec![0.0; self.embedding_size];
        model
            .loaded()
            .encode(&spectrum, &mut values)
            .map_err(|error| format!("The example could not be listened to: {error}"))?;
        if !values.iter().all(|value| value.is_finite()) {
            return Err("The example could not be listened to: the model gave a place that is no number.".into());
        }
        let thumbnail = Thumbnail::of(&spectrum, num_bins, (1.0 / self.timing.window_s) as f32);
        let embedding = Embedding::new(&values);
        let model_id = self.model_id.clone();
        Ok(Some(KeptExample { embedding, name: String::new(), thumbnail: Some(thumbnail), model_id }))
    }
}

/// The spectrum of an example `[channel][sample]` as a model hears it: `[frame][bin][re, im]` of `num_frames` frames, its channels
/// linked. Silence around it is left out; a short one comes round again until the frames are full, a long one is cut at its start.
/// None where there is nothing but silence.
fn spectrum(samples: &[Vec<f32>], grid: Grid, num_bins: usize, num_frames: usize, scale: f32) -> Option<Vec<f32>> {
    let hop = grid.hop_samples();
    let len = samples.iter().map(Vec::len).min()?;
    let power_of = |start: usize| {
        let end = (start + hop).min(len);
        samples.iter().flat_map(|channel| &channel[start..end]).map(|sample| sample * sample).sum::<f32>()
    };
    let powers: Vec<f32> = (0..len).step_by(hop).map(power_of).collect();
    let loudest = powers.iter().copied().fold(0.0, f32::max);
    if loudest <= (hop * samples.len()) as f32 * SILENCE_RMS * SILENCE_RMS {
        return None;
    }
    let is_heard = |power: &f32| *power > loudest * 10.0_f32.powf(TRIM_DB / 10.0);
    let first = powers.iter().position(is_heard)? * hop;
    let end = ((powers.iter().rposition(is_heard)? + 1) * hop).min(len);

    let num_hops = grid.frames_reach_hops(num_frames);
    let num_before = num_hops - num_frames;
    // The newest samples of a long example.
    let first = first.max(end.saturating_sub(num_hops * hop));
    let (mut stft, window) = (Stft::new(grid), grid.window_samples());
    let mut spectra = vec![vec![Complex32::default(); grid.num_bins()]; samples.len()];
    let mut frames = vec![0.0; num_frames * num_bins * 2];
    let round: Vec<Vec<f32>> = samples
        .iter()
        .map(|channel| channel[first..end].iter().copied().cycle().take(num_hops * hop).collect())
        .collect();
    for (frame_idx, frame) in frames.chunks_exact_mut(num_bins * 2).enumerate() {
        let frame_end = (num_before + 1 + frame_idx) * hop;
        for (channel, spectrum) in round.iter().zip(&mut spectra) {
            stft.analyse(&channel[frame_end - window..frame_end], spectrum);
        }
        link_rms(spectra.iter().map(Vec::as_slice), scale, frame);
    }
    Some(frames)
}

/// An offer that was taken off its board, which outlives the worker: where listening to it ends in a fault, nobody is to wait for it.
struct Unanswered<'a> {
    board: &'a QueryBoard,
    ticket: u64,
}

impl Unanswered<'_> {
    fn answer(self, answer: Result<KeptExample, String>) {
        self.board.answer(self.ticket, answer);
        std::mem::forget(self);
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        self.board.answer(
            self.ticket,
            Err("The file could not be listened to, by a fault of Underscore: take another.".into()),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE_HZ: f32 = 48_000.0;
    const NUM_FRAMES: usize = 20;
    const NUM_BINS: usize = 1025;

    fn grid() -> Grid {
        Grid::new(f64::from(RATE_HZ), 0.064, 0.016, 0.064).unwrap()
    }

    fn tone(hz: f32, num_samples: usize) -> Vec<f32> {
        (0..num_samples).map(|n| 0.1 * (std::f32::consts::TAU * hz * n as f32 / RATE_HZ).sin()).collect()
    }

    fn of(samples: &[Vec<f32>]) -> Option<Vec<f32>> {
        spectrum(samples, grid(), NUM_BINS, NUM_FRAMES, 2048.0 / grid().window_samples() as f32)
    }

    #[test]
    fn an_example_is_heard_without_the_silence_around_it_and_as_loud_by_any_number_of_channels() {
        // 1 kHz is bin 64 of 15.625 Hz each, and whole in every hop.
        let sound = tone(1000.0, 63 * grid().hop_samples());
        let mut padded = vec![0.0; 7_680];
        padded.extend(&sound);
        padded.resize(padded.len() + 20_000, 0.0);
        let plain = of(std::slice::from_ref(&sound)).unwrap();
        assert_eq!(plain.len(), NUM_FRAMES * NUM_BINS * 2);
        for frame in plain.chunks(NUM_BINS * 2) {
            let loudest = (0..NUM_BINS).max_by(|a, b| frame[2 * a].total_cmp(&frame[2 * b])).unwrap();
            assert_eq!(loudest, 64);
            // Of a tone, half its amplitude times half the model's window, by Hann.
            assert!((frame[128] - 0.1 / 2.0 * 1024.0).abs() < 0.5, "{}", frame[128]);
        }
        let close = |other: &[f32]| plain.iter().zip(other).all(|(a, b)| (a - b).abs() < 0.1);
        assert!(close(&of(&[padded.clone()]).unwrap()) && close(&of(&[padded.clone(), padded]).unwrap()));
    }

    #[test]
    fn a_recording_of_another_rate_is_heard_like_one_of_the_host_s() {
        let at_44_1_khz = Grid::new(44_100.0, 0.064, 0.016, 0.064).unwrap();
        let tone: Vec<f32> =
            (0..60_000).map(|n| 0.1 * (std::f32::consts::TAU * 1000.0 * n as f32 / 44_100.0).sin()).collect();
        let scale = 2048.0 / at_44_1_khz.window_samples() as f32;
        let heard = spectrum(&[tone], at_44_1_khz, NUM_BINS, NUM_FRAMES, scale).unwrap();
        let expected = of(&[super::tests::tone(1000.0, 60_000)]).unwrap();
        let largest = heard.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        println!("largest difference {largest:.3} of {:.3}", expected[128]);
        // The tone's phase is another one.
        assert!(largest < 0.01 * expected[128]);
    }

    #[test]
    fn nobody_waits_for_a_file_that_could_not_be_listened_to_by_a_fault() {
        let board = QueryBoard::default();
        board.offer(Recording::new("hum".into(), vec![vec![0.5; 100]], 48_000.0));
        let (ticket, _) = board.take_offer().expect("an offer");
        assert!(board.has_offer());
        let fault = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _unanswered = Unanswered { board: &board, ticket };
            panic!("a fault");
        }));
        assert!(fault.is_err() && !board.has_offer());
        assert!(board.refusal().is_some_and(|why| why.contains("fault")));
    }

    #[test]
    fn a_short_example_comes_round_again() {
        let short = of(&[tone(1000.0, 2_400)]).unwrap();
        assert!(short.chunks(NUM_BINS * 2).all(|frame| frame[128] > 50.0));
    }

    #[test]
    fn silence_is_no_example() {
        for silence in [vec![], vec![vec![]], vec![vec![0.0; 48_000]; 2], vec![vec![1e-7; 4_800]]] {
            assert_eq!(of(&silence), None);
        }
    }
}
