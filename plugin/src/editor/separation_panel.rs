//! How it is separated, how much of it is heard, and what it costs.

use egui::{RichText, Ui, vec2};
use nice_plug::prelude::*;
use underscore_engine::StatusSnapshot;

use super::{slider, status_panel, theme, toggle};
use crate::params::UnderscoreParams;

/// Draws the controls that hold for all stems.
pub fn draw(ui: &mut Ui, setter: &ParamSetter, params: &UnderscoreParams, status: Option<&StatusSnapshot>) {
    ui.label(RichText::new("SEPARATION").size(13.0).color(theme::TEXT));
    ui.add_space(4.0);
    slider::draw(
        ui,
        setter,
        &params.strength,
        "Strength",
        "Less: fewer artefacts. More: less bleed. 100 % is as the model says.",
    );
    slider::draw(
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
    ui.add_space(8.0);
    ui.separator();
    ui.add_space(2.0);
    status_panel::draw_figures(ui, status);
}
