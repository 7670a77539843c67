//! Whether the separation keeps up, and what is to be done where it does not.

use egui::{Color32, RichText, ScrollArea, Sense, Ui, vec2};
use underscore_engine::{State, StatusSnapshot};

use super::theme;

/// Load above which the worker may not keep up when the machine is busy.
const HIGH_LOAD: f32 = 0.7;

/// Draws the figures of the engine, if there is one, and everything there is to say, in full.
pub fn draw(ui: &mut Ui, status: Option<&StatusSnapshot>, notice: Option<&str>) {
    let (word, colour) = state_of(status);
    ui.horizontal(|ui| {
        let (dot, _) = ui.allocate_exact_size(vec2(10.0, 14.0), Sense::hover());
        ui.painter().circle_filled(dot.center(), 4.5, colour);
        ui.label(RichText::new(word).strong().color(colour));
        if let Some(status) = status {
            figures(ui, status);
        }
    });
    let advice = status.map(advice_for).unwrap_or_default();
    ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
        for text in [advice.as_str(), notice.unwrap_or_default()] {
            if !text.is_empty() {
                ui.label(RichText::new(text).color(theme::TEXT));
            }
        }
    });
}

fn state_of(status: Option<&StatusSnapshot>) -> (&'static str, Color32) {
    match status.map(|status| status.state) {
        None => ("Not active", theme::DIM),
        Some(State::Loading) => ("Loading", theme::WARN),
        Some(State::Running) => ("Separating", theme::GOOD),
        Some(State::Unavailable) => ("Not separating", theme::BAD),
    }
}

fn figures(ui: &mut Ui, status: &StatusSnapshot) {
    let latency_ms = status.latency_samples as f64 / status.host_rate_hz * 1e3;
    figure(ui, "latency", &format!("{latency_ms:.0} ms, {} samples", status.latency_samples), theme::TEXT);
    if status.state == State::Running {
        let colour = if status.rtf > HIGH_LOAD { theme::BAD } else { theme::TEXT };
        figure(ui, "load", &format!("{:.0} %", status.rtf * 100.0), colour);
        let colour = if status.num_late_frames > 0 { theme::WARN } else { theme::TEXT };
        figure(ui, "late", &format!("{} of {}", status.num_late_frames, status.num_frames), colour);
        figure(ui, "on", &status.device.to_uppercase(), theme::TEXT);
    }
}

fn figure(ui: &mut Ui, name: &str, value: &str, colour: Color32) {
    ui.add_space(6.0);
    ui.label(RichText::new(name).size(11.0).color(theme::DIM));
    ui.label(RichText::new(value).color(colour));
}

/// What the engine says, or else what its figures ask for.
fn advice_for(status: &StatusSnapshot) -> String {
    if !status.message.is_empty() {
        return status.message.clone();
    }
    if status.state == State::Loading {
        return "Opening libtorch and the model. Until then the input passes, delayed.".into();
    }
    if status.rtf > HIGH_LOAD {
        return format!(
            "The model takes {:.0} % of real time. Frames that come late pass unchanged; freeze other tracks, or bounce: \
             offline every frame is waited for.",
            status.rtf * 100.0
        );
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(state: State, message: &str, rtf: f32) -> StatusSnapshot {
        StatusSnapshot {
            id: 1,
            model: "music-1".into(),
            device: "cpu".into(),
            state,
            message: message.into(),
            host_rate_hz: 48_000.0,
            max_block_samples: 256,
            latency_samples: 12_288,
            deadline_frames: 5,
            num_frames: 100,
            num_late_frames: 0,
            num_dropped_calls: 0,
            num_replaced_samples: 0,
            load_ms: 200.0,
            step_ms_mean: 20.0,
            step_ms_max: 30.0,
            rtf,
            max_process_us: 40.0,
        }
    }

    #[test]
    fn the_engine_s_own_words_come_first() {
        assert_eq!(advice_for(&snapshot(State::Unavailable, "libtorch is missing", 0.9)), "libtorch is missing");
    }

    #[test]
    fn a_high_load_is_explained_and_a_normal_one_is_not() {
        assert!(advice_for(&snapshot(State::Running, "", 0.9)).contains("90 %"));
        assert_eq!(advice_for(&snapshot(State::Running, "", 0.2)), "");
    }
}
