//! Keys go to the window that has the focus, which is one of its thread's.

use nice_plug_egui::baseview::WindowContext;
use raw_window_handle::{HasWindowHandle, RawWindowHandle};
use windows_sys::Win32::Foundation::HWND;
use windows_sys::Win32::UI::Input::KeyboardAndMouse::{GetFocus, SetFocus};
use windows_sys::Win32::UI::WindowsAndMessaging::{GA_PARENT, GetAncestor, KillTimer, SetTimer, USER_TIMER_MINIMUM};

/// Among the timers of the window; the framework's own has another number.
const TIMER: usize = 0x00E5;

pub fn take(window: &WindowContext) {
    if !window.has_focus()
        && let Err(error) = window.focus()
    {
        tracing::debug!("the editor's window does not get the keyboard: {error}");
    }
}

/// Not within the picture: what gets the focus is told at once and may have this window drawn, which draws already and cannot do so twice. Where
/// the window goes before that, the timer goes with it.
pub fn give_back(window: &WindowContext) {
    let Ok(RawWindowHandle::Win32(handle)) = window.window_handle().map(|handle| handle.as_raw()) else { return };
    // SAFETY: the handle is that of the window that draws just now, on its thread.
    unsafe { SetTimer(handle.hwnd.get() as HWND, TIMER, USER_TIMER_MINIMUM, Some(give_focus_back)) };
}

unsafe extern "system" fn give_focus_back(window: HWND, _message: u32, timer: usize, _time_ms: u32) {
    // SAFETY: called by the thread's loop of messages with a window of it; all of these take a handle that is no window's, too, and say so.
    unsafe {
        KillTimer(window, timer);
        let parent = GetAncestor(window, GA_PARENT);
        if GetFocus() == window && !parent.is_null() {
            SetFocus(parent);
        }
    }
}
