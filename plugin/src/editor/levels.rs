//! Meters: a peak that falls slowly, and the highest one held for a while.

use std::time::{Duration, Instant};

use egui::{Align2, Color32, Rect, Sense, Stroke, Ui, pos2, vec2};

use super::theme;
use crate::block::MAX_CHANNELS;

/// Bottom of the scale, dBFS.
const MIN_DB: f32 = -60.0;
/// Top of the scale, dBFS.
const MAX_DB: f32 = 6.0;
/// How fast a meter falls, dB per second.
const FALL_DB_PER_S: f32 = 24.0;
/// How long the highest peak is shown.
const HOLD: Duration = Duration::from_millis(1500);
/// Marks of the scale, dBFS.
const MARKS_DB: [i32; 6] = [0, -6, -12, -24, -36, -48];

/// The meter of one stereo signal.
#[derive(Debug, Clone, Copy, Default)]
pub struct Levels {
    channels: [Level; MAX_CHANNELS],
    updated_at: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Level {
    shown_db: f32,
    held_db: f32,
    held_at: Option<Instant>,
}

impl Default for Level {
    fn default() -> Self {
        Self { shown_db: f32::NEG_INFINITY, held_db: f32::NEG_INFINITY, held_at: None }
    }
}

impl Levels {
    /// Takes in the peaks since the last picture, linear, `[channel]`.
    pub fn update(&mut self, peaks: [f32; MAX_CHANNELS], now: Instant) {
        let passed_s = self.updated_at.map_or(0.0, |at| now.duration_since(at).as_secs_f32());
        self.updated_at = Some(now);
        for (level, peak) in self.channels.iter_mut().zip(peaks) {
            let peak_db = 20.0 * peak.log10();
            level.shown_db = peak_db.max(level.shown_db - FALL_DB_PER_S * passed_s);
            let is_over = level.held_at.is_none_or(|at| now.duration_since(at) > HOLD);
            if peak_db >= level.held_db || is_over {
                // Never below the bar, which may still be falling from the peak let go.
                level.held_db = level.shown_db;
                level.held_at = Some(now);
            }
        }
    }

    /// The highest peak held, over both channels, dBFS.
    pub fn held_db(&self) -> f32 {
        self.channels.iter().fold(f32::NEG_INFINITY, |held_db, level| held_db.max(level.held_db))
    }

    /// Two bars that fill `rect`.
    pub fn draw(&self, ui: &Ui, rect: Rect, colour: Color32) {
        let width = (rect.width() - 2.0) / MAX_CHANNELS as f32;
        for (channel_idx, level) in self.channels.iter().enumerate() {
            let left = rect.left() + channel_idx as f32 * (width + 2.0);
            let bar = Rect::from_min_max(pos2(left, rect.top()), pos2(left + width, rect.bottom()));
            let painter = ui.painter();
            painter.rect_filled(bar, 1, theme::GROOVE);
            let filled = Rect::from_min_max(pos2(bar.left(), y_of(rect, level.shown_db)), bar.max);
            painter.rect_filled(filled, 1, if level.shown_db > 0.0 { theme::BAD } else { colour });
            if level.held_db > MIN_DB {
                let held = if level.held_db > 0.0 { theme::BAD } else { theme::TEXT };
                painter.hline(bar.x_range(), y_of(rect, level.held_db), Stroke::new(1.5, held));
            }
        }
    }
}

fn y_of(rect: Rect, level_db: f32) -> f32 {
    egui::remap_clamp(level_db.max(MIN_DB), MIN_DB..=MAX_DB, rect.bottom()..=rect.top())
}

/// The scale beside a meter, its numbers centred on `x`.
pub fn draw_scale(ui: &Ui, rect: Rect, x: f32) {
    for mark_db in MARKS_DB {
        let text = if mark_db == 0 { "0".to_owned() } else { format!("{}", -mark_db) };
        ui.painter().text(pos2(x, y_of(rect, mark_db as f32)), Align2::CENTER_CENTER, text, theme::tiny(), theme::DIM);
    }
}

/// A level in words.
pub fn text_of(level_db: f32) -> String {
    if level_db > MIN_DB { format!("{level_db:.1}") } else { "-inf".to_owned() }
}

/// The panel that compares what goes in with what comes out.
pub fn draw_in_out(ui: &mut Ui, input: &Levels, output: &Levels) {
    let (area, _) = ui.allocate_exact_size(ui.available_size(), Sense::hover());
    let bars = Rect::from_min_max(area.min + vec2(0.0, 20.0), area.max - vec2(0.0, 18.0));
    let in_bar = Rect::from_min_size(bars.min, vec2(18.0, bars.height()));
    let out_bar = Rect::from_min_max(pos2(bars.right() - 18.0, bars.top()), bars.max);
    for (levels, bar, name) in [(input, in_bar, "IN"), (output, out_bar, "OUT")] {
        levels.draw(ui, bar, theme::MIXTURE);
        let text = |y: f32, anchor: Align2, text: &str, colour: Color32| {
            ui.painter().text(pos2(bar.center().x, y), anchor, text, theme::small(), colour);
        };
        text(area.top(), Align2::CENTER_TOP, name, theme::DIM);
        let held_db = levels.held_db();
        let colour = if held_db > 0.0 { theme::BAD } else { theme::TEXT };
        text(area.bottom(), Align2::CENTER_BOTTOM, &text_of(held_db), colour);
    }
    draw_scale(ui, bars, bars.center().x);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_is_held_and_then_let_go_while_the_bar_falls() {
        let (mut levels, start) = (Levels::default(), Instant::now());
        levels.update([0.5, 0.25], start);
        assert!((levels.held_db() + 6.02).abs() < 0.01, "{}", levels.held_db());
        levels.update([0.0, 0.0], start + Duration::from_millis(500));
        assert!((levels.held_db() + 6.02).abs() < 0.01, "still held: {}", levels.held_db());
        assert!((levels.channels[0].shown_db + 18.02).abs() < 0.01, "fell 12 dB: {}", levels.channels[0].shown_db);
        levels.update([0.01, 0.0], start + Duration::from_millis(1600));
        assert!((levels.held_db() + 40.0).abs() < 0.01, "let go: {}", levels.held_db());
    }

    #[test]
    fn silence_has_a_name() {
        assert_eq!(text_of(Levels::default().held_db()), "-inf");
    }
}
