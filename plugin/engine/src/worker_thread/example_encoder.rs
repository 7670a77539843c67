//! Makes embeddings of examples.

use underscore_dsp::{Complex32, Grid, Stft, link_rms};

use super::model::{Model, NUM_WARM_UPS};
use super::spectra::limiting_gain;
use crate::examples::{Example, WorkerExamples};
use crate::latency::ModelTiming;
use crate::loudness::{SILENCE_POWER, power};
use crate::query::Embedding;
use crate::query_board::{Boards, KeptExample, QueryBoard, Reading, Recipient};
use crate::recording::Recording;
use crate::thumbnail::Thumbnail;

/// Hops count as no louder than full scale: beside one burst of a filter that blew up, all else would be silence.
const MAX_POWER: f64 = 1.0;

/// Hops this far below the loudest one, at either end, are silence around the example.
const TRIM_DB: f64 = -50.0;

/// What is this far below what was last heard of a sidechain that is followed is what is left of it where it pauses.
const PAUSE_DB: f64 = -40.0;

/// What an engine gives its worker to encode examples with.
pub struct ExampleEncoder {
    pub examples: WorkerExamples,
    pub boards: Boards,
    /// Power of the loudest hop of the example of the sidechain that is followed.
    pub followed_power: f64,
    /// Id of the model that encodes.
    pub model_id: String,
    /// Grid at the host's rate, which the sidechain comes at.
    pub grid: Grid,
    /// Timing of the model.
    pub timing: ModelTiming,
    /// Frames of an example.
    pub num_frames: usize,
    pub embedding_size: usize,
}

impl ExampleEncoder {
    /// Whether an example waits to be encoded.
    pub fn is_one_waiting(&self) -> bool {
        self.examples.is_one_waiting() || self.boards.slots.iter().any(QueryBoard::has_offer)
    }

    /// Encodes one example, from the sidechain or from a file. Returns `false` where there was none.
    pub fn step(&mut self, model: &Model) -> bool {
        if let Some(example) = self.examples.receive() {
            let answer = self.kept(&example, model);
            self.boards.of(example.recipient).answer(example.ticket, answer);
            self.examples.give_back(example);
            return true;
        }
        for board in self.boards.slots.iter() {
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

    fn kept(&mut self, example: &Example, model: &Model) -> Result<KeptExample, String> {
        let is_followed = example.recipient == Recipient::Followed;
        let softest = if is_followed { self.softest_followed() } else { SILENCE_POWER };
        let samples = example.in_order();
        let samples = Trimmed::of(&samples, self.grid.hop_samples(), softest);
        let power = samples.as_ref().map(|samples| samples.power);
        let found = self.heard(samples, self.grid, model)?;
        if let Some(power) = power.filter(|_| is_followed) {
            self.followed_power = power;
        }
        found.ok_or_else(|| {
            if example.is_from_target {
                "Nothing was found in the last seconds that could be refined: ask for something that plays first."
            } else {
                "The example is silent: play into the sidechain what is to be found, then capture it."
            }
            .into()
        })
    }

    /// Power at which a sidechain that is followed is silent, or pauses.
    fn softest_followed(&self) -> f64 {
        let is_heard = !matches!(self.boards.followed.read(), Reading::Empty);
        let pause = if is_heard { self.followed_power * decibels(PAUSE_DB) } else { 0.0 };
        SILENCE_POWER.max(pause)
    }

    /// Of a recording the loudest part is the example, on a grid of its own rate: nothing is resampled.
    fn kept_of(&self, recording: &Recording, model: &Model) -> Result<KeptExample, String> {
        let (name, rate_hz) = (recording.name(), recording.rate_hz());
        let grid = self.timing.grid(rate_hz);
        let grid =
            grid.map_err(|_| format!("'{name}' cannot be an example: its sample rate, {rate_hz} Hz, is too odd."))?;
        let num_hops = grid.frames_reach_hops(self.num_frames);
        let loudest = recording.loudest(grid.hop_samples(), num_hops);
        let found = self.heard(Trimmed::of(&loudest, grid.hop_samples(), SILENCE_POWER), grid, model)?;
        let found =
            found.ok_or_else(|| format!("'{name}' is silent: there is nothing in it that could be looked for."))?;
        Ok(KeptExample { name: name.to_owned(), ..found })
    }

    /// What is kept of an example; none where it is silent.
    fn heard(&self, samples: Option<Trimmed<'_>>, grid: Grid, model: &Model) -> Result<Option<KeptExample>, String> {
        let Some(samples) = samples else { return Ok(None) };
        let num_bins = self.timing.num_bins;
        let spectrum = spectrum(&samples.channels, grid, num_bins, self.num_frames, self.timing.scale(grid));
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

fn decibels(db: f64) -> f64 {
    10.0_f64.powf(db / 10.0)
}

/// An example without the silence around it.
struct Trimmed<'a> {
    /// `[channel][sample]`, all of one length, which is not 0.
    channels: Vec<&'a [f32]>,
    /// Of its loudest hop.
    power: f64,
}

impl<'a> Trimmed<'a> {
    /// Of samples `[channel][sample]`; none where no hop is louder than `softest`, a power.
    fn of(samples: &'a [Vec<f32>], hop: usize, softest: f64) -> Option<Self> {
        let len = samples.iter().map(Vec::len).min()?;
        let power_of = |start: usize| {
            let end = (start + hop).min(len);
            // The last one may be shorter: beside a whole one it is as loud as what is in it.
            let whole = power(samples.iter().map(|channel| &channel[start..end])) * (end - start) as f64 / hop as f64;
            whole.min(MAX_POWER)
        };
        let powers: Vec<f64> = (0..len).step_by(hop).map(power_of).collect();
        let loudest = powers.iter().copied().fold(0.0, f64::max);
        if loudest <= softest {
            return None;
        }
        let is_heard = |power: &f64| *power > loudest * decibels(TRIM_DB);
        let first = powers.iter().position(is_heard)? * hop;
        let end = ((powers.iter().rposition(is_heard)? + 1) * hop).min(len);
        Some(Self { channels: samples.iter().map(|channel| &channel[first..end]).collect(), power: loudest })
    }
}

/// The spectrum of an example `[channel][sample]` as a model hears it: `[frame][bin][re, im]` of `num_frames` frames, its channels
/// linked. A short one comes round again until the frames are full, a long one is cut at its start.
fn spectrum(samples: &[&[f32]], grid: Grid, num_bins: usize, num_frames: usize, scale: f32) -> Vec<f32> {
    let (hop, end) = (grid.hop_samples(), samples.iter().map(|channel| channel.len()).min().unwrap_or(0));
    let num_hops = grid.frames_reach_hops(num_frames);
    let num_before = num_hops - num_frames;
    // The newest samples of a long example.
    let first = end.saturating_sub(num_hops * hop);
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
        let samples = round.iter().flat_map(|channel| &channel[frame_end - window..frame_end]);
        link_rms(spectra.iter().map(Vec::as_slice), scale * limiting_gain(samples), frame);
    }
    frames
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
    use crate::worker_thread::spectra::MAX_MODEL_PEAK;

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
        heard(samples, grid())
    }

    fn heard(samples: &[Vec<f32>], grid: Grid) -> Option<Vec<f32>> {
        let samples = Trimmed::of(samples, grid.hop_samples(), SILENCE_POWER)?;
        Some(spectrum(&samples.channels, grid, NUM_BINS, NUM_FRAMES, 2048.0 / grid.window_samples() as f32))
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
        let heard = heard(&[tone], at_44_1_khz).unwrap();
        let expected = of(&[super::tests::tone(1000.0, 60_000)]).unwrap();
        let largest = heard.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        println!("largest difference {largest:.3} of {:.3}", expected[128]);
        // The tone's phase is another one.
        assert!(largest < 0.01 * expected[128]);
    }

    #[test]
    fn beside_a_burst_of_a_filter_that_blew_up_the_rest_of_an_example_is_no_silence() {
        let mut sound = tone(1000.0, 63 * grid().hop_samples());
        // Among the newest samples, which are all that there are frames for.
        let burst_at = sound.len() - 10 * grid().hop_samples();
        sound[burst_at..burst_at + 100].fill(1000.0);
        let frames = of(&[sound]).unwrap();
        let is_the_tone =
            |frame: &&[f32]| (0..NUM_BINS).max_by(|a, b| frame[2 * a].total_cmp(&frame[2 * b])) == Some(64);
        let num_of_tone = frames.chunks(NUM_BINS * 2).filter(is_the_tone).count();
        assert!(num_of_tone + 5 >= NUM_FRAMES, "{num_of_tone} of {NUM_FRAMES}");
        let loudest = frames.iter().fold(0.0_f32, |loudest, value| loudest.max(value.abs()));
        assert!(loudest < MAX_MODEL_PEAK * 1024.0, "{loudest}, where a sine of full scale has 512");
        let power = |samples: Vec<f32>| Trimmed::of(&[samples], 100, SILENCE_POWER).map(|trimmed| trimmed.power);
        assert_eq!(power(vec![[1000.0, -1000.0]; 500].concat()), Some(MAX_POWER));
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
        // Dither of 16 bits, and an offset that something is on without being heard.
        let dither: Vec<f32> = (0..48_000).map(|n| [0.0, 1.0, 0.0, -1.0, 1.0][n % 5] / 32_768.0).collect();
        let offset = dither.iter().map(|sample| 0.2 + sample).collect();
        for silence in
            [vec![], vec![vec![]], vec![vec![0.0; 48_000]; 2], vec![vec![1e-7; 4_800]], vec![dither], vec![offset]]
        {
            assert_eq!(of(&silence), None);
        }
    }

    #[test]
    fn a_soft_example_is_heard_like_a_loud_one() {
        let loud = [vec![0.0; 4_000], tone(1000.0, 20_000), vec![0.0; 9_000]].concat();
        let soft: Vec<f32> = loud.iter().map(|sample| 0.01 * sample).collect();
        let (loud, soft) = (of(&[loud]).unwrap(), of(&[soft]).unwrap());
        assert!(loud.iter().zip(&soft).all(|(a, b)| (a - 100.0 * b).abs() < 0.01));
    }
}
