//! Colours and sizes. Dark, because it lies beside pictures in dark rooms; few colours, each with one meaning.

use egui::style::ScrollStyle;
use egui::{Color32, Context, CornerRadius, FontFamily, FontId, Stroke, TextStyle, ThemePreference, Visuals, vec2};

/// Behind everything.
pub const BACKGROUND: Color32 = Color32::from_rgb(0x15, 0x17, 0x1b);
/// Behind a group of controls.
pub const PANEL: Color32 = Color32::from_rgb(0x20, 0x23, 0x29);
/// A groove, an empty meter, a button that is off.
pub const GROOVE: Color32 = Color32::from_rgb(0x12, 0x14, 0x17);
/// A control that can be moved.
pub const HANDLE: Color32 = Color32::from_rgb(0xd9, 0xdd, 0xe3);
/// Outlines.
pub const LINE: Color32 = Color32::from_rgb(0x3a, 0x3f, 0x48);
/// What is to be read.
pub const TEXT: Color32 = Color32::from_rgb(0xe4, 0xe7, 0xec);
/// Labels and scales.
pub const DIM: Color32 = Color32::from_rgb(0x96, 0x9d, 0xa9);
/// The music.
pub const MUSIC: Color32 = Color32::from_rgb(0x43, 0xbf, 0xb0);
/// The dialogue.
pub const DIALOGUE: Color32 = Color32::from_rgb(0x7a, 0xa7, 0xf7);
/// The mixture.
pub const MIXTURE: Color32 = Color32::from_rgb(0xa9, 0xb0, 0xbb);
/// All is well.
pub const GOOD: Color32 = Color32::from_rgb(0x5f, 0xc9, 0x6b);
/// Something is under way, or deserves a look; also solo.
pub const WARN: Color32 = Color32::from_rgb(0xf2, 0xb6, 0x3c);
/// Something does not work, or is switched off; also mute.
pub const BAD: Color32 = Color32::from_rgb(0xf0, 0x62, 0x5d);

/// Around what the keyboard moves.
pub const FOCUS: Stroke = Stroke { width: 1.0, color: TEXT };

/// Numbers and labels.
pub fn small() -> FontId {
    FontId::new(11.0, FontFamily::Proportional)
}

/// Scales of meters.
pub fn tiny() -> FontId {
    FontId::new(9.5, FontFamily::Proportional)
}

/// Sets the style of a new window.
pub fn apply(context: &Context) {
    context.set_theme(ThemePreference::Dark);
    let mut visuals = Visuals::dark();
    visuals.panel_fill = BACKGROUND;
    visuals.window_fill = PANEL;
    visuals.extreme_bg_color = GROOVE;
    visuals.override_text_color = Some(TEXT);
    visuals.selection.bg_fill = Color32::from_rgb(0x3d, 0x6b, 0x8f);
    for widget in [
        &mut visuals.widgets.inactive,
        &mut visuals.widgets.hovered,
        &mut visuals.widgets.active,
        &mut visuals.widgets.open,
    ] {
        widget.corner_radius = CornerRadius::same(4);
        widget.expansion = 0.0;
    }
    visuals.widgets.inactive.bg_fill = GROOVE;
    visuals.widgets.inactive.weak_bg_fill = GROOVE;
    visuals.widgets.inactive.bg_stroke = Stroke::new(1.0, LINE);
    visuals.widgets.hovered.weak_bg_fill = LINE;
    visuals.widgets.hovered.bg_stroke = Stroke::new(1.0, DIM);
    visuals.widgets.active.bg_fill = LINE;
    visuals.widgets.active.weak_bg_fill = LINE;
    visuals.widgets.open.weak_bg_fill = LINE;
    context.set_visuals(visuals);
    context.global_style_mut(|style| {
        style.spacing.item_spacing = vec2(6.0, 4.0);
        style.spacing.button_padding = vec2(6.0, 2.0);
        // That there is more to read is to be seen; its handle would have the colour of its groove.
        style.spacing.scroll = ScrollStyle { foreground_color: true, ..ScrollStyle::thin() };
        style.interaction.selectable_labels = false;
        for (text_style, size) in
            [(TextStyle::Body, 12.5), (TextStyle::Button, 12.5), (TextStyle::Small, 11.0), (TextStyle::Monospace, 12.0)]
        {
            let family =
                if text_style == TextStyle::Monospace { FontFamily::Monospace } else { FontFamily::Proportional };
            style.text_styles.insert(text_style, FontId::new(size, family));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Contrast ratio by the Web Content Accessibility Guidelines.
    fn contrast(one: Color32, other: Color32) -> f32 {
        let luminance = |colour: Color32| {
            let [red, green, blue] = [colour.r(), colour.g(), colour.b()].map(egui::ecolor::linear_f32_from_gamma_u8);
            0.2126 * red + 0.7152 * green + 0.0722 * blue
        };
        let (one, other) = (luminance(one) + 0.05, luminance(other) + 0.05);
        (one / other).max(other / one)
    }

    #[test]
    fn all_texts_can_be_read() {
        for text in [TEXT, DIM, MUSIC, DIALOGUE, MIXTURE, GOOD, WARN, BAD] {
            for behind in [BACKGROUND, PANEL, GROOVE] {
                assert!(contrast(text, behind) >= 4.5, "{text:?} on {behind:?}: {}", contrast(text, behind));
            }
        }
        // A switch that is on, and what is pointed at.
        for (text, behind) in [(GROOVE, MUSIC), (GROOVE, MIXTURE), (GROOVE, WARN), (GROOVE, BAD), (TEXT, LINE)] {
            assert!(contrast(text, behind) >= 4.5, "{text:?} on {behind:?}: {}", contrast(text, behind));
        }
    }
}
