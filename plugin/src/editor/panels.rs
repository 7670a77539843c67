//! Where things are in the window.

use egui::{Rect, pos2, vec2};
use nice_plug::editor::dpi::LogicalSize;

use crate::block::NUM_STEMS;

/// Size of the window, points.
pub const SIZE: LogicalSize<f32> = LogicalSize::new(620.0, 550.0);

/// Between panels, and round what is in them.
pub const GAP: f32 = 8.0;

const HEADER_HEIGHT: f32 = 40.0;
const STRIP_WIDTH: f32 = 130.0;
const IN_OUT_WIDTH: f32 = 80.0;
const STATUS_HEIGHT: f32 = 104.0;
/// Width of the same panel beside the panel of a query model.
const QUESTION_HEIGHT: f32 = 164.0;
const QUERY_WIDTH: f32 = 424.0;

/// Rectangles of all panels.
pub struct Panels {
    pub header: Rect,
    /// `[stem]`
    pub strips: [Rect; NUM_STEMS],
    pub in_out: Rect,
    pub separation: Rect,
    /// Where a model is asked.
    pub query: Option<Rect>,
    pub status: Rect,
}

impl Panels {
    /// In `window`. `is_query_model`: the model that is chosen is. `is_unavailable`: nothing answers, and what to do is all that there is to say.
    pub fn of(window: Rect, is_query_model: bool, is_unavailable: bool) -> Self {
        let (header, rest) = window.split_top_bottom_at_y(window.top() + HEADER_HEIGHT);
        let rest = Rect::from_min_max(pos2(rest.left() + GAP, rest.top()), rest.max - vec2(GAP, GAP));
        let row_height = if is_query_model { QUESTION_HEIGHT } else { STATUS_HEIGHT };
        let row = rest.with_min_y(rest.bottom() - row_height);
        let body = rest.with_max_y(row.top() - GAP);
        let (music, body) = split_off(body, STRIP_WIDTH);
        let (dialogue, body) = split_off(body, STRIP_WIDTH);
        let (in_out, separation) = split_off(body, IN_OUT_WIDTH);
        let (query, status) = if is_query_model && !is_unavailable {
            let (query, status) = split_off(row, QUERY_WIDTH);
            (Some(query), status)
        } else {
            (None, row)
        };
        Self { header, strips: [music, dialogue], in_out, separation, query, status }
    }
}

/// So much of the left, and what is right of the gap beside it.
fn split_off(rect: Rect, width: f32) -> (Rect, Rect) {
    let (left, right) = rect.split_left_right_at_x(rect.left() + width);
    (left, right.with_min_x(right.left() + GAP))
}
