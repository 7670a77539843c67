//! Keys go to the window that has the focus, which is one of its thread's.

use nice_plug_egui::baseview::WindowContext;
use raw_window_handle::{HasWindowHandle, RawWindowHandle};
use windows_sys::Win32::UI::Input::KeyboardAndMouse::SetFocus;
use windows_sys::Win32::UI::WindowsAndMessaging::{GA_PARENT, GetAncestor};

pub fn take(window: &WindowContext) {
    if !window.has_focus()
        && let Err(error) = window.focus()
    {
        tracing::debug!("the editor's window does not get the keyboard: {error}");
    }
}

pub fn give_back(window: &WindowContext) {
    let Ok(RawWindowHandle::Win32(handle)) = window.window_handle().map(|handle| handle.as_raw()) else { return };
    if !window.has_focus() {
        return;
    }
    // SAFETY: the handle is that of the window that draws just now, on its thread; both calls take a handle that is no window's, too, and say so. What
    // they send to the window at once finds nothing of it borrowed but what draws, which no message of theirs leads to.
    unsafe {
        let parent = GetAncestor(handle.hwnd.get() as _, GA_PARENT);
        if !parent.is_null() {
            SetFocus(parent);
        }
    }
}
