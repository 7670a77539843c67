//! A list to choose from.

use egui::{ComboBox, Response, Ui};
use nice_plug::prelude::*;

use super::gesture::set;

/// A list of `variants` of `param`, `width` points wide.
pub fn draw<T: Enum + PartialEq + Copy + 'static>(
    ui: &mut Ui,
    setter: &ParamSetter,
    param: &EnumParam<T>,
    variants: impl Iterator<Item = T>,
    id: &str,
    width: f32,
) -> Response {
    let name = |variant: T| T::variants().get(variant.to_index()).copied().unwrap_or("?");
    ComboBox::from_id_salt(id)
        .width(width)
        .selected_text(name(param.value()))
        .show_ui(ui, |ui| {
            for variant in variants {
                if ui.selectable_label(param.value() == variant, name(variant)).clicked() {
                    set(setter, param, variant);
                }
            }
        })
        .response
}

/// All of them.
pub fn all<T: Enum>() -> impl Iterator<Item = T> {
    (0..T::variants().len()).map(T::from_index)
}
