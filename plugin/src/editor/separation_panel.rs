//! How it is separated, how much of it is heard, how the music is ducked, and what it costs.

use egui::{Align, Layout, RichText, Ui, vec2};
use nice_plug::prelude::*;
use underscore_engine::StatusSnapshot;

use super::status_panel::{self, LateCount};
use super::{slider, theme, toggle};
use crate::params::{DuckParams, UnderscoreParams};

/// What the ducker does now.
pub struct DuckFigures {
    /// Whether the model has a music and a dialogue.
    pub is_offered: bool,
    /// How far the music in the main output is down, dB, 0 and up.
    pub down_db: f32,
    /// Level of the dialogue that it hears, dBFS.
    pub key_db: Option<f32>,
}

/// Draws the controls that hold for all stems.
pub fn draw(
    ui: &mut Ui,
    setter: &ParamSetter,
    params: &UnderscoreParams,
    ducking: &DuckFigures,
    (status, late): (Option<&StatusSnapshot>, &mut LateCount),
) {
    ui.label(RichText::new("SEPARATION").size(13.0).color(theme::TEXT));
    ui.add_space(4.0);
    slider::draw_row(
        ui,
        setter,
        &params.strength,
        "Strength",
        "Less: fewer artefacts. More: less bleed. 100 % is as the model says.",
    );
    slider::draw_row(
        ui,
        setter,
        &params.dry_wet,
        "Dry/Wet",
        "How much of the main output is separated; the rest is the delayed input.",
    );
    ui.add_space(4.0);
    let size = vec2(ui.available_width(), 24.0);
    toggle::draw(ui, setter, &params.stereo_link, "STEREO LINK", size, theme::MIXTURE)
        .on_hover_text("One mask for both channels, so that the stereo image stays. Off: each channel its own.");
    divide(ui);
    // One that still plays while another model is waited for is to be seen, too.
    if ducking.is_offered || is_down(ducking) {
        draw_duck_figures(ui, setter, &params.duck, ducking);
    }
    if ducking.is_offered {
        draw_duck_rows(ui, setter, &params.duck);
        divide(ui);
    }
    status_panel::draw_figures(ui, status, late);
}

fn divide(ui: &mut Ui) {
    ui.add_space(4.0);
    ui.separator();
    ui.add_space(2.0);
}

fn is_down(ducking: &DuckFigures) -> bool {
    ducking.down_db >= 0.05
}

/// The switch, what the ducker hears, and what it does.
fn draw_duck_figures(ui: &mut Ui, setter: &ParamSetter, params: &DuckParams, ducking: &DuckFigures) {
    ui.horizontal(|ui| {
        toggle::draw(ui, setter, &params.is_on, "DUCK", vec2(62.0, 22.0), theme::MUSIC).on_hover_text(
            "The music in the main output goes down by itself while the dialogue is heard. The buses stay as they are.",
        );
        if let Some(key_db) = ducking.key_db {
            let is_heard = key_db > params.threshold.value();
            let text = if key_db > -99.0 { format!("{key_db:.0} dB") } else { "-inf".into() };
            ui.label(RichText::new(text).color(if is_heard { theme::DIALOGUE } else { theme::DIM })).on_hover_text(
                "Level of the dialogue that is compared with the threshold (RMS, before its strip, without rumble). It is coloured \
                 where it is above.",
            );
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let text = if is_down(ducking) { format!("-{:.1} dB", ducking.down_db) } else { "0.0 dB".into() };
            let colour = if is_down(ducking) { theme::MUSIC } else { theme::DIM };
            ui.label(RichText::new(text).color(colour))
                .on_hover_text("How far the music in the main output is down now; less where part of it is dry.");
        });
    });
}

fn draw_duck_rows(ui: &mut Ui, setter: &ParamSetter, params: &DuckParams) {
    let rows = [
        (&params.depth, "Depth", "How far the music goes down while the dialogue is heard, however loud that is."),
        (
            &params.threshold,
            "Threshold",
            "From this level on the dialogue counts as heard: above what is left in it where music plays alone, below the softest \
             speech.",
        ),
        (&params.attack, "Attack", "Time in which the music goes down."),
        (&params.hold, "Hold", "How long the dialogue may pause before the music comes back."),
        (&params.release, "Release", "Time in which the music comes back."),
    ];
    for (param, name, explanation) in rows {
        slider::draw_row(ui, setter, param, name, explanation);
    }
}
