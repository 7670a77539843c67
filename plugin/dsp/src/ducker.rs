//! A ducker: how much softer one sound is to be while another one, the key, is heard.
//!
//! Once a millisecond the key's level says whether it is heard, through a knee of 6 dB around the threshold. While it is, the gain goes
//! down to the depth within the attack, and not further, however loud the key; from the hold's end on it comes back within the release. Both ways
//! are even in decibels but for soft ends. What it does depends on the samples passed and on nothing else: not on block sizes.

use crate::control::ControlBuffer;
use crate::ramp::{Ramp, s_curve};

/// Time between two looks at the key, seconds.
const STEP_S: f64 = 0.001;

/// The key's power is averaged over about so long, seconds: longer than a period of a deep voice (80 Hz).
const LEVEL_TIME_S: f64 = 0.015;

/// A depth that is changed is there after about so long, seconds.
const DEPTH_TIME_S: f64 = 0.050;

/// Closer than this, dB, a depth is there.
const SETTLED_DB: f32 = 0.01;

/// What a [`Ducker`] does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DuckerSettings {
    /// How far the gain goes down, dB, 0 and up; at 0 nothing is done.
    pub depth_db: f32,
    /// At this level of the key the gain goes down by half of the depth, dBFS of its root mean square (a full-scale sine has -3).
    pub threshold_db: f32,
    /// From unity down to the depth, seconds.
    pub attack_s: f32,
    /// How long the key may be away before the gain comes back, seconds.
    pub hold_s: f32,
    /// From the depth back to unity, seconds.
    pub release_s: f32,
}

impl DuckerSettings {
    /// Nothing is ducked.
    pub const OFF: Self = Self { depth_db: 0.0, threshold_db: 0.0, attack_s: 0.0, hold_s: 0.0, release_s: 0.0 };
}

/// The gain of what is ducked, sample by sample.
#[derive(Debug, Clone)]
pub struct Ducker {
    settings: DuckerSettings,
    step_samples: usize,
    step_s: f32,
    /// Shares of the way per step.
    level_share: f32,
    depth_share: f32,

    /// Samples of the current step up to now, and the sum of their power.
    num_samples: usize,
    sum: f32,
    /// The key's power, averaged.
    power: f32,
    /// How far down it is, 0..=1 of the depth.
    down: f32,
    /// What is left of the hold, seconds.
    hold_s: f32,
    depth_db: f32,
    gain: Ramp,
    /// Nothing is to be done, and nothing is left of what was: the key is not looked at. Steps are counted all the same, and it only begins
    /// where one ends, so that blocks have no say in it.
    is_idle: bool,
}

impl Ducker {
    /// From nothing to all of the depth, dB of the key's level, with the threshold in the middle.
    pub const KNEE_DB: f32 = 6.0;

    /// One at `rate_hz` that does nothing yet.
    #[must_use]
    pub fn new(rate_hz: f64) -> Self {
        let step_samples = ((rate_hz * STEP_S).round() as usize).max(1);
        let step_s = step_samples as f64 / rate_hz;
        let share = |time_s: f64| (1.0 - (-step_s / time_s).exp()) as f32;
        Self {
            settings: DuckerSettings::OFF,
            step_samples,
            step_s: step_s as f32,
            level_share: share(LEVEL_TIME_S),
            depth_share: share(DEPTH_TIME_S),
            num_samples: 0,
            sum: 0.0,
            power: 0.0,
            down: 0.0,
            hold_s: 0.0,
            depth_db: 0.0,
            gain: Ramp::new(1.0),
            is_idle: true,
        }
    }

    /// Forgets the past. Real-time safe.
    pub fn reset(&mut self) {
        self.num_samples = 0;
        self.forget();
        self.gain = Ramp::new(1.0);
    }

    fn forget(&mut self) {
        (self.sum, self.power, self.down, self.hold_s, self.depth_db, self.is_idle) = (0.0, 0.0, 0.0, 0.0, 0.0, true);
    }

    /// From the next step on does this; with another depth `at_once`, or by and by. Real-time safe.
    pub fn set(&mut self, settings: DuckerSettings, at_once: bool) {
        self.settings = settings;
        if at_once {
            self.depth_db = self.wanted_depth_db();
        }
    }

    /// The depth that is wanted, dB.
    fn wanted_depth_db(&self) -> f32 {
        let depth_db = self.settings.depth_db;
        if depth_db.is_finite() { depth_db.max(0.0) } else { 0.0 }
    }

    /// The key's level as it is compared with the threshold, dBFS; nothing while no key is looked at.
    #[must_use]
    pub fn level_db(&self) -> Option<f32> {
        (!self.is_idle).then(|| level_of(self.power))
    }

    /// Adds the gain for each sample to `gains`, where `power` gives the key's power sample by sample (its square; of several channels the
    /// mean). Real-time safe.
    ///
    /// # Panics
    /// Where `gains` has no room for so many samples.
    pub fn follow(&mut self, mut power: impl ExactSizeIterator<Item = f32>, gains: &mut ControlBuffer) {
        self.is_idle &= self.wanted_depth_db() == 0.0;
        while power.len() > 0 {
            if self.is_idle {
                self.num_samples = (self.num_samples + power.len()) % self.step_samples;
                gains.push_constant(1.0, power.len());
                return;
            }
            let part_samples = power.len().min(self.step_samples - self.num_samples);
            // One by one: where blocks end must not round it otherwise.
            power.by_ref().take(part_samples).for_each(|power| self.sum += power);
            if self.gain.is_settled() {
                gains.push_constant(self.gain.value(), part_samples);
            } else {
                let gain = &mut self.gain;
                gains.push((0..part_samples).map(|_| gain.next()));
            }
            self.num_samples += part_samples;
            if self.num_samples == self.step_samples {
                self.step();
            }
        }
    }

    /// Looks at the key, and heads for the gain of a step later.
    fn step(&mut self) {
        let mean = self.sum / self.step_samples as f32;
        (self.num_samples, self.sum) = (0, 0.0);
        let depth_db = self.wanted_depth_db();
        if depth_db == 0.0 && self.depth_db == 0.0 && self.gain.value() == 1.0 {
            self.forget();
            return;
        }
        // What is no number says nothing of a key.
        let mean = if mean.is_finite() { mean } else { 0.0 };
        self.power += self.level_share * (mean - self.power);

        let settings = self.settings;
        let over_db = level_of(self.power) - settings.threshold_db;
        let wanted = s_curve((over_db / Ducker::KNEE_DB + 0.5).clamp(0.0, 1.0));
        if wanted >= self.down {
            self.hold_s = settings.hold_s;
            self.down = wanted.min(self.down + self.share_of(settings.attack_s));
        } else if self.hold_s.min(settings.hold_s) > 0.0 {
            self.hold_s = self.hold_s.min(settings.hold_s) - self.step_s;
        } else {
            self.down = wanted.max(self.down - self.share_of(settings.release_s));
        }

        self.depth_db += self.depth_share * (depth_db - self.depth_db);
        if (depth_db - self.depth_db).abs() < SETTLED_DB {
            self.depth_db = depth_db;
        }
        let down_db = self.depth_db * s_curve(self.down);
        // At rest exactly 1, so that nothing is rounded.
        let gain = if down_db == 0.0 { 1.0 } else { 10.0_f32.powf(-down_db / 20.0) };
        self.gain.set_target(gain, self.step_samples);
    }

    /// What of the way is done in a step, where all of it takes `way_s`.
    fn share_of(&self, way_s: f32) -> f32 {
        if way_s > self.step_s { self.step_s / way_s } else { 1.0 }
    }
}

/// A power as a level, dBFS.
fn level_of(power: f32) -> f32 {
    10.0 * power.max(1e-20).log10()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Control;

    const RATE_HZ: f64 = 48_000.0;
    const SETTINGS: DuckerSettings =
        DuckerSettings { depth_db: 12.0, threshold_db: -40.0, attack_s: 0.05, hold_s: 0.3, release_s: 0.5 };

    /// The gains, dB, of a ducker with these settings, for a key of these levels, dBFS, each for so many seconds.
    fn gains_db(settings: DuckerSettings, key: &[(f32, f64)], block_samples: usize) -> Vec<f32> {
        let power: Vec<f32> = key
            .iter()
            .flat_map(|&(level_db, duration_s)| {
                std::iter::repeat_n(10.0_f32.powf(level_db / 10.0), (duration_s * RATE_HZ) as usize)
            })
            .collect();
        let mut ducker = Ducker::new(RATE_HZ);
        ducker.set(settings, true);
        let mut buffer = ControlBuffer::new(block_samples);
        let mut gains = Vec::new();
        for block in power.chunks(block_samples) {
            buffer.clear();
            ducker.follow(block.iter().copied(), &mut buffer);
            gains.extend((0..block.len()).map(|sample_idx| 20.0 * buffer.get().at(sample_idx).log10()));
        }
        gains
    }

    /// When, in seconds, the gain first is as `found` says, from `from_s` on.
    fn first(gains: &[f32], from_s: f64, found: impl Fn(f32) -> bool) -> f64 {
        let from = (from_s * RATE_HZ) as usize;
        let after = gains[from..].iter().position(|&gain| found(gain)).expect("it comes to that");
        after as f64 / RATE_HZ
    }

    #[test]
    fn a_key_ducks_by_the_depth_within_the_attack_and_lets_go_after_hold_and_release() {
        let gains = gains_db(SETTINGS, &[(-120.0, 0.5), (-20.0, 1.0), (-120.0, 2.0)], 256);
        assert!(gains[..24_000].iter().all(|&gain| gain == 0.0), "nothing is heard yet");
        let down_s = first(&gains, 0.5, |gain| gain < -11.99);
        let held_s = first(&gains, 1.5, |gain| gain > -11.9);
        let back_s = first(&gains, 1.5, |gain| gain == 0.0);
        println!("down after {down_s:.3} s, held for {held_s:.3} s, back after {back_s:.3} s");
        assert!((0.045..0.065).contains(&down_s), "{down_s}");
        assert!((0.3..0.4).contains(&held_s), "{held_s}");
        assert!((0.8..0.9).contains(&back_s), "{back_s}");
        assert!(gains.iter().all(|&gain| gain >= -12.001), "no louder key ducks by more");
    }

    #[test]
    fn a_key_below_the_threshold_ducks_nothing_and_one_within_the_knee_a_part() {
        let settled = |level_db: f32| *gains_db(SETTINGS, &[(level_db, 1.0)], 256).last().unwrap();
        assert_eq!(settled(SETTINGS.threshold_db - Ducker::KNEE_DB / 2.0 - 0.1), 0.0);
        let half = settled(SETTINGS.threshold_db);
        assert!((half + 6.0).abs() < 0.1, "{half} dB");
        assert!((settled(SETTINGS.threshold_db + Ducker::KNEE_DB / 2.0) + 12.0).abs() < 0.01);
    }

    #[test]
    fn a_pause_shorter_than_the_hold_is_not_heard() {
        let gains = gains_db(SETTINGS, &[(-20.0, 0.5), (-120.0, 0.25), (-20.0, 0.5)], 256);
        assert!(gains[24_000..].iter().all(|&gain| (gain + 12.0).abs() < 0.01));
    }

    #[test]
    fn nothing_depends_on_the_block_size() {
        let key = [(-120.0, 0.1), (-30.0, 0.31), (-60.0, 0.4), (-39.0, 0.2)];
        let whole = gains_db(SETTINGS, &key, 100_000);
        for block_samples in [1, 7, 48, 441, 1024] {
            assert!(gains_db(SETTINGS, &key, block_samples) == whole, "blocks of {block_samples}");
        }
    }

    #[test]
    fn without_depth_it_is_a_constant_of_one() {
        let mut ducker = Ducker::new(RATE_HZ);
        let mut buffer = ControlBuffer::new(512);
        ducker.set(DuckerSettings { depth_db: 0.0, ..SETTINGS }, false);
        ducker.follow([1.0; 512].into_iter(), &mut buffer);
        assert_eq!(buffer.get(), Control::Constant(1.0));
    }

    #[test]
    fn nothing_depends_on_the_block_size_where_it_is_switched_off_and_on() {
        // A key that ends while it is off; it is switched at samples that no step ends at.
        let power: Vec<f32> = (0..144_000).map(|sample_idx| if sample_idx < 60_000 { 0.01 } else { 0.0 }).collect();
        let switches = [(0, 12.0), (30_011, 0.0), (90_017, 12.0), (100_003, 24.0), (120_001, 0.0)];
        let gains = |block_samples: usize| {
            let mut ducker = Ducker::new(RATE_HZ);
            let mut buffer = ControlBuffer::new(block_samples);
            let mut gains = Vec::new();
            let ends = switches.iter().skip(1).map(|(at, _)| *at).chain([power.len()]);
            for ((from, depth_db), to) in switches.into_iter().zip(ends) {
                ducker.set(DuckerSettings { depth_db, ..SETTINGS }, from == 0);
                for block in power[from..to].chunks(block_samples) {
                    buffer.clear();
                    ducker.follow(block.iter().copied(), &mut buffer);
                    gains.extend((0..block.len()).map(|sample_idx| buffer.get().at(sample_idx)));
                }
            }
            gains
        };
        let whole = gains(200_000);
        assert!(whole[20_000] < 0.26, "it ducks");
        assert!(
            whole[90_017..].iter().all(|&gain| gain == 1.0),
            "switched on again where nobody speaks it does nothing"
        );
        for block_samples in [1, 64, 127, 480, 4096] {
            assert!(gains(block_samples) == whole, "blocks of {block_samples}");
        }
    }

    #[test]
    fn after_a_reset_it_does_what_a_new_one_does() {
        let follow = |ducker: &mut Ducker| {
            let mut buffer = ControlBuffer::new(48_000);
            ducker.set(SETTINGS, true);
            ducker.follow(std::iter::repeat_n(0.1, 48_000), &mut buffer);
            (0..48_000).map(|sample_idx| buffer.get().at(sample_idx)).collect::<Vec<_>>()
        };
        let mut ducker = Ducker::new(RATE_HZ);
        let first = follow(&mut ducker);
        ducker.reset();
        assert!(follow(&mut ducker) == first);
    }

    #[test]
    fn no_step_of_the_gain_clicks_however_the_settings_and_the_key_change() {
        let mut ducker = Ducker::new(RATE_HZ);
        let mut buffer = ControlBuffer::new(480);
        let (mut before, mut largest) = (1.0, 0.0_f32);
        for block_idx in 0..2_000 {
            let one_of = |values: [f32; 4], every: usize| values[block_idx / every % 4];
            let settings = DuckerSettings {
                depth_db: one_of([12.0, 0.0, 24.0, 3.0], 10),
                threshold_db: one_of([-40.0, 0.0, -60.0, -20.0], 7),
                attack_s: one_of([0.005, 0.5, 0.05, 0.005], 13),
                hold_s: one_of([0.0, 0.3, 0.0, 0.01], 11),
                release_s: one_of([0.05, 5.0, 0.05, 0.5], 17),
            };
            ducker.set(settings, false);
            buffer.clear();
            let power = one_of([1.0, 0.0, 1e-3, 1e-5], 3);
            ducker.follow(std::iter::repeat_n(power, 480), &mut buffer);
            for sample_idx in 0..480 {
                let gain = buffer.get().at(sample_idx);
                largest = largest.max((gain - before).abs());
                before = gain;
            }
        }
        // The way of 24 dB in the shortest attack, 5 ms, where it is steepest: 1.5 times as steep as in the mean, 7.2 dB in a millisecond.
        let bound = (1.0 - 10.0_f32.powf(-7.2 / 20.0)) / 48.0;
        println!("largest step of the gain: {largest}, at most {bound}");
        assert!(largest <= bound, "{largest}");
    }

    #[test]
    fn a_ducker_that_is_switched_off_comes_to_rest_at_one() {
        let mut ducker = Ducker::new(RATE_HZ);
        let mut buffer = ControlBuffer::new(48_000);
        ducker.set(SETTINGS, true);
        ducker.follow(std::iter::repeat_n(1.0, 48_000), &mut buffer);
        assert!(ducker.gain.value() < 0.26 && ducker.level_db().is_some_and(|level_db| level_db.abs() < 0.01));
        ducker.set(DuckerSettings { depth_db: 0.0, ..SETTINGS }, false);
        buffer.clear();
        ducker.follow(std::iter::repeat_n(1.0, 48_000), &mut buffer);
        assert_eq!((ducker.gain.value(), ducker.level_db()), (1.0, None));
        buffer.clear();
        ducker.follow(std::iter::repeat_n(1.0, 480), &mut buffer);
        assert_eq!(buffer.get(), Control::Constant(1.0));
    }

    #[test]
    fn a_shorter_hold_holds_for_what_is_running_too() {
        let mut ducker = Ducker::new(RATE_HZ);
        let mut buffer = ControlBuffer::new(48_000);
        ducker.set(DuckerSettings { hold_s: 3.0, ..SETTINGS }, true);
        ducker.follow(std::iter::repeat_n(0.1, 24_000), &mut buffer);
        ducker.set(DuckerSettings { hold_s: 0.1, ..SETTINGS }, false);
        buffer.clear();
        ducker.follow(std::iter::repeat_n(0.0, 48_000), &mut buffer);
        assert_eq!(ducker.gain.value(), 1.0);
    }

    #[test]
    fn a_key_or_a_depth_that_is_no_number_is_none() {
        let mut ducker = Ducker::new(RATE_HZ);
        let mut buffer = ControlBuffer::new(9600);
        ducker.set(SETTINGS, true);
        ducker.follow(std::iter::repeat_n(f32::NAN, 9600), &mut buffer);
        assert_eq!(buffer.get(), Control::Constant(1.0));
        ducker.set(DuckerSettings { depth_db: f32::INFINITY, ..SETTINGS }, false);
        buffer.clear();
        ducker.follow(std::iter::repeat_n(1.0, 9600), &mut buffer);
        assert!((0..9600).all(|sample_idx| buffer.get().at(sample_idx).is_finite()));
    }
}
