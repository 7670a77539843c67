//! The editor, which knows the desktop's scale before its window is there.
//!
//! On X11 and Windows the window is made as large as the scale of the screen says (`Xft.dpi`; the system's dots per inch), but a host asks for its size
//! before: nice-plug-egui 0.6.0 answers as on a screen of 96 dpi then, and on a finer one the host shows the upper left corner of a window that
//! is larger than its frame. That the framework tells a VST3 host of the other size while the window opens is of no use: what is not open is not
//! resized. So the size is told here by the scale that the window will have.

use std::error::Error;

use nice_plug::context::gui::GuiContext;
use nice_plug::editor::dpi::{LogicalSize, NativeSize};
use nice_plug::editor::{EditorHandle, HostMethods, SpawnedEditor};
use nice_plug::plugin::TrackInfo;
use nice_plug::prelude::*;
use nice_plug_egui::{EguiEditor, EguiEditorHandle};

use super::EditorApp;

/// Dots per inch of a screen of one pixel per point.
#[cfg(any(target_os = "linux", target_os = "windows"))]
const UNSCALED_DPI: f64 = 96.0;

/// Editor of one instance.
pub struct ScaledEditor {
    inner: EguiEditor<EditorApp>,
    /// The host's window that the editor's lies in, or lay in last.
    #[cfg(target_os = "windows")]
    parent: std::sync::atomic::AtomicIsize,
    /// Points; it is never another one.
    size: LogicalSize<f32>,
}

impl ScaledEditor {
    /// `inner`, whose window is `size` points large.
    #[must_use]
    pub(super) fn new(inner: EguiEditor<EditorApp>, size: LogicalSize<f32>) -> Self {
        Self {
            inner,
            #[cfg(target_os = "windows")]
            parent: std::sync::atomic::AtomicIsize::new(0),
            size,
        }
    }
}

impl Editor for ScaledEditor {
    type Handle = EguiEditorHandle;

    fn spawn(
        &self,
        parent: Option<ParentWindowHandle>,
        wait_for_parent: bool,
        fallback_scale_factor: Option<f64>,
        gui_context: GuiContext,
        host: Option<HostMethods>,
    ) -> Result<SpawnedEditor<Self::Handle>, Box<dyn Error>> {
        #[cfg(target_os = "windows")]
        if let Some(ParentWindowHandle::Win32Hwnd(window)) = &parent {
            self.parent.store(window.get(), std::sync::atomic::Ordering::Relaxed);
        }
        // With X11 a window that is made with a host's scale draws by it and is as large as without (baseview 0.4.2); one that is told of it grows.
        let (at_first, then) =
            if cfg!(target_os = "linux") { (None, fallback_scale_factor) } else { (fallback_scale_factor, None) };
        let spawned = self.inner.spawn(parent, wait_for_parent, at_first, gui_context, host)?;
        if let Some(scale) = then {
            spawned.handle.set_fallback_scale_factor(scale, &spawned.window)?;
        }
        Ok(spawned)
    }

    fn size(&self) -> NativeSize<u32> {
        self.screen_scale().map_or_else(|| self.inner.size(), |scale| NativeSize::from_size(self.size.into(), scale))
    }

    fn resize_hint(&self) -> ResizeHint {
        self.inner.resize_hint()
    }

    fn track_info_updated(&self, info: TrackInfo) {
        self.inner.track_info_updated(info);
    }

    unsafe fn assume_standalone_in_process(&self) {
        // SAFETY: the caller's word is the same.
        unsafe { self.inner.assume_standalone_in_process() };
    }
}

impl ScaledEditor {
    /// Pixels per point of the screen that a window opens on, as the window reads it; none where there is no X server, or it does not say.
    #[cfg(target_os = "linux")]
    #[expect(clippy::unused_self, reason = "called as elsewhere")]
    fn screen_scale(&self) -> Option<f64> {
        let (connection, _) = x11rb::connect(None).ok()?;
        let resources = x11rb::resource_manager::new_from_default(&connection).ok()?;
        scale_of(&resources)
    }

    /// Pixels per point of the screen that the host's window is on; before there is one, or once it is gone, of the system, as the host's process sees
    /// it: one where the system scales what it shows.
    #[cfg(target_os = "windows")]
    fn screen_scale(&self) -> Option<f64> {
        use windows_sys::Win32::UI::HiDpi::{GetDpiForSystem, GetDpiForWindow};

        let parent = self.parent.load(std::sync::atomic::Ordering::Relaxed);
        // SAFETY: questions; of what is no window the answer is 0.
        let of_window = unsafe { GetDpiForWindow(parent as _) };
        // SAFETY: as above.
        let dpi = if of_window > 0 { of_window } else { unsafe { GetDpiForSystem() } };
        (dpi > 0).then(|| f64::from(dpi) / UNSCALED_DPI)
    }

    /// The framework knows it before there is a window.
    #[cfg(not(any(target_os = "linux", target_os = "windows")))]
    #[expect(clippy::unused_self, reason = "called as elsewhere")]
    fn screen_scale(&self) -> Option<f64> {
        None
    }
}

/// What is in the server's resources.
#[cfg(target_os = "linux")]
fn scale_of(resources: &x11rb::resource_manager::Database) -> Option<f64> {
    let dpi = resources.get_value::<u32>("Xft.dpi", "").ok().flatten()?;
    (dpi > 0).then(|| f64::from(dpi) / UNSCALED_DPI)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use x11rb::resource_manager::Database;

    use super::*;

    fn size_on(resources: &[u8]) -> Option<(u32, u32)> {
        let scale = scale_of(&Database::new_from_data(resources))?;
        let size = NativeSize::from_size(LogicalSize::new(620.0_f32, 500.0).into(), scale);
        Some((size.width, size.height))
    }

    #[test]
    fn a_screen_of_twice_the_dots_is_asked_for_twice_the_pixels() {
        assert_eq!(size_on(b"Xft.dpi:\t192\n"), Some((1240, 1000)));
        assert_eq!(size_on(b"Xcursor.size:\t24\nXft.dpi:\t144\n"), Some((930, 750)));
        assert_eq!(size_on(b"Xft.dpi:\t96\n"), Some((620, 500)));
    }

    #[test]
    fn where_the_screen_says_nothing_of_use_the_framework_s_size_holds() {
        for resources in [&b""[..], b"Xcursor.size:\t24\n", b"Xft.dpi:\t0\n", b"Xft.dpi:\tmany\n"] {
            assert_eq!(size_on(resources), None);
        }
    }
}
