//! What the stand-alone program was set to, kept from one run to the next: it has no session that would do that.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use nice_plug::context::PluginApi;
use nice_plug::context::gui::GuiContext;
use nice_plug::plugin::PluginState;
use underscore_engine::user_data_folder;

/// Environment variable that names the file, for several programs at once; empty: nothing is kept.
const FILE_VARIABLE: &str = "UNDERSCORE_STATE";

/// The file's name in the user's data folder.
const FILE_NAME: &str = "standalone.json";

/// In a host, and where there is no place for it, nothing is kept.
#[derive(Debug, Default)]
pub struct KeptState {
    file: Option<PathBuf>,
    /// Loads what was kept: it waits for the audio thread, which may not run.
    loading: Option<JoinHandle<()>>,
    /// What the file holds, as far as known.
    saved: String,
}

impl KeptState {
    /// Gives the stand-alone program what it was set to when it was closed.
    pub fn load(gui: &GuiContext) -> Self {
        let file = match std::env::var_os(FILE_VARIABLE) {
            Some(file) => (!file.is_empty()).then(|| file.into()),
            None => user_data_folder().map(|folder| folder.join(FILE_NAME)),
        };
        file.map_or_else(Self::default, |file| Self::load_from(file, gui))
    }

    fn load_from(file: PathBuf, gui: &GuiContext) -> Self {
        if gui.plugin_api() != PluginApi::Standalone {
            return Self::default();
        }
        let mut kept = Self { file: None, ..Self::default() };
        match read(&file) {
            Ok(None) => {}
            Ok(Some((text, state))) => {
                let gui = gui.clone();
                kept.loading = Some(std::thread::spawn(move || gui.set_state(state)));
                kept.saved = text;
            }
            Err(reason) => {
                // It may be worth something to somebody.
                let aside = file.with_extension("unreadable");
                let moved = fs::rename(&file, &aside);
                tracing::warn!(
                    "the settings of last time in {} cannot be read: {reason}; all is at its default{}",
                    file.display(),
                    moved.map_or_else(
                        |error| format!(", and nothing is kept: the file cannot be moved out of the way: {error}"),
                        |()| format!(", the file is {} now", aside.display())
                    )
                );
                if !aside.exists() {
                    return kept;
                }
            }
        }
        kept.file = Some(file);
        kept
    }

    /// Keeps what is set now, where it is another thing than at the last look. To be called every now and then.
    pub fn keep(&mut self, gui: &GuiContext) {
        let Some(file) = &self.file else { return };
        if self.loading.as_ref().is_some_and(|loading| !loading.is_finished()) {
            return;
        }
        let Ok(text) = serde_json::to_string_pretty(&gui.get_state()) else { return };
        if text == self.saved {
            return;
        }
        if let Err(error) = write(file, &text) {
            tracing::warn!("settings are not kept: {} cannot be written: {error}", file.display());
            self.file = None;
        }
        self.saved = text;
    }
}

/// The file's text and what it says; nothing, where there is none.
fn read(file: &Path) -> Result<Option<(String, PluginState)>, String> {
    match fs::read_to_string(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.to_string()),
        Ok(text) => match serde_json::from_str(&text) {
            Ok(state) => Ok(Some((text, state))),
            Err(error) => Err(format!("no state as this program writes it: {error}")),
        },
    }
}

/// All of it or nothing: the program may be ended at any time.
fn write(file: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let part = file.with_extension("part");
    fs::write(&part, text)?;
    fs::rename(part, file)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};

    use nice_plug::context::gui::GuiContextInner;
    use nice_plug::params::internals::ParamPtr;
    use nice_plug::plugin::ParamValue;

    use super::*;

    /// A program, or a host, with one setting.
    struct Program {
        api: PluginApi,
        gain: Mutex<f32>,
    }

    impl Program {
        fn new(api: PluginApi) -> (Arc<Self>, GuiContext) {
            let program = Arc::new(Self { api, gain: Mutex::new(1.0) });
            (program.clone(), GuiContext::new(program))
        }

        fn set(&self, gain: f32) {
            *self.gain.lock().unwrap() = gain;
        }

        fn gain(&self) -> f32 {
            *self.gain.lock().unwrap()
        }
    }

    impl GuiContextInner for Program {
        fn plugin_api(&self) -> PluginApi {
            self.api
        }

        fn request_restart(&self) {}

        unsafe fn raw_begin_set_parameter(&self, _: ParamPtr) {}

        unsafe fn raw_set_parameter_normalized(&self, _: ParamPtr, _: f32) {}

        unsafe fn raw_end_set_parameter(&self, _: ParamPtr) {}

        fn get_state(&self) -> PluginState {
            PluginState {
                version: "0.1.0".into(),
                params: BTreeMap::from([("gain".to_owned(), ParamValue::F32(self.gain()))]),
                fields: BTreeMap::new(),
            }
        }

        fn set_state(&self, state: PluginState) {
            if let Some(ParamValue::F32(gain)) = state.params.get("gain") {
                self.set(*gain);
            }
        }
    }

    /// A program that is started, and what it keeps, once it is loaded.
    fn started(file: &Path) -> (Arc<Program>, GuiContext, KeptState) {
        let (program, gui) = Program::new(PluginApi::Standalone);
        let mut kept = KeptState::load_from(file.into(), &gui);
        if let Some(loading) = kept.loading.take() {
            loading.join().unwrap();
        }
        (program, gui, kept)
    }

    #[test]
    fn what_was_set_is_set_again_when_the_program_is_started_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("not/there/yet/standalone.json");
        for (found, set) in [(1.0, 0.25), (0.25, 0.5), (0.5, 0.5)] {
            let (program, gui, mut kept) = started(&file);
            assert_eq!(program.gain(), found);
            program.set(set);
            kept.keep(&gui);
        }
    }

    #[test]
    fn what_has_not_changed_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("standalone.json");
        let (program, gui, mut kept) = started(&file);
        kept.keep(&gui);
        fs::remove_file(&file).unwrap();
        kept.keep(&gui);
        assert!(!file.exists());
        program.set(0.5);
        kept.keep(&gui);
        assert!(file.exists());
    }

    #[test]
    fn a_file_that_cannot_be_read_is_moved_aside_and_a_place_that_cannot_be_written_is_tried_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("standalone.json");
        fs::write(&file, "{\"params\": ").unwrap();
        let (program, gui, mut kept) = started(&file);
        assert_eq!(program.gain(), 1.0);
        kept.keep(&gui);
        assert!(matches!(read(&file), Ok(Some(_))));
        assert_eq!(fs::read_to_string(folder.path().join("standalone.unreadable")).unwrap(), "{\"params\": ");

        let (program, gui, mut kept) = started(&file.join("below a file"));
        assert_eq!(program.gain(), 1.0);
        kept.keep(&gui);
        assert!(kept.file.is_none());
    }

    #[test]
    fn in_a_host_the_session_keeps_it_and_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("standalone.json");
        let (_, gui) = Program::new(PluginApi::Clap);
        KeptState::load_from(file.clone(), &gui).keep(&gui);
        assert!(!file.exists());
    }
}
