//! One slot's letter on what its example looked like.

use egui::{Align2, Color32, CornerRadius, FontId, Painter, Rect, Response, Sense, Stroke, StrokeKind, Ui, pos2, vec2};
use underscore_engine::{KeptExample, Thumbnail};

use super::theme;

/// Width and height, points: one cell of a thumbnail is a point wide.
const SIZE: (f32, f32) = (34.0, 22.0);

/// Size of the picture that is shown under the pointer.
const LARGE: f32 = 5.0;

/// Draws the tile of `slot`, lit where the example is what is asked for. The caller handles a click.
pub fn draw(ui: &mut Ui, slot: &str, example: Option<&KeptExample>, is_asked_for: bool) -> Response {
    let sense = if example.is_some() { Sense::click() } else { Sense::hover() };
    let (rect, response) = ui.allocate_exact_size(vec2(SIZE.0, SIZE.1), sense);
    let painter = ui.painter();
    painter.rect_filled(rect, 4, theme::GROOVE);
    if let Some(thumbnail) = example.and_then(|example| example.thumbnail.as_ref()) {
        let colour = if is_asked_for { theme::MUSIC } else { theme::DIM };
        picture(painter, rect.shrink(1.0), thumbnail, colour);
    }
    let outline = if is_asked_for && example.is_some() { theme::MUSIC } else { theme::LINE };
    painter.rect_stroke(rect, 4, Stroke::new(1.0, outline), StrokeKind::Inside);
    if response.has_focus() {
        painter.rect_stroke(rect, 4, theme::FOCUS, StrokeKind::Outside);
    }
    let letter = FontId::proportional(12.0);
    painter.text(rect.left_center() + vec2(5.0, 0.0), Align2::LEFT_CENTER, slot, letter, theme::TEXT);
    let Some(example) = example else {
        return response
            .on_hover_text(format!("{slot} has no example: capture one from the sidechain, or open a file."));
    };
    response.on_hover_ui(|ui| {
        if let Some(thumbnail) = &example.thumbnail {
            let size = vec2(Thumbnail::NUM_COLUMNS as f32, Thumbnail::NUM_ROWS as f32) * LARGE;
            let (rect, _) = ui.allocate_exact_size(size, Sense::hover());
            picture(ui.painter(), rect, thumbnail, theme::MUSIC);
        }
        let name = if example.name.is_empty() { "the example" } else { &example.name };
        ui.label(format!("{slot}: {name}. Click to ask for it."));
    })
}

/// Time to the right, pitch up.
fn picture(painter: &Painter, rect: Rect, thumbnail: &Thumbnail, colour: Color32) {
    let cell = vec2(rect.width() / Thumbnail::NUM_COLUMNS as f32, rect.height() / Thumbnail::NUM_ROWS as f32);
    for column_idx in 0..Thumbnail::NUM_COLUMNS {
        for row_idx in 0..Thumbnail::NUM_ROWS {
            let level = thumbnail.level(column_idx, row_idx);
            if level > 0.0 {
                let corner =
                    pos2(rect.left() + column_idx as f32 * cell.x, rect.bottom() - (row_idx + 1) as f32 * cell.y);
                let shade = colour.gamma_multiply(level);
                painter.rect_filled(Rect::from_min_size(corner, cell), CornerRadius::ZERO, shade);
            }
        }
    }
}
