//! How it is separated, how much of it is heard, how the music is ducked, and what it costs.

use egui::{Align, Layout, RichText, Sense, Stroke, Ui, vec2};
use nice_plug::prelude::*;
use underscore_engine::{Ducker, StatusSnapshot};

use super::ducking::DuckLevels;
use super::status_panel::{self, LateCount};
use super::{slider, theme, toggle};
use crate::params::{DuckParams, UnderscoreParams};

/// What is shown of the ducker.
pub struct DuckFigures {
    /// Whether what is heard has a music and a dialogue.
    pub is_heard: bool,
    /// Whether there is room for how it ducks: not beside what a model is asked.
    pub has_room: bool,
    /// What it does now.
    pub levels: DuckLevels,
}

/// Draws the controls that hold for all stems.
pub fn draw(
    ui: &mut Ui,
    setter: &ParamSetter,
    params: &UnderscoreParams,
    ducking: &DuckFigures,
    (status, plays, late): (Option<&StatusSnapshot>, bool, &mut LateCount),
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
    if ducking.is_heard || is_down(ducking.levels) {
        draw_duck_figures(ui, setter, &params.duck, ducking.levels);
        if ducking.is_heard && ducking.has_room {
            draw_duck_rows(ui, setter, &params.duck);
        }
        divide(ui);
    }
    status_panel::draw_figures(ui, status, plays, late);
}

fn divide(ui: &mut Ui) {
    ui.add_space(4.0);
    ui.separator();
    ui.add_space(2.0);
}

fn is_down(levels: DuckLevels) -> bool {
    levels.down_db >= 0.05
}

/// The switch, what the ducker hears, and what it does.
fn draw_duck_figures(ui: &mut Ui, setter: &ParamSetter, params: &DuckParams, levels: DuckLevels) {
    ui.horizontal(|ui| {
        toggle::draw(ui, setter, &params.is_on, "DUCK", vec2(62.0, 22.0), theme::MUSIC).on_hover_text(
            "The music in the main output goes down by itself while the dialogue is heard. The buses stay as they are.",
        );
        if let Some(key_db) = levels.key_db {
            draw_key(ui, key_db, key_db > params.threshold.value() - Ducker::KNEE_DB / 2.0);
        }
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            let text = if is_down(levels) { format!("-{:.1} dB", levels.down_db) } else { "0.0 dB".into() };
            let colour = if is_down(levels) { theme::MUSIC } else { theme::DIM };
            ui.label(RichText::new(text).color(colour))
                .on_hover_text("How far the music in the main output is down now; less where part of it is dry.");
        });
    });
}

/// Level of the dialogue, dBFS, behind a dot that is filled where the ducker hears it.
fn draw_key(ui: &mut Ui, key_db: f32, is_heard: bool) {
    let colour = if is_heard { theme::DIALOGUE } else { theme::DIM };
    let (dot, _) = ui.allocate_exact_size(vec2(8.0, 16.0), Sense::hover());
    if is_heard {
        ui.painter().circle_filled(dot.center(), 4.0, colour);
    } else {
        ui.painter().circle_stroke(dot.center(), 3.5, Stroke::new(1.0, colour));
    }
    let text = if key_db > -99.0 { format!("{key_db:.0} dB") } else { "-inf".into() };
    ui.label(RichText::new(text).color(colour)).on_hover_text(
        "Level of the dialogue that is compared with the threshold (RMS, before its strip, without rumble). The dot is filled where it ducks: from \
         3 dB below the threshold on.",
    );
}

fn draw_duck_rows(ui: &mut Ui, setter: &ParamSetter, params: &DuckParams) {
    let rows = [
        (&params.depth, "Depth", "How far the music goes down while the dialogue is heard, however loud that is."),
        (
            &params.threshold,
            "Threshold",
            "At this level of the dialogue the music is down by half of the depth, 3 dB above it by all. Set it above what is left in the dialogue where \
             music plays alone, below the softest speech.",
        ),
        (&params.attack, "Attack", "Time in which the music goes down."),
        (&params.hold, "Hold", "How long the dialogue may pause before the music comes back."),
        (&params.release, "Release", "Time in which the music comes back."),
    ];
    for (param, name, explanation) in rows {
        slider::draw_row(ui, setter, param, name, explanation);
    }
}

#[cfg(test)]
mod tests {
    use egui::epaint::{ClippedShape, Shape};
    use egui::{Pos2, Rect};

    use super::super::child;
    use super::super::panels::{GAP, Panels, SIZE};
    use super::super::status_panel::tests::running;
    use super::super::test_user::TestUser;
    use super::*;

    /// Whether what is drawn of this level has a dot that is filled.
    fn has_filled_dot(key_db: f32) -> bool {
        let params = DuckParams::default();
        let levels = DuckLevels { down_db: 0.0, key_db: Some(key_db) };
        let shapes = TestUser::default().draw(&mut |ui, setter| draw_duck_figures(ui, setter, &params, levels));
        let dot = |ClippedShape { shape, .. }: &ClippedShape| match shape {
            Shape::Circle(dot) => Some(dot.fill.a() > 0),
            _ => None,
        };
        shapes.iter().find_map(dot).expect("a dot")
    }

    #[test]
    fn a_dialogue_that_the_ducker_hears_is_told_by_more_than_a_colour() {
        let threshold_db = DuckParams::default().threshold.value();
        let knee_db = Ducker::KNEE_DB;
        // As loud as these the ducker does something, and nothing.
        assert!(has_filled_dot(threshold_db - 0.4 * knee_db) && !has_filled_dot(threshold_db - 0.6 * knee_db));
    }

    #[test]
    fn the_figures_have_room_whatever_is_chosen_and_heard() {
        let window = Rect::from_min_size(Pos2::ZERO, vec2(SIZE.width, SIZE.height));
        let params = UnderscoreParams::default();
        let status = running();
        for is_query_model in [false, true] {
            let panel = Panels::of(window, is_query_model, false).separation.shrink(GAP);
            for is_heard in [false, true] {
                let levels = DuckLevels { down_db: 6.0, key_db: Some(-30.0) };
                let ducking = DuckFigures { is_heard, has_room: !is_query_model, levels };
                let mut bottom = 0.0;
                TestUser::default().does(&[], &mut |ui, setter| {
                    let ui = &mut child(ui, panel);
                    draw(ui, setter, &params, &ducking, (Some(&status), true, &mut LateCount::default()));
                    bottom = ui.min_rect().bottom();
                });
                assert!(
                    bottom <= panel.bottom(),
                    "asked: {is_query_model}, heard: {is_heard}: {bottom} of {}",
                    panel.bottom()
                );
            }
        }
    }
}
