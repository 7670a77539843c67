//! Whether the separation keeps up, and what is to be done where it does not.

use std::time::{Duration, Instant};

use egui::{Button, Color32, FontId, Grid, Label, RichText, ScrollArea, Sense, Ui, vec2};
use underscore_engine::{State, StatusSnapshot};

use super::theme;
use crate::choices::name_of;
use crate::model::Model;

/// Load above which the worker may not keep up when the machine is busy. Where instances wait for one another it may be as high while all are in time:
/// it is only bad where the headroom is low, too.
const HIGH_LOAD: f32 = 0.7;

/// Part of the deadline that should be left over: below it a busy moment of the machine makes frames late.
const LOW_HEADROOM: f32 = 0.3;

/// Sizes of the texts, points: the first in which there is room for all of them, so that they can be read at one look.
const TEXT_SIZES: [f32; 3] = [12.5, 11.0, 10.0];

/// What is shown while there is nothing to complain of.
const HINT: &str = "Each stem also plays on the output bus of its name, before fader, solo and mute. The buses sum to the \
                    delayed input.";

/// What is to be said besides what the engine says.
#[derive(Default)]
pub struct HostSide {
    /// Whether the host gives the plugin sound just now.
    pub plays: bool,
    /// The host's switch.
    pub is_bypassed: bool,
    /// What is chosen and not heard yet: the rest is to be read by it.
    pub waiting: Option<String>,
    /// All else, the most urgent first.
    pub notices: Vec<String>,
}

/// Draws where the engine that is heard stands, and everything there is to say, in full. Returns whether what was held back is to be tried again.
pub fn draw(ui: &mut Ui, status: Option<&StatusSnapshot>, host_side: &HostSide) -> bool {
    let (word, colour) = state_of(status, host_side.plays);
    // The button goes below the word where there is no room beside it.
    let is_wanted_again = ui
        .horizontal_wrapped(|ui| {
            let (dot, _) = ui.allocate_exact_size(vec2(10.0, 16.0), Sense::hover());
            ui.painter().circle_filled(dot.center(), 4.5, colour);
            ui.label(RichText::new(word).size(14.0).color(colour));
            status.is_some_and(|status| status.is_held_back)
                && ui.add(Button::new(RichText::new("TRY AGAIN").size(11.0))).clicked()
        })
        .inner;
    let texts = texts_of(status, host_side);
    let size = size_of(ui, &texts);
    ScrollArea::vertical().auto_shrink([false, false]).show(ui, |ui| {
        for text in &texts {
            ui.label(RichText::new(text).size(size).color(theme::TEXT));
        }
        if texts.is_empty() {
            ui.label(RichText::new(HINT).color(theme::DIM));
        }
    });
    is_wanted_again
}

fn texts_of(status: Option<&StatusSnapshot>, host_side: &HostSide) -> Vec<String> {
    let fallback = status.map(|status| status.notice.clone());
    let own = [host_side.waiting.clone(), Some(advice_for(status, host_side)), fallback];
    own.into_iter().flatten().chain(host_side.notices.iter().cloned()).filter(|text| !text.is_empty()).collect()
}

/// The size in which `texts` are set in the room that is left.
fn size_of(ui: &Ui, texts: &[String]) -> f32 {
    let width = ui.available_width() - ui.spacing().scroll.allocated_width();
    let height = |size: f32, text: &String| {
        let galley = ui.painter().layout(text.clone(), FontId::proportional(size), theme::TEXT, width);
        galley.size().y + ui.spacing().item_spacing.y
    };
    let fits = |size: &f32| texts.iter().map(|text| height(*size, text)).sum::<f32>() <= ui.available_height();
    let [.., smallest] = TEXT_SIZES;
    TEXT_SIZES.into_iter().find(fits).unwrap_or(smallest)
}

/// What is to be said while another engine is made ready.
pub fn takeover_notice(heard: &StatusSnapshot, next: &StatusSnapshot) -> String {
    let (heard_name, next_name) = (name_of(&heard.model), name_of(&next.model));
    let is_loading = next.state == State::Loading;
    match (heard.model == next.model, is_loading) {
        (false, true) => format!("{next_name} is loading; till then {heard_name} plays on."),
        (false, false) => format!("{next_name} takes over in a moment; till then {heard_name} plays on."),
        (true, true) => format!("{next_name} is being loaded anew; till then it goes on as before."),
        (true, false) => format!("{next_name} takes over anew in a moment; till then it goes on as before."),
    }
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
    /// Id of the engine that was looked at; 0: none yet.
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

/// How long after the last sample that was no sound it is told.
const REPLACED_NOTICE: Duration = Duration::from_secs(10);

/// Sees whether what comes in is sound.
#[derive(Debug, Default)]
pub struct ReplacedWatch {
    /// Id of the engine that was looked at; 0: none yet.
    engine_id: u64,
    /// Samples that it had replaced by silence till then.
    num_replaced: u64,
    grown_at: Option<Instant>,
}

impl ReplacedWatch {
    /// Looks at the figures again.
    pub fn look(&mut self, status: &StatusSnapshot, now: Instant) {
        let before = if self.engine_id == status.id { self.num_replaced } else { 0 };
        if status.num_replaced_samples > before {
            self.grown_at = Some(now);
        }
        (self.engine_id, self.num_replaced) = (status.id, status.num_replaced_samples);
    }

    /// What is to be said of it.
    pub fn notice(&self, now: Instant) -> Option<String> {
        let grown_at = self.grown_at?;
        (now.saturating_duration_since(grown_at) < REPLACED_NOTICE).then(|| {
            "What comes in is no sound (NaN, infinite, or above +120 dBFS) and is replaced by silence: look at the plugin before this one.".into()
        })
    }
}

/// Draws the figures of the engine, one a line.
pub fn draw_figures(ui: &mut Ui, status: Option<&StatusSnapshot>, plays: bool, late: &mut LateCount) {
    let Some(status) = status else { return };
    Grid::new("figures").num_columns(2).min_row_height(15.0).spacing(vec2(10.0, 1.0)).show(ui, |ui| {
        for (name, value, colour) in figures(status, plays, late) {
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

/// Where nothing is played only what does not change: the rest would be of before, as if it were now.
fn figures(status: &StatusSnapshot, plays: bool, late: &LateCount) -> Vec<Figure> {
    let latency_ms = status.latency_samples as f64 / status.host_rate_hz * 1e3;
    let mut figures: Vec<Figure> = vec![
        ("Latency", format!("{latency_ms:.0} ms"), theme::TEXT),
        ("", format!("{} samples", status.latency_samples), theme::DIM),
    ];
    if status.state == State::Running && plays {
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

fn state_of(status: Option<&StatusSnapshot>, plays: bool) -> (&'static str, Color32) {
    match status.map(|status| (status.state, status.is_unseparated)) {
        None => ("Not active", theme::DIM),
        Some((State::Loading, _)) => ("Loading", theme::WARN),
        Some((State::Running, _)) if !plays => ("Not playing", theme::DIM),
        Some((State::Running, false)) => ("Separating", theme::GOOD),
        Some((State::Running, true)) => ("Not separating now", theme::WARN),
        Some((State::Unavailable, _)) => ("Not separating", theme::BAD),
    }
}

/// What the engine says, or else what its figures ask for.
fn advice_for(status: Option<&StatusSnapshot>, host_side: &HostSide) -> String {
    let Some(status) = status else {
        return "The host does not run Underscore now: switch it on, or start the audio engine.".into();
    };
    if !status.message.is_empty() {
        return status.message.clone();
    }
    if status.state == State::Loading {
        return "Opening libtorch and the model. Until then the input passes, delayed.".into();
    }
    if status.state == State::Running && !host_side.plays {
        return "No sound comes from the host, or from the audio device: it has stopped, or passes Underscore by."
            .into();
    }
    if status.state == State::Running && status.is_unseparated {
        return why_unseparated(status, host_side.is_bypassed);
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

/// Why masks are missing though a model runs, and till when.
fn why_unseparated(status: &StatusSnapshot, is_bypassed: bool) -> String {
    let latency_ms = 1e3 * status.latency_samples as f64 / status.host_rate_hz;
    if is_bypassed {
        "BYPASS is on: the delayed input passes, and each stem's output carries half of it.".into()
    } else if status.headroom < LOW_HEADROOM {
        "No masks come in time: the delayed input passes, and each stem's output carries half of it. Choose another device, or a model that takes \
         less; where that does not help, restart the host."
            .into()
    } else if Model::of(&status.model).is_some_and(Model::is_query_model) {
        // What it is asked for may be what it does not know.
        format!(
            "Masks come {latency_ms:.0} ms after the model is asked for what it knows; till then the delayed input passes."
        )
    } else {
        format!("The first masks come within {latency_ms:.0} ms; till then the delayed input passes.")
    }
}

#[cfg(test)]
pub mod tests {
    use egui::{Pos2, Rect, epaint::Shape, pos2};

    use super::super::child;
    use super::super::panels::{GAP, Panels, SIZE};
    use super::super::test_user::TestUser;
    use super::*;

    fn snapshot(state: State, message: &str, rtf: f32) -> StatusSnapshot {
        StatusSnapshot {
            id: 1,
            model: "a-model".into(),
            device: "cpu".into(),
            state,
            message: message.into(),
            notice: String::new(),
            is_unseparated: false,
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

    /// Figures of an engine that separates.
    pub fn running() -> StatusSnapshot {
        snapshot(State::Running, "", 0.2)
    }

    const PLAYS: HostSide = HostSide { plays: true, is_bypassed: false, waiting: None, notices: Vec::new() };

    fn advice(status: &StatusSnapshot) -> String {
        advice_for(Some(status), &PLAYS)
    }

    #[test]
    fn where_nothing_is_played_nothing_is_said_to_be_separated_and_no_figure_is_of_now() {
        let running = running();
        assert_eq!(state_of(Some(&running), false), ("Not playing", theme::DIM));
        assert!(advice_for(Some(&running), &HostSide::default()).contains("No sound comes"));
        let names = |plays| figures(&running, plays, &LateCount::default()).into_iter().map(|(name, ..)| name);
        assert_eq!(names(false).collect::<Vec<_>>(), ["Latency", ""]);
        assert!(names(true).any(|name| name == "Headroom"));
        let unavailable = snapshot(State::Unavailable, "libtorch is missing", 0.0);
        assert_eq!(state_of(Some(&unavailable), false).0, "Not separating", "that holds before anything is played");
    }

    #[test]
    fn what_is_no_sound_is_told_for_as_long_as_it_comes_and_a_while_longer() {
        let start = Instant::now();
        let status = |id, num_replaced_samples| StatusSnapshot { id, num_replaced_samples, ..running() };
        let mut watch = ReplacedWatch::default();
        watch.look(&status(1, 0), start);
        assert_eq!(watch.notice(start), None);
        watch.look(&status(1, 5), start);
        assert!(watch.notice(start).is_some_and(|notice| notice.contains("NaN")));
        watch.look(&status(1, 5), start + REPLACED_NOTICE);
        assert_eq!(watch.notice(start + REPLACED_NOTICE), None, "it has ended");
        watch.look(&status(2, 3), start + REPLACED_NOTICE);
        assert!(watch.notice(start + REPLACED_NOTICE).is_some(), "another engine counts anew");
    }

    #[test]
    fn the_engine_s_own_words_come_first() {
        assert_eq!(advice(&snapshot(State::Unavailable, "libtorch is missing", 0.9)), "libtorch is missing");
    }

    #[test]
    fn while_nothing_is_separated_the_word_is_not_that_it_is_and_the_reason_is_told() {
        let running = running();
        assert_eq!(state_of(Some(&running), true), ("Separating", theme::GOOD));
        let unseparated = StatusSnapshot { is_unseparated: true, ..running };
        assert_eq!(state_of(Some(&unseparated), true), ("Not separating now", theme::WARN));
        assert!(advice_for(Some(&unseparated), &HostSide { is_bypassed: true, ..PLAYS }).contains("BYPASS"));
        let late = StatusSnapshot { headroom: 0.0, ..unseparated.clone() };
        assert!(advice(&late).contains("No masks come in time"));
        assert!(advice(&unseparated).contains("within 256 ms"), "a model that hears far ahead has just begun");
        let asked = StatusSnapshot { model: asked_model(), ..unseparated };
        assert!(advice(&asked).contains("asked for what it knows"));
    }

    fn asked_model() -> String {
        let mut models = underscore_engine::Catalogue::shipped().models().iter();
        models.find(|model| model.is_query_model()).expect("a model that is asked").id.clone()
    }

    #[test]
    fn who_sees_that_nothing_is_active_is_told_what_to_do_and_nothing_that_only_holds_while_it_plays() {
        let texts = texts_of(None, &HostSide::default());
        assert!(texts.len() == 1 && texts[0].contains("start the audio engine"), "{texts:?}");
    }

    #[test]
    fn the_one_that_plays_is_told_from_the_one_that_is_to_come() {
        let heard = StatusSnapshot { model: "music-5".into(), ..snapshot(State::Running, "", 0.2) };
        let next = |model: &str| StatusSnapshot { model: model.into(), ..snapshot(State::Loading, "", 0.0) };
        assert_eq!(takeover_notice(&heard, &next("query-8")), "Query 8 is loading; till then Music 5 plays on.");
        assert_eq!(
            takeover_notice(&heard, &next("music-5")),
            "Music 5 is being loaded anew; till then it goes on as before."
        );
    }

    #[test]
    fn late_frames_and_a_high_load_catch_the_eye() {
        let calm = snapshot(State::Running, "", 0.9);
        let mut late = LateCount::default();
        assert!(figures(&calm, true, &late).iter().all(|(_, _, colour)| [theme::TEXT, theme::DIM].contains(colour)));
        let busy = StatusSnapshot { num_late_frames: 3, headroom: 0.25, ..calm };
        let find = |name| {
            figures(&busy, true, &late).into_iter().find(|figure| figure.0 == name).expect("a figure of this name")
        };
        assert_eq!(find("Late"), ("Late", "3 of 100".into(), theme::WARN));
        assert_eq!(find("Load"), ("Load", "90 %".into(), theme::BAD));
        assert_eq!(find("Headroom"), ("Headroom", "25 %".into(), theme::WARN));
        assert_eq!(find("Latency").1, "256 ms");
        late.restart(&busy);
        let find = |status: &StatusSnapshot| {
            figures(status, true, &late).into_iter().find(|figure| figure.0 == LATE).expect("a figure")
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
        assert!(advice(&high).contains("90 %"));
        assert_eq!(advice(&snapshot(State::Running, "", 0.2)), "");
        assert_eq!(advice(&snapshot(State::Running, "", 0.9)), "", "it waits for others, and all is in time");
        let slow = StatusSnapshot { headroom: 0.1, ..snapshot(State::Running, "", 0.2) };
        assert!(advice(&slow).contains("real-time priority"));
    }

    /// A picture of the panel where a model is asked, or not.
    struct Picture {
        panel: Rect,
        /// Of each text that is drawn: itself, where its letters are, and of what of that is to be seen.
        texts: Vec<(String, Vec<Pos2>, Rect)>,
    }

    fn picture(is_query_model: bool, status: &StatusSnapshot, host_side: &HostSide) -> Picture {
        let window = Rect::from_min_size(Pos2::ZERO, vec2(SIZE.width, SIZE.height));
        let panel = Panels::of(window, is_query_model, status.state == State::Unavailable).status.shrink(GAP);
        let mut user = TestUser::default();
        let mut picture = |ui: &mut Ui, _: &nice_plug::prelude::ParamSetter| {
            draw(&mut child(ui, panel), Some(status), host_side);
        };
        // A scroll bar is there from the second on.
        user.does(&[], &mut picture);
        let texts = user.draw(&mut picture).into_iter().filter_map(|clipped| {
            let Shape::Text(text) = clipped.shape else { return None };
            let galley = &text.galley;
            let bottom_of = |idx: usize| {
                let letter = galley.pos_from_cursor(egui::text::CCursor::new(idx));
                text.pos + letter.max.to_vec2()
            };
            let letters = (0..=galley.text().chars().count()).map(bottom_of).collect();
            Some((galley.text().to_owned(), letters, clipped.clip_rect))
        });
        Picture { panel, texts: texts.collect() }
    }

    impl Picture {
        /// Whether this part of a text is to be seen, to its end.
        fn shows(&self, part: &str) -> bool {
            self.texts.iter().any(|(text, letters, clip)| {
                let Some(at) = text.find(part) else { return false };
                let end = text[..at + part.len()].chars().count();
                let seen = self.panel.intersect(*clip).expand(0.5);
                letters[text[..at].chars().count()..=end].iter().all(|letter| seen.contains(*letter))
            })
        }
    }

    #[test]
    fn what_to_do_is_to_be_seen_at_once_in_both_sizes_of_the_panel() {
        let folder = "/home/somebody/.local/share/underscore";
        let held_back = |what: &str| {
            format!(
                "The host ended twice in a row while {what} was being loaded, so it is not loaded by itself. Press TRY AGAIN, or remove \
                 '{folder}/loading' and restart the host."
            )
        };
        let unseparated = "Nothing is separated: each stem's output carries half of the sound.";
        let messages = [
            (
                format!(
                    "libtorch is not installed: 'lib/libtorch/libtorch_cpu.so' is in none of '{folder}', '/home/somebody/.clap', \
                     '/home/somebody/.vst3/Underscore.vst3/Contents/x86_64-linux'. Install Underscore again (cargo xtask install), then \
                     reload the plugin. {unseparated}"
                ),
                "then reload the plugin.",
            ),
            (
                format!(
                    "The model file '{folder}/models/music-5.pt' is not the one that belongs to this version: expected SHA-256 {hash}, got \
                     {hash}. Install Underscore again (cargo xtask install) or choose another model. {unseparated}",
                    hash = "0123456789abcdef".repeat(4)
                ),
                "choose another model.",
            ),
            (format!("{} {unseparated}", held_back("libtorch")), "restart the host."),
        ];
        for is_query_model in [false, true] {
            for (message, remedy) in &messages {
                for is_held_back in [false, true] {
                    let status = StatusSnapshot { is_held_back, ..snapshot(State::Unavailable, message, 0.0) };
                    let picture = picture(is_query_model, &status, &PLAYS);
                    assert!(picture.shows(remedy), "{is_query_model}, {is_held_back}: {message}");
                    assert!(!is_held_back || picture.shows("TRY AGAIN"), "{is_query_model}: {message}");
                }
            }
            let fallback = format!("The graphics card cannot be used, the processor is: {}", held_back("its driver"));
            let status = StatusSnapshot { notice: fallback, is_held_back: true, ..snapshot(State::Running, "", 0.2) };
            assert!(
                picture(is_query_model, &status, &PLAYS).shows("Press TRY AGAIN"),
                "{is_query_model}: the fallback"
            );
            for is_unseparated in [false, true] {
                let status = StatusSnapshot { is_unseparated, ..status.clone() };
                let drawn = picture(is_query_model, &status, &PLAYS);
                let button = drawn.texts.iter().find(|(text, ..)| text == "TRY AGAIN").expect("the button");
                assert!(
                    button.1.iter().all(|letter| drawn.panel.contains(*letter)),
                    "{is_query_model}: {:?}",
                    button.1
                );
            }
            let [chosen, heard] = [Model::in_place_of("query-8"), Model::in_place_of("live-1")];
            let waiting = Some(restart_notice(chosen, heard));
            let host_side = HostSide { waiting, notices: vec!["Something else. ".repeat(30)], ..PLAYS };
            let running = running();
            assert!(
                picture(is_query_model, &running, &host_side).shows("set another buffer size."),
                "{is_query_model}"
            );
            for (status, is_bypassed) in [
                (StatusSnapshot { is_unseparated: true, ..running.clone() }, true),
                (StatusSnapshot { is_unseparated: true, headroom: 0.0, ..running.clone() }, false),
                (StatusSnapshot { headroom: 0.1, rtf: 0.9, ..running.clone() }, false),
                (StatusSnapshot { headroom: 0.1, ..running.clone() }, false),
            ] {
                let host_side = HostSide { is_bypassed, ..PLAYS };
                let advice = advice_for(Some(&status), &host_side);
                assert!(picture(is_query_model, &status, &host_side).shows(&advice), "{is_query_model}: {advice}");
            }
        }
    }

    #[test]
    fn one_text_is_set_larger_than_many() {
        let size_with = |num_texts: usize| {
            let texts = vec!["A text of some words that says what is to be done about it.".to_owned(); num_texts];
            let mut size = 0.0;
            TestUser::default().does(&[], &mut |ui, _| {
                size = size_of(&child(ui, Rect::from_min_max(Pos2::ZERO, pos2(156.0, 126.0))), &texts);
            });
            size
        };
        assert_eq!([size_with(1), size_with(20)], [TEXT_SIZES[0], TEXT_SIZES[2]]);
    }
}
