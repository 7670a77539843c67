//! How it is separated, how much of it is heard, how the music is ducked, and what it costs.

use egui::{Align, Layout, RichText, Ui, vec2};
use nice_plug::prelude::*;
use underscore_engine::StatusSnapshot;

use super::{slider, status_panel, theme, toggle};
use crate::params::{DuckParams, UnderscoreParams};

/// Draws the controls that hold for all stems. The music was ducked by `duck_db` at most since the last picture, where that can be.
pub fn draw(
    ui: &mut Ui,
    setter: &ParamSetter,
    params: &UnderscoreParams,
    duck_db: Option<f32>,
    status: Option<&StatusSnapshot>,
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
    if let Some(duck_db) = duck_db {
        draw_duck(ui, setter, &params.duck, duck_db);
        divide(ui);
    }
    status_panel::draw_figures(ui, status);
}

fn divide(ui: &mut Ui) {
    ui.add_space(4.0);
    ui.separator();
    ui.add_space(2.0);
}

fn draw_duck(ui: &mut Ui, setter: &ParamSetter, params: &DuckParams, duck_db: f32) {
    ui.horizontal(|ui| {
        ui.label(RichText::new("DUCK").size(13.0).color(theme::TEXT)).on_hover_text(
            "The music in the main output goes down by itself while the dialogue is heard. The music's own bus stays as it is.",
        );
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let is_down = duck_db >= 0.05;
            let text = if is_down { format!("-{duck_db:.1} dB") } else { "0.0 dB".into() };
            let colour = if is_down { theme::MUSIC } else { theme::DIM };
            ui.label(RichText::new(text).color(colour)).on_hover_text("How far the music is down now.");
        });
    });
    let rows = [
        (&params.depth, "Music by", "How far the music goes down while the dialogue is heard. 0: it does not."),
        (
            &params.threshold,
            "Above",
            "From this level on (RMS) the dialogue counts as heard: above what music is left in it, below the softest speech.",
        ),
        (&params.attack, "Attack", "Time in which the music goes down."),
        (&params.hold, "Hold", "How long the dialogue may pause before the music comes back."),
        (&params.release, "Release", "Time in which the music comes back."),
    ];
    for (param, name, explanation) in rows {
        slider::draw_row(ui, setter, param, name, explanation);
    }
}
