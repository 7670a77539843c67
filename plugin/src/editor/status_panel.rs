//! Whether the separation keeps up, and what is to be done where it does not.

use egui::{Button, Color32, Grid, Label, RichText, ScrollArea, Sense, Ui, vec2};
use underscore_engine::{State, StatusSnapshot};

use super::theme;
use crate::choices::name_of;
use crate::model::Model;

/// Load above which the worker may not keep up when the machine is busy. Where instances wait for one another it may be as high while all are in time:
/// it is only bad where the headroom is low, too.
const HIGH_LOAD: f32 = 0.7;

/// Part of the deadline that should be left over: below it a busy moment of the machine makes frames late.
const LOW_HEADROOM: f32 = 0.3;

/// Above this a text is set smaller, so that it can still be read at one look.
const LONG_TEXT_BYTES: usize = 240;

/// What is shown while there is nothing to complain of.
const HINT: &str = "Each stem also plays on the output bus of its name, before fader, solo and mute. The buses sum to the \
                    delayed input.";

/// Draws where the engine stands, and everything there is to say, in full. Returns whether what was held back is to be tried again.
pub fn draw(ui: &mut Ui, status: Option<&StatusSnapshot>, notices: &[String]) -> bool {
    let (word, colour) = state_of(status);
    let is_wanted_again = ui
        .horizontal(|ui| {
            let (dot, _) = ui.allocate_exact_size(vec2(10.0, 16.0), Sense::hover());
            ui.painter().circle_filled(dot.center(), 4.5, colour);
            ui.label(RichText::new(word).size(14.0).color(colour));
            status.is_some_and(|status| status.is_held_back)
                && ui.add(Button::new(RichText::new("TRY AGAIN").size(11.0))).clicked()
        })
        .inner;
    let advice = status.map(advice_for).unwrap_or_default();
    let fallback = status.map(|status| &status.notice);
    let texts: Vec<&String> =
        std::iter::once(&advice).chain(fallback).filter(|text| !text.is_empty()).chain(notices).collect();
    ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
        let size = if texts.iter().map(|text| text.len()).sum::<usize>() > LONG_TEXT_BYTES { 11.0 } else { 12.5 };
        for text in &texts {
            ui.label(RichText::new(text.as_str()).size(size).color(theme::TEXT));
        }
        if texts.is_empty() {
            ui.label(RichText::new(HINT).color(theme::DIM));
        }
    });
    is_wanted_again
}

/// What is to be said where the model that was chosen waits for the host to activate the plugin again, and another one plays till then.
pub fn restart_notice(chosen: Model, heard: Model) -> String {
    let (chosen, heard) = (name_of(chosen.id()), name_of(heard.id()));
    format!(
        "{chosen} has another latency: it comes when the host restarts the plugin, which it was asked to do; till then {heard} plays on. \
         If nothing happens, stop playback, switch the plugin off and on, or set another buffer size."
    )
}

/// From where on late frames are counted: whoever has seen them may have them counted anew.
#[derive(Debug, Default)]
pub struct LateCount {
    /// Of the engine that was looked at; 0: none yet.
    engine_id: u64,
    /// Late ones that were seen, and all till then.
    seen: [u64; 2],
}

impl LateCount {
    /// Late frames, and all, that were not seen yet.
    fn of(&self, status: &StatusSnapshot) -> [u64; 2] {
        let seen = if self.engine_id == status.id { self.seen } else { [0; 2] };
        [status.num_late_frames.saturating_sub(seen[0]), status.num_frames.saturating_sub(seen[1])]
    }

    fn restart(&mut self, status: &StatusSnapshot) {
        *self = Self { engine_id: status.id, seen: [status.num_late_frames, status.num_frames] };
    }
}

/// Draws the figures of the engine, one a line.
pub fn draw_figures(ui: &mut Ui, status: Option<&StatusSnapshot>, late: &mut LateCount) {
    let Some(status) = status else { return };
    Grid::new("figures").num_columns(2).min_row_height(15.0).spacing(vec2(10.0, 1.0)).show(ui, |ui| {
        for (name, value, colour) in figures(status, late) {
            let named = ui.label(RichText::new(name).color(theme::DIM));
            let sense = if name == LATE { Sense::click() } else { Sense::hover() };
            let valued = ui.add(Label::new(RichText::new(value).color(colour)).sense(sense));
            if name == LATE && valued.clicked() {
                late.restart(status);
            }
            if let Some(about) = about(name) {
                named.on_hover_text(about);
                valued.on_hover_text(about);
            }
            ui.end_row();
        }
    });
}

const LATE: &str = "Late";

/// Name, value, colour.
type Figure = (&'static str, String, Color32);

fn figures(status: &StatusSnapshot, late: &LateCount) -> Vec<Figure> {
    let latency_ms = status.latency_samples as f64 / status.host_rate_hz * 1e3;
    let mut figures: Vec<Figure> = vec![
        ("Latency", format!("{latency_ms:.0} ms"), theme::TEXT),
        ("", format!("{} samples", status.latency_samples), theme::DIM),
    ];
    if status.state == State::Running {
        let load = if status.rtf > HIGH_LOAD && status.headroom < LOW_HEADROOM { theme::BAD } else { theme::TEXT };
        figures.push(("Load", format!("{:.0} %", status.rtf * 100.0), load));
        let headroom = if status.headroom < LOW_HEADROOM { theme::WARN } else { theme::TEXT };
        figures.push(("Headroom", format!("{:.0} %", status.headroom.max(0.0) * 100.0), headroom));
        let [num_late, num_all] = late.of(status);
        figures.push((LATE, format!("{num_late} of {num_all}"), if num_late > 0 { theme::WARN } else { theme::TEXT }));
        figures.push(("Device", status.device.to_uppercase(), theme::TEXT));
    }
    figures
}

/// What a figure says.
fn about(name: &str) -> Option<&'static str> {
    match name {
        "Latency" => Some("What the host is told, fixed while the plugin is active. Delay a picture by as much."),
        "Load" => Some(
            "Time that a call of the model takes, waiting for those of other instances included, as a share of the time that its sound lasts.",
        ),
        "Headroom" => Some("What the slowest of the latest calls left over of the time that it has."),
        LATE => Some("Frames whose masks came too late, of all since the model was opened, or since you clicked here."),
        "Device" => Some("Where the model runs now."),
        _ => None,
    }
}

fn state_of(status: Option<&StatusSnapshot>) -> (&'static str, Color32) {
    match status.map(|status| status.state) {
        None => ("Not active", theme::DIM),
        Some(State::Loading) => ("Loading", theme::WARN),
        Some(State::Running) => ("Separating", theme::GOOD),
        Some(State::Unavailable) => ("Not separating", theme::BAD),
    }
}

/// What the engine says, or else what its figures ask for.
fn advice_for(status: &StatusSnapshot) -> String {
    if !status.message.is_empty() {
        return status.message.clone();
    }
    if status.state == State::Loading {
        return "Opening libtorch and the model. Until then the input passes, delayed.".into();
    }
    if status.rtf > HIGH_LOAD && status.headroom < LOW_HEADROOM {
        return format!(
            "The model takes {:.0} % of real time. Frames that come late are heard through the last masks, and where that goes on \
             unchanged; freeze other tracks, or bounce offline: a host that says so is made to wait for every frame.",
            status.rtf * 100.0
        );
    }
    if status.state == State::Running && status.headroom < LOW_HEADROOM {
        return "Masks come with little time to spare. Close other programs, freeze other tracks, or take larger blocks; on Linux \
                give your user real-time priority, as for any audio program."
            .into();
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(state: State, message: &str, rtf: f32) -> StatusSnapshot {
        StatusSnapshot {
            id: 1,
            model: "a-model".into(),
            device: "cpu".into(),
            state,
            message: message.into(),
            notice: String::new(),
            is_held_back: false,
            has_followed: false,
            host_rate_hz: 48_000.0,
            max_block_samples: 256,
            latency_samples: 12_288,
            hop_samples: 768,
            deadline_samples: 3328,
            num_frames: 100,
            num_late_frames: 0,
            num_unmasked_frames: 0,
            num_dropped_calls: 0,
            num_replaced_samples: 0,
            num_steps: 10,
            load_ms: 200.0,
            step_ms_mean: 20.0,
            step_ms_max: 30.0,
            headroom: 0.6,
            num_deliveries: Vec::new(),
            rtf,
            max_process_us: 40.0,
        }
    }

    #[test]
    fn the_engine_s_own_words_come_first() {
        assert_eq!(advice_for(&snapshot(State::Unavailable, "libtorch is missing", 0.9)), "libtorch is missing");
    }

    #[test]
    fn late_frames_and_a_high_load_catch_the_eye() {
        let calm = snapshot(State::Running, "", 0.9);
        let mut late = LateCount::default();
        assert!(figures(&calm, &late).iter().all(|(_, _, colour)| [theme::TEXT, theme::DIM].contains(colour)));
        let busy = StatusSnapshot { num_late_frames: 3, headroom: 0.25, ..calm };
        let find =
            |name| figures(&busy, &late).into_iter().find(|figure| figure.0 == name).expect("a figure of this name");
        assert_eq!(find("Late"), ("Late", "3 of 100".into(), theme::WARN));
        assert_eq!(find("Load"), ("Load", "90 %".into(), theme::BAD));
        assert_eq!(find("Headroom"), ("Headroom", "25 %".into(), theme::WARN));
        assert_eq!(find("Latency").1, "256 ms");
        late.restart(&busy);
        let find = |status: &StatusSnapshot| {
            figures(status, &late).into_iter().find(|figure| figure.0 == LATE).expect("a figure")
        };
        assert_eq!(find(&busy), (LATE, "0 of 0".into(), theme::TEXT), "they were seen");
        let later = StatusSnapshot { num_late_frames: 5, num_frames: 150, ..busy.clone() };
        assert_eq!(find(&later), (LATE, "2 of 50".into(), theme::WARN));
        assert_eq!(
            find(&StatusSnapshot { id: 2, ..later }),
            (LATE, "5 of 150".into(), theme::WARN),
            "of another engine none was seen"
        );
    }

    #[test]
    fn a_high_load_is_explained_and_a_normal_one_is_not() {
        let high = StatusSnapshot { headroom: 0.1, ..snapshot(State::Running, "", 0.9) };
        assert!(advice_for(&high).contains("90 %"));
        assert_eq!(advice_for(&snapshot(State::Running, "", 0.2)), "");
        assert_eq!(advice_for(&snapshot(State::Running, "", 0.9)), "", "it waits for others, and all is in time");
        let slow = StatusSnapshot { headroom: 0.1, ..snapshot(State::Running, "", 0.2) };
        assert!(advice_for(&slow).contains("real-time priority"));
    }
}
