//! The outputs of a render on their way into files: in memory are only the seconds that a thread has not written yet.

use super::audio_file::{self, Writer};
use super::sought::Sought;
use crate::files::{self, Part};
use anyhow::{Context, Result, anyhow};
use host_tests::{Buses, HostError, Port, Recorder};
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Buses that are written even where they are silent, unless the model is asked; others only when they carry something.
const STEMS: [&str; 2] = ["Music", "Dialogue"];

/// Buses of a model that is asked, which are written in their place.
const ASKED: [&str; 2] = ["Target", "Residual"];

/// Samples that are handed over at once, and how many such chunks there are: the disk may keep a render at the pace of the clock waiting
/// for five seconds at 48 kHz.
const CHUNK_SAMPLES: usize = 8192;
const NUM_CHUNKS: usize = 32;

/// Samples of all channels of all buses, `[sample][channel]`.
type Chunk = Vec<f32>;

/// The file of each bus, in their order.
pub fn file_names(outputs: &[Port]) -> Vec<String> {
    let mut taken = BTreeSet::new();
    let names = outputs.iter().map(|port| {
        let in_words = || port.name.to_lowercase().replace(|c: char| !c.is_alphanumeric(), "-");
        let mut name = if port.is_main { "main".to_owned() } else { in_words() };
        while !taken.insert(name.clone()) {
            name.push_str("-2");
        }
        name + ".wav"
    });
    names.collect()
}

/// Writes the outputs of a render, without their latency, beside the files that they are to become.
#[derive(Debug)]
pub struct StemFiles {
    tracks: Vec<Track>,
    sought: Option<Sought>,
    to_writer: Option<ToWriter>,
}

/// The audio thread's end of the queues.
#[derive(Debug)]
struct ToWriter {
    filling: Chunk,
    full: SyncSender<Chunk>,
    empty: Receiver<Chunk>,
    thread: JoinHandle<Result<Written>>,
}

/// What became of one bus.
#[derive(Debug)]
struct Track {
    bus: String,
    is_main: bool,
    /// Where its channels lie in a chunk's sample.
    channels: Range<usize>,
    /// Those of them that are written.
    num_written: usize,
    destination: PathBuf,
    rate_hz: u32,
    /// In all.
    num_samples: usize,
    /// So far, as long as there is no file: it begins with the first sample that is not zero.
    num_silent: usize,
    file: Option<OpenFile>,
}

struct OpenFile {
    writer: Writer,
    part: Part,
}

impl std::fmt::Debug for OpenFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.part.fmt(f)
    }
}

/// All that was written.
#[derive(Debug)]
pub struct Written {
    tracks: Vec<Track>,
    /// Sum of the stems where the piece that is sought should be; of a plugin without stems, the main output.
    pub heard: Vec<f32>,
}

impl StemFiles {
    /// For a plugin with these outputs, into `folder`. Of each bus `num_channels` are written, if it has as many: stem buses are stereo
    /// with a mono input, too, and then both channels are the same.
    pub fn new(folder: &Path, outputs: &[Port], num_channels: usize, rate_hz: u32, sought: Option<Sought>) -> Self {
        let mut first = 0;
        let tracks = outputs.iter().zip(file_names(outputs)).map(|(port, name)| {
            let channels = first..first + port.num_channels;
            first = channels.end;
            Track {
                bus: port.name.clone(),
                is_main: port.is_main,
                num_written: channels.len().min(num_channels),
                channels,
                destination: folder.join(name),
                rate_hz,
                num_samples: 0,
                num_silent: 0,
                file: None,
            }
        });
        Self { tracks: tracks.collect(), sought, to_writer: None }
    }

    /// Waits until all that was recorded is written.
    pub fn finish(mut self) -> Result<Written> {
        let ToWriter { filling, full, thread, .. } = self.to_writer.take().context("nothing was rendered")?;
        // Where this fails the thread has ended, and says why.
        let _ = full.send(filling);
        drop(full);
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Why the writing thread ended before its time.
    fn failure(&mut self) -> HostError {
        let thread = self.to_writer.take().map(|to_writer| to_writer.thread);
        let ended = thread.map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        let error = ended.and_then(Result::err).unwrap_or_else(|| anyhow!("nothing writes them"));
        HostError::Recorder(error.into())
    }
}

impl Drop for StemFiles {
    /// A render that ended before its time: waits until its parts are removed.
    fn drop(&mut self) {
        if let Some(ToWriter { full, thread, .. }) = self.to_writer.take() {
            drop(full);
            let _ = thread.join();
        }
    }
}

impl Recorder for StemFiles {
    fn begin(&mut self, outputs: &Buses, num_samples: usize, latency_samples: usize) -> Result<(), HostError> {
        let num_channels = outputs.num_channels();
        let (full, to_write) = sync_channel::<Chunk>(NUM_CHUNKS);
        let (written, empty) = sync_channel::<Chunk>(NUM_CHUNKS);
        for _ in 0..NUM_CHUNKS {
            // Written to once: the audio thread should not be the one that the system gives the pages to.
            let mut chunk = std::hint::black_box(vec![1.0; CHUNK_SAMPLES * num_channels]);
            chunk.clear();
            written.send(chunk).map_err(|error| HostError::Recorder(error.into()))?;
        }
        let mut tracks = std::mem::take(&mut self.tracks);
        for track in &mut tracks {
            track.num_samples = num_samples - latency_samples;
        }
        // Whole files that could not take their names lie there until there is something to write in their stead; of buses that may stay
        // silent this time, too.
        let mut parts = tracks.iter().map(|track| files::remove_part(&track.destination));
        parts.try_for_each(|removed| removed.map(drop)).map_err(|error| HostError::Recorder(error.into()))?;
        // The main output is written in any case: that the disk or the format cannot take it shows before the first block.
        let main = tracks.iter_mut().find(|track| track.is_main);
        main.map_or(Ok(()), Track::open).map_err(|error| HostError::Recorder(error.into()))?;
        let sought = self.sought.take().map(|sought| {
            let end = sought.piece.end + sought.most_delay_samples(latency_samples);
            (sought.channel_idx, sought.piece.start..end)
        });
        let thread = std::thread::spawn(move || {
            let mut position = 0;
            let mut heard = Vec::new();
            for mut chunk in to_write {
                for sample in chunk.chunks_exact(num_channels) {
                    if let Some((channel_idx, range)) = &sought
                        && range.contains(&position)
                    {
                        heard.push(sum_of_stems(&tracks, sample, *channel_idx));
                    }
                    if position >= latency_samples {
                        tracks.iter_mut().try_for_each(|track| track.write(sample))?;
                    }
                    position += 1;
                }
                chunk.clear();
                // The render may have ended meanwhile.
                let _ = written.send(chunk);
            }
            Ok(Written { tracks, heard })
        });
        let filling = empty.recv().map_err(|error| HostError::Recorder(error.into()))?;
        self.to_writer = Some(ToWriter { filling, full, empty, thread });
        Ok(())
    }

    fn record(&mut self, outputs: &Buses, num_samples: usize) -> Result<(), HostError> {
        let num_channels = outputs.num_channels();
        for sample_idx in 0..num_samples {
            let Some(to_writer) = &mut self.to_writer else { return Err(self.failure()) };
            if to_writer.filling.len() == CHUNK_SAMPLES * num_channels {
                let full = std::mem::take(&mut to_writer.filling);
                let next = to_writer.full.send(full).ok().and_then(|()| to_writer.empty.recv().ok());
                let Some(next) = next else { return Err(self.failure()) };
                to_writer.filling = next;
            }
            for bus in outputs.iter() {
                for channel_idx in 0..bus.num_channels() {
                    to_writer.filling.push(bus.channel(channel_idx)[sample_idx]);
                }
            }
        }
        Ok(())
    }
}

/// Of one channel, in double precision.
fn sum_of_stems(tracks: &[Track], sample: &[f32], channel_idx: usize) -> f32 {
    let value = |track: &Track| track.channels.clone().nth(channel_idx).map_or(0.0, |at| f64::from(sample[at]));
    let has_stems = tracks.iter().any(|track| !track.is_main);
    tracks.iter().filter(|track| track.is_main != has_stems).map(value).sum::<f64>() as f32
}

impl Track {
    /// The next sample, out of one of a chunk.
    fn write(&mut self, sample: &[f32]) -> Result<()> {
        let values = &sample[self.channels.clone()][..self.num_written];
        if self.file.is_none() {
            if values.iter().all(|value| *value == 0.0) {
                self.num_silent += 1;
                return Ok(());
            }
            self.open()?;
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        for value in values {
            file.writer.write_sample(*value).with_context(|| format!("cannot write {}", file.part.path().display()))?;
        }
        Ok(())
    }

    /// Begins the file, with the silence so far.
    fn open(&mut self) -> Result<()> {
        let part = Part::of(&self.destination)?;
        let fail = || format!("cannot write {}", part.path().display());
        let file = part.file().try_clone().with_context(fail)?;
        let mut writer =
            audio_file::begin(file, self.num_written, self.num_samples, self.rate_hz).with_context(fail)?;
        for _ in 0..self.num_silent * self.num_written {
            writer.write_sample(0.0_f32).with_context(fail)?;
        }
        self.file = Some(OpenFile { writer, part });
        Ok(())
    }

    fn is_of(&self, buses: &[&str]) -> bool {
        buses.contains(&self.bus.as_str())
    }
}

impl Written {
    /// Whether something plays that only a model that is asked finds.
    pub fn seems_asked(&self) -> bool {
        self.tracks.iter().any(|track| track.is_of(&ASKED) && track.file.is_some())
    }

    /// The files that are kept, whole, under the names that they have until they are published; the others are removed.
    pub fn into_parts(self, is_query_model: bool) -> Result<Vec<Part>> {
        let expected = if is_query_model { ASKED } else { STEMS };
        let mut parts = Vec::new();
        for mut track in self.tracks {
            if track.file.is_none() && (track.is_main || track.is_of(&expected)) {
                track.open()?;
            }
            let Some(OpenFile { writer, part }) = track.file else { continue };
            writer.finalize().with_context(|| format!("cannot write {}", part.path().display()))?;
            parts.push(part);
        }
        Ok(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use host_tests::signals::noise;

    const LATENCY_SAMPLES: usize = 100;
    const RATE_HZ: u32 = 48_000;

    fn outputs() -> Vec<Port> {
        let names = ["Output", "Music", "Dialogue", "Target", "Residual", "Odd/One"];
        let port = |(id, name): (u32, &str)| Port { id, name: name.into(), num_channels: 2, is_main: id == 0 };
        (0..).zip(names).map(port).collect()
    }

    fn files_in(folder: &Path) -> Vec<String> {
        let files = crate::files::list(folder, |_| true).unwrap();
        files.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
    }

    /// Plays signals, `[channel][sample]`, from the buses in blocks; the rest is silent.
    fn play(files: &mut StemFiles, played: &[(usize, &[Vec<f32>])], block_samples: usize) -> Result<(), HostError> {
        let num_samples = played[0].1[0].len();
        let mut buses = Buses::new(&outputs(), block_samples);
        files.begin(&buses, num_samples, LATENCY_SAMPLES)?;
        for position in (0..num_samples).step_by(block_samples) {
            let block = block_samples.min(num_samples - position);
            for (bus_idx, signal) in played {
                let bus = buses.iter_mut().nth(*bus_idx).unwrap();
                for (channel_idx, channel) in signal.iter().enumerate() {
                    bus.channel_mut(channel_idx)[..block].copy_from_slice(&channel[position..position + block]);
                }
            }
            files.record(&buses, block)?;
        }
        Ok(())
    }

    fn from(signal: &[Vec<f32>], start: usize) -> Vec<Vec<f32>> {
        signal.iter().map(|channel| channel[start..].to_vec()).collect()
    }

    #[test]
    fn files_hold_what_was_played_without_the_latency_to_the_bit_in_blocks_of_any_size() {
        let (main, mut music) = (noise(2, 20_000, 0.5, 1), noise(2, 20_000, 0.5, 2));
        // What is silent for a while is not shorter for it.
        for channel in &mut music {
            channel[..9_000].fill(0.0);
        }
        for (num_channels, block_samples) in [(2, 1), (2, 512), (1, 480), (2, 20_000)] {
            let folder = tempfile::tempdir().unwrap();
            let sought = Some(Sought { channel_idx: 0, piece: 9_000..10_000, margin_samples: 50 });
            let mut files = StemFiles::new(folder.path(), &outputs(), num_channels, RATE_HZ, sought);
            play(&mut files, &[(0, &main), (1, &music)], block_samples).unwrap();
            let written = files.finish().unwrap();
            assert!(!written.seems_asked());
            assert_eq!(written.heard, music[0][9_000..10_000 + 2 * LATENCY_SAMPLES + 50]);
            written.into_parts(false).unwrap().iter_mut().try_for_each(Part::finish).unwrap();
            assert_eq!(files_in(folder.path()), ["dialogue.wav", "main.wav", "music.wav"]);
            let silence = vec![vec![0.0; 20_000]; 2];
            for (name, signal) in [("main.wav", &main), ("music.wav", &music), ("dialogue.wav", &silence)] {
                let audio = audio_file::read(&folder.path().join(name)).unwrap();
                let expected = from(signal, LATENCY_SAMPLES);
                assert!(audio.channels[..] == expected[..num_channels], "{name} in blocks of {block_samples}");
                assert_eq!(audio.rate_hz, RATE_HZ);
            }
        }
    }

    #[test]
    fn of_a_model_that_is_asked_target_and_residual_are_written_and_others_that_sound() {
        let signal = noise(2, 3_000, 0.5, 1);
        let silence = vec![vec![0.0; 3_000]; 2];
        for (played, is_query_model, expected) in [
            (vec![(3, &signal[..])], true, vec!["main.wav", "residual.wav", "target.wav"]),
            (vec![(4, &signal[..]), (1, &signal)], true, vec!["main.wav", "music.wav", "residual.wav", "target.wav"]),
            (vec![(5, &signal[..])], false, vec!["dialogue.wav", "main.wav", "music.wav", "odd-one.wav"]),
            (vec![(0, &silence[..])], true, vec!["main.wav", "residual.wav", "target.wav"]),
            (vec![(0, &silence[..])], false, vec!["dialogue.wav", "main.wav", "music.wav"]),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let mut files = StemFiles::new(folder.path(), &outputs(), 2, RATE_HZ, None);
            play(&mut files, &played, 512).unwrap();
            let written = files.finish().unwrap();
            let sounds = played[0].1[0][0] != 0.0;
            assert_eq!(written.seems_asked(), is_query_model && sounds);
            written.into_parts(is_query_model).unwrap().iter_mut().try_for_each(Part::finish).unwrap();
            assert_eq!(files_in(folder.path()), expected);
        }
    }

    #[test]
    fn all_but_the_last_seconds_is_on_the_disk_and_a_render_that_ends_early_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let signal = noise(2, 3 * NUM_CHUNKS * CHUNK_SAMPLES, 0.5, 1);
        let mut files = StemFiles::new(folder.path(), &outputs(), 2, RATE_HZ, None);
        play(&mut files, &[(0, &signal), (1, &signal)], 4096).unwrap();
        assert_eq!(files_in(folder.path()), ["main.wav.part", "music.wav.part"]);
        for name in files_in(folder.path()) {
            let num_bytes = folder.path().join(name).metadata().unwrap().len() as usize;
            assert!(num_bytes > (2 * NUM_CHUNKS - 2) * CHUNK_SAMPLES * 2 * 4, "{num_bytes} bytes");
        }
        drop(files);
        assert_eq!(files_in(folder.path()), [""; 0]);
    }

    #[test]
    fn what_an_earlier_render_left_beside_its_place_is_removed_when_this_one_begins_and_not_before() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["main.wav.part", "music.wav.part", "others.wav.part"] {
            std::fs::write(folder.path().join(name), "earlier").unwrap();
        }
        let silence = vec![vec![0.0; 3_000]; 2];
        let mut files = StemFiles::new(folder.path(), &outputs(), 2, RATE_HZ, None);
        assert_eq!(files_in(folder.path()), ["main.wav.part", "music.wav.part", "others.wav.part"]);
        play(&mut files, &[(0, &silence)], 512).unwrap();
        assert_eq!(files_in(folder.path()), ["main.wav.part", "others.wav.part"]);
        drop(files);
        assert_eq!(files_in(folder.path()), ["others.wav.part"]);
    }

    #[test]
    fn what_cannot_be_written_ends_the_render_and_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let in_the_way = |name: &str| -> PathBuf {
            let path = folder.path().join(name);
            std::fs::create_dir(&path).unwrap();
            path
        };
        let signal = noise(2, 2 * NUM_CHUNKS * CHUNK_SAMPLES, 0.5, 1);
        for name in ["music.wav.part", "main.wav.part"] {
            let path = in_the_way(name);
            let mut files = StemFiles::new(folder.path(), &outputs(), 2, RATE_HZ, None);
            let error = play(&mut files, &[(0, &signal), (1, &signal)], 4096).unwrap_err();
            let error = format!("{:#}", anyhow::Error::from(error));
            assert!(error.contains("cannot be kept: cannot write") && error.contains(name), "{error}");
            drop(files);
            std::fs::remove_dir(path).unwrap();
            assert_eq!(files_in(folder.path()), [""; 0]);
        }
    }

    #[test]
    fn buses_of_one_name_have_files_of_their_own() {
        let port = |id| Port { id, name: "Out".into(), num_channels: 2, is_main: false };
        assert_eq!(file_names(&[port(0), port(1), port(2)]), ["out.wav", "out-2.wav", "out-2-2.wav"]);
        let expected = ["main.wav", "music.wav", "dialogue.wav", "target.wav", "residual.wav", "odd-one.wav"];
        assert_eq!(file_names(&outputs()), expected);
    }
}
