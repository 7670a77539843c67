//! What a render came to.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize, Serializer};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// `report.json`. The first eleven fields are a promise; the others may grow.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Id of the model in use.
    pub model: String,
    /// Where it ran.
    pub device: String,
    /// Sample rate of the host and of the files written.
    pub host_rate: u32,
    /// Samples per block.
    pub block: usize,
    /// Latency that the plugin reported to the host.
    pub latency_samples_reported: usize,
    /// Where the cross-correlation of the summed stems with the input peaks; none for a silent input.
    pub latency_samples_measured: Option<usize>,
    /// Frames whose mask came after its deadline.
    pub late_frames: u64,
    /// Frames with sound that no mask could be had for: a call failed, or there was no model for a while.
    pub unmasked_frames: u64,
    /// Frames processed.
    pub frames: u64,
    /// Time in the model per time of audio.
    pub rtf: f64,
    /// Longest `process`; in an offline render it holds the wait for masks.
    pub max_process_us: f64,
    /// Time to open the library and load the model; 0 when another render of this run had loaded it.
    pub load_ms: f64,
    /// 99.9 % of the blocks were processed in less.
    pub process_us_p999: f64,
    /// The same by the thread's own processor time.
    pub process_cpu_us_p999: f64,
    /// Wall time of the render per time of audio.
    pub render_rtf: f64,
    /// Whether the blocks were paced by the clock.
    pub realtime: bool,
    /// Whether the audio thread had real-time priority.
    pub realtime_priority: bool,
    /// Resident memory at the end.
    pub rss_mb: Option<f64>,
    /// Allocations seen in `process`, over the whole run.
    pub alloc_violations: u64,
    /// State of the plugin at the end.
    pub state: String,
    /// What the plugin says is missing.
    pub message: String,
    /// What was set, by the params' names, as the plugin shows it.
    pub params: BTreeMap<String, String>,
    /// What was played into the sidechain.
    #[serde(serialize_with = "shown")]
    pub sidechain: Option<PathBuf>,
    /// Names of the audio files beside this report: the next render to the same folder removes them.
    pub files: Vec<String>,
}

/// A path of bytes that are no text has a name all the same.
#[expect(clippy::ref_option, reason = "serde's signature")]
fn shown<S: Serializer>(path: &Option<PathBuf>, to: S) -> Result<S::Ok, S::Error> {
    path.as_ref().map(|path| path.display().to_string()).serialize(to)
}

/// As much of a report as tells how much of the render was separated. What an older report does not say was as it should be.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub struct Separation {
    state: String,
    late_frames: u64,
    unmasked_frames: u64,
    realtime: bool,
}

impl Default for Separation {
    fn default() -> Self {
        Self { state: RUNNING.into(), late_frames: 0, unmasked_frames: 0, realtime: false }
    }
}

impl Separation {
    /// Frames that were not separated, of which every stem has an equal share; [`u64::MAX`] where nothing was. At the pace of the clock
    /// late ones do not count: they are what a machine came to.
    pub fn num_dry_frames(&self) -> u64 {
        if self.state == RUNNING {
            self.unmasked_frames + if self.realtime { 0 } else { self.late_frames }
        } else {
            u64::MAX
        }
    }
}

/// The state of a plugin that separates.
const RUNNING: &str = "running";

impl Report {
    /// How much was separated.
    pub fn separation(&self) -> Separation {
        Separation {
            state: self.state.clone(),
            late_frames: self.late_frames,
            unmasked_frames: self.unmasked_frames,
            realtime: self.realtime,
        }
    }

    /// An error where the plugin passed the sound unchanged: whoever renders a folder overnight looks at the exit status.
    pub fn require_separated(&self) -> Result<()> {
        ensure!(
            self.state == RUNNING,
            "nothing was separated, every stem is an equal share of the input: {}",
            self.message
        );
        let num_dry = self.separation().num_dry_frames();
        ensure!(
            num_dry == 0,
            "{num_dry} of {} frames were not separated, and every stem has an equal share of them: the model failed or hung for a while, \
             or was not there any more. Render it again",
            self.frames
        );
        Ok(())
    }

    /// One line for people.
    pub fn summary(&self) -> String {
        let measured = self.latency_samples_measured.map_or_else(|| "silent".to_owned(), |m| m.to_string());
        let mut line = format!(
            "{} on {}, {} Hz / {}: latency {} reported, {measured} measured; {} of {} frames late; RTF {:.3}; process up to \
             {:.0} us; load {:.0} ms",
            self.model,
            if self.device.is_empty() { "no device" } else { &self.device },
            self.host_rate,
            self.block,
            self.latency_samples_reported,
            self.late_frames,
            self.frames,
            self.rtf,
            self.max_process_us,
            self.load_ms,
        );
        if !self.message.is_empty() {
            line.push_str("; ");
            line.push_str(&self.message);
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_render_that_separated_nothing_is_an_error_with_the_reason() {
        let report =
            |state: &str, message: &str| Report { state: state.into(), message: message.into(), ..Report::default() };
        assert!(report("running", "").require_separated().is_ok());
        for state in ["unavailable", "loading"] {
            let error = report(state, "libtorch is missing").require_separated().unwrap_err().to_string();
            assert!(error.contains("nothing was separated") && error.contains("libtorch is missing"), "{error}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_sidechain_whose_name_is_no_text_does_not_lose_a_render_at_its_end() {
        use std::os::unix::ffi::OsStrExt;
        let sidechain = Some(PathBuf::from(std::ffi::OsStr::from_bytes(b"caf\xe9.wav")));
        let written = serde_json::to_string(&Report { sidechain, ..Report::default() }).unwrap();
        assert!(written.contains("\"caf\u{fffd}.wav\""), "{written}");
        assert!(serde_json::to_string(&Report::default()).unwrap().contains("\"sidechain\":null"));
    }

    #[test]
    fn a_render_of_which_a_part_was_not_separated_is_an_error_and_one_in_real_time_may_have_late_frames() {
        let report = |realtime: bool, late_frames: u64, unmasked_frames: u64| Report {
            state: "running".into(),
            frames: 100,
            realtime,
            late_frames,
            unmasked_frames,
            ..Report::default()
        };
        assert!(report(false, 0, 0).require_separated().is_ok() && report(true, 3, 0).require_separated().is_ok());
        for dry in [report(false, 3, 0), report(false, 0, 3), report(true, 0, 3)] {
            let error = dry.require_separated().unwrap_err().to_string();
            assert!(error.starts_with("3 of 100 frames were not separated"), "{error}");
        }
    }
}
