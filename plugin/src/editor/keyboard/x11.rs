//! Keys go to the window below the pointer, if that lies in the one that has the focus, or else to the latter; and from there up to the first
//! that has asked for them, but no further than the one that has the focus. So the window neither keeps the focus nor asks for keys.
//!
//! All of it is asked for by the connection that the window was made with: what a window asks for it asks for each connection by itself. Every answer is
//! waited for here, since an error that nobody waits for may end the host.

use nice_plug_egui::baseview::WindowContext;
use raw_window_handle::{HasDisplayHandle, HasWindowHandle, RawDisplayHandle, RawWindowHandle};
use x11_dl::xlib_xcb::Xlib_xcb;
use x11rb::CURRENT_TIME;
use x11rb::connection::Connection;
use x11rb::errors::ReplyError;
use x11rb::protocol::xproto::{AtomEnum, ChangeWindowAttributesAux, ConnectionExt, EventMask, InputFocus, Window};
use x11rb::xcb_ffi::XCBConnection;

/// More windows than lie in each other in any host.
const DEEPEST: usize = 64;

pub fn take(window: &WindowContext) {
    // The framework may believe that it has the focus where the pointer has led keys to it.
    if let Err(error) = window.focus() {
        tracing::debug!("the editor's window does not get the keyboard: {error}");
    }
    with(window, |connection, window| ask_for_keys(connection, window, true));
}

pub fn give_back(window: &WindowContext) {
    with(window, |connection, window| {
        ask_for_keys(connection, window, false)?;
        leave_focus(connection, window)
    });
}

/// Does `work` on the connection that `window` was made with.
fn with(window: &WindowContext, work: impl FnOnce(&XCBConnection, Window) -> Result<(), ReplyError>) {
    let (Ok(own), Ok(display)) = (window.window_handle(), window.display_handle()) else { return };
    let (RawWindowHandle::Xlib(own), RawDisplayHandle::Xlib(display)) = (own.as_raw(), display.as_raw()) else {
        return;
    };
    let (Ok(own), Some(display), Ok(library)) = (Window::try_from(own.window), display.display, Xlib_xcb::open())
    else {
        return;
    };
    // SAFETY: the display is the window's, which draws just now and outlives this call.
    let connection = unsafe { (library.XGetXCBConnection)(display.as_ptr().cast()) };
    if connection.is_null() {
        return;
    }
    // SAFETY: as above; it is not closed here.
    let connection = unsafe { XCBConnection::from_raw_xcb_connection(connection.cast(), false) };
    let done = connection
        .map_err(|error| error.to_string())
        .and_then(|connection| work(&connection, own).map_err(|error| error.to_string()));
    if let Err(error) = done {
        tracing::debug!("whose the keys are stays as it is: {error}");
    }
}

/// Has `window` get keys, or not, of all that this connection asks for.
fn ask_for_keys(connection: &impl Connection, window: Window, are_wanted: bool) -> Result<(), ReplyError> {
    let keys = EventMask::KEY_PRESS | EventMask::KEY_RELEASE;
    let asked = connection.get_window_attributes(window)?.reply()?.your_event_mask;
    let asked = if are_wanted { asked | keys } else { asked.remove(keys) };
    connection.change_window_attributes(window, &ChangeWindowAttributesAux::new().event_mask(asked))?.check()
}

/// Gives the focus, where `window` has it, to the application's own window that it lies in.
fn leave_focus(connection: &impl Connection, window: Window) -> Result<(), ReplyError> {
    if connection.get_input_focus()?.reply()?.focus != window {
        return Ok(());
    }
    let Some(to) = top_level(connection, window)? else { return Ok(()) };
    connection.set_input_focus(InputFocus::PARENT, to, CURRENT_TIME)?.check()
}

/// The window that a window manager knows `window` by: what is above is the manager's own. Without a manager, the outermost. None for one that lies
/// in no other.
fn top_level(connection: &impl Connection, window: Window) -> Result<Option<Window>, ReplyError> {
    let state = connection.intern_atom(false, b"WM_STATE")?.reply()?.atom;
    let mut outermost = None;
    let mut at = window;
    for _ in 0..DEEPEST {
        let tree = connection.query_tree(at)?.reply()?;
        if tree.parent == x11rb::NONE || tree.parent == tree.root {
            break;
        }
        at = tree.parent;
        outermost = Some(at);
        if connection.get_property(false, at, state, AtomEnum::ANY, 0, 0)?.reply()?.type_ != x11rb::NONE {
            break;
        }
    }
    Ok(outermost)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Child, Command, Stdio};
    use std::time::{Duration, Instant};

    use x11rb::protocol::Event;
    use x11rb::protocol::xproto::{CreateWindowAux, KEY_PRESS_EVENT, KEY_RELEASE_EVENT, WindowClass};
    use x11rb::protocol::xtest::ConnectionExt as _;
    use x11rb::rust_connection::RustConnection;

    use super::*;

    /// An X server of the test's own.
    struct Server {
        process: Child,
        display: String,
    }

    impl Server {
        /// None where there is none to be had.
        fn start() -> Option<Self> {
            let mut process = Command::new("Xvfb")
                .args(["-displayfd", "1", "-screen", "0", "320x240x24", "-nolisten", "tcp"])
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .ok()?;
            let mut number = String::new();
            BufReader::new(process.stdout.take()?).read_line(&mut number).ok()?;
            Some(Self { process, display: format!(":{}", number.trim()) })
        }

        fn connect(&self) -> RustConnection {
            x11rb::connect(Some(&self.display)).expect("a connection").0
        }
    }

    impl Drop for Server {
        fn drop(&mut self) {
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }

    /// A window over all of its parent that asks for keys.
    fn open(connection: &RustConnection, parent: Window) -> Window {
        let id = connection.generate_id().expect("an id");
        let asked = CreateWindowAux::new().event_mask(EventMask::KEY_PRESS | EventMask::BUTTON_PRESS);
        let window = connection.create_window(0, id, parent, 0, 0, 320, 240, 0, WindowClass::INPUT_OUTPUT, 0, &asked);
        window.expect("sent").check().expect("a window");
        connection.map_window(id).expect("sent").check().expect("mapped");
        id
    }

    fn focus(connection: &RustConnection, window: Window) {
        let focus = connection.set_input_focus(InputFocus::POINTER_ROOT, window, CURRENT_TIME);
        focus.expect("sent").check().expect("focused");
    }

    /// Which of the connections gets the key that is pressed now.
    fn who_gets_a_key(connections: [&RustConnection; 2]) -> Option<usize> {
        for kind in [KEY_PRESS_EVENT, KEY_RELEASE_EVENT] {
            let key = connections[0].xtest_fake_input(kind, 65, 0, x11rb::NONE, 0, 0, 0);
            key.expect("sent").check().expect("a key");
        }
        let until = Instant::now() + Duration::from_secs(5);
        while Instant::now() < until {
            for (place, connection) in connections.iter().enumerate() {
                if let Some(Event::KeyPress(_)) = connection.poll_for_event().expect("a connection") {
                    return Some(place);
                }
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        None
    }

    #[test]
    fn keys_over_the_window_are_the_host_s_but_while_they_are_asked_for() {
        let Some(server) = Server::start() else { return eprintln!("without Xvfb nothing is tried here") };
        let (host, editor) = (server.connect(), server.connect());
        let root = host.setup().roots[0].root;
        // The host's own window, one for the editor in it, and the editor's in that.
        let outer = open(&host, root);
        let frame = open(&host, outer);
        let none = ChangeWindowAttributesAux::new().event_mask(EventMask::NO_EVENT);
        host.change_window_attributes(frame, &none).expect("sent").check().expect("a frame that asks for nothing");
        let own = open(&editor, frame);
        host.warp_pointer(x11rb::NONE, root, 0, 0, 0, 0, 100, 100).expect("sent").check().expect("a pointer");

        focus(&editor, own);
        assert_eq!(who_gets_a_key([&host, &editor]), Some(1), "as it opens");
        ask_for_keys(&editor, own, false).and_then(|()| leave_focus(&editor, own)).expect("given back");
        assert_eq!(who_gets_a_key([&host, &editor]), Some(0));
        assert_eq!(host.get_input_focus().expect("sent").reply().expect("a focus").focus, outer);
        focus(&editor, own);
        ask_for_keys(&editor, own, true).expect("taken");
        assert_eq!(who_gets_a_key([&host, &editor]), Some(1));

        // Another window has the focus: it keeps it.
        focus(&host, frame);
        leave_focus(&editor, own).expect("nothing to give back");
        assert_eq!(host.get_input_focus().expect("sent").reply().expect("a focus").focus, frame);
        // A host that takes its windows away first.
        host.destroy_window(outer).expect("sent").check().expect("gone");
        assert!(ask_for_keys(&editor, own, false).is_err());
    }
}
