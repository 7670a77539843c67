//! The framework passes keys on by itself.

use nice_plug_egui::baseview::WindowContext;

pub fn take(_window: &WindowContext) {}

pub fn give_back(_window: &WindowContext) {}
