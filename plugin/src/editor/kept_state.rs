//! What the stand-alone program was set to, kept from one run to the next: it has no session that would do that.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use nice_plug::context::PluginApi;
use nice_plug::context::gui::GuiContext;
use nice_plug::plugin::PluginState;
use tempfile::NamedTempFile;
use underscore_engine::user_data_folder;

use super::window_end::at_end;

/// Environment variable that names the file, for several programs at once; empty: nothing is kept.
const FILE_VARIABLE: &str = "UNDERSCORE_STATE";

/// The file's name in the user's data folder.
const FILE_NAME: &str = "standalone.json";

/// What is added to the name of a file that is no state.
const UNREADABLE: &str = ".unreadable";

/// In a host, and where there is no place for it, nothing is kept.
#[derive(Debug, Default)]
pub struct KeptState {
    file: Option<PathBuf>,
    /// Loads what was kept: it waits for the audio thread, which may not run.
    loading: Option<JoinHandle<()>>,
    /// What was set at the last look; none before the first one, with which nothing is written: it may say less than the file.
    seen: Option<String>,
    is_failure_told: bool,
}

impl KeptState {
    /// Gives the stand-alone program what it was set to when it was closed.
    pub fn load(gui: &GuiContext) -> Self {
        let file = match std::env::var_os(FILE_VARIABLE) {
            Some(file) => (!file.is_empty()).then(|| file.into()),
            None => user_data_folder().map(|folder| folder.join(FILE_NAME)),
        };
        file.filter(|_| gui.plugin_api() == PluginApi::Standalone)
            .map_or_else(Self::default, |file| Self::load_from(file, gui))
    }

    fn load_from(file: PathBuf, gui: &GuiContext) -> Self {
        match Self::try_load(&file, gui) {
            Ok(loading) => Self { file: Some(file), loading, ..Self::default() },
            Err(reason) => {
                tracing::error!("settings are neither loaded nor kept: {}: {reason}", file.display());
                Self::default()
            }
        }
    }

    /// What loads the file, where there is one.
    fn try_load(file: &Path, gui: &GuiContext) -> Result<Option<JoinHandle<()>>, String> {
        let text = match fs::read(file) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            read => read.map_err(|error| format!("it cannot be read: {error}"))?,
        };
        match serde_json::from_slice::<PluginState>(&text) {
            Ok(state) => {
                let gui = gui.clone();
                let load = move || gui.set_state(state);
                let loading = std::thread::Builder::new().name("underscore state".into()).spawn(load);
                loading.map(Some).map_err(|error| format!("no thread: {error}"))
            }
            Err(error) => {
                // It may be worth something to somebody.
                let mut aside = file.as_os_str().to_owned();
                aside.push(UNREADABLE);
                let aside = PathBuf::from(aside);
                fs::rename(file, &aside).map_err(|error| format!("it is no state and cannot be moved: {error}"))?;
                tracing::warn!("all is at its default: what is in {} now is no state: {error}", aside.display());
                Ok(None)
            }
        }
    }

    /// Keeps what is set now, where it is another thing than at the last look. To be called every now and then.
    pub fn keep(&mut self, gui: &GuiContext) {
        let Some(file) = &self.file else { return };
        if self.loading.as_ref().is_some_and(|loading| !loading.is_finished()) {
            return;
        }
        let Ok(text) = serde_json::to_string_pretty(&gui.get_state()) else { return };
        if self.seen.as_ref().is_some_and(|seen| *seen != text)
            && let Err(error) = write(file, &text)
            && !std::mem::replace(&mut self.is_failure_told, true)
        {
            tracing::warn!("settings are not kept: {} cannot be written: {error}", file.display());
        }
        self.seen = Some(text);
    }
}

/// Keeps what is set when the window of `context` ends, and the program with it, unless `is_more_than_known`: the last look may be a while ago.
pub fn keep_at_end(
    kept: &Arc<Mutex<KeptState>>,
    context: &egui::Context,
    gui: GuiContext,
    is_more_than_known: impl Fn() -> bool + Send + 'static,
) {
    let kept = kept.clone();
    at_end(context, "kept state", move || {
        if !is_more_than_known() {
            kept.lock().unwrap_or_else(PoisonError::into_inner).keep(&gui);
        }
    });
}

/// All of it or nothing: the program may be ended at any time, and another one may keep the same file.
fn write(file: &Path, text: &str) -> std::io::Result<()> {
    // A bare name is one in the working folder.
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut part = NamedTempFile::new_in(folder)?;
    part.write_all(text.as_bytes())?;
    part.persist(file)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use nice_plug::context::gui::GuiContextInner;
    use nice_plug::params::internals::ParamPtr;
    use nice_plug::plugin::ParamValue;

    use super::*;

    /// A program, or a host, with one setting.
    struct Program {
        api: PluginApi,
        gain: Mutex<f32>,
        /// Held: no audio thread runs, and nothing is loaded.
        audio_thread: Mutex<()>,
    }

    impl Program {
        fn new(api: PluginApi) -> (Arc<Self>, GuiContext) {
            let program = Arc::new(Self { api, gain: Mutex::new(1.0), audio_thread: Mutex::default() });
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
            let _runs = self.audio_thread.lock().unwrap();
            if let Some(ParamValue::F32(gain)) = state.params.get("gain") {
                self.set(*gain);
            }
        }
    }

    /// A program that is started, and what it keeps, loaded and looked at once.
    fn started(file: &Path) -> (Arc<Program>, GuiContext, KeptState) {
        let (program, gui) = Program::new(PluginApi::Standalone);
        let mut kept = KeptState::load_from(file.into(), &gui);
        if let Some(loading) = kept.loading.take() {
            loading.join().unwrap();
        }
        kept.keep(&gui);
        (program, gui, kept)
    }

    #[test]
    fn what_was_set_is_set_again_when_the_program_is_started_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("not/there/yet/standalone.json");
        for (found, set) in [(1.0, 0.25), (0.25, 0.5), (0.5, 0.5), (0.5, 1.0)] {
            let (program, gui, mut kept) = started(&file);
            assert_eq!(program.gain(), found);
            program.set(set);
            kept.keep(&gui);
        }
        assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1, "no half file");
    }

    #[test]
    fn what_was_set_since_the_last_look_is_kept_when_the_window_closes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("standalone.json");
        for (set, is_more_than_known, found) in [(0.25, false, 0.25), (0.5, true, 0.25), (0.75, false, 0.75)] {
            let (program, gui, kept) = started(&file);
            let context = egui::Context::default();
            keep_at_end(&Arc::new(Mutex::new(kept)), &context, gui, move || is_more_than_known);
            program.set(set);
            drop(context);
            assert_eq!(started(&file).0.gain(), found);
        }
    }

    /// More than this program knows.
    const OF_A_NEWER_ONE: &str = r#"{"params": {"gain": {"f32": 0.25}, "reverb": {"f32": 0.5}}, "fields": {}}"#;

    #[test]
    fn what_nobody_changed_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("standalone.json");
        fs::write(&file, OF_A_NEWER_ONE).unwrap();
        let (program, gui, mut kept) = started(&file);
        kept.keep(&gui);
        assert_eq!(fs::read_to_string(&file).unwrap(), OF_A_NEWER_ONE);
        program.set(0.5);
        kept.keep(&gui);
        assert_ne!(fs::read_to_string(&file).unwrap(), OF_A_NEWER_ONE);
    }

    #[test]
    fn what_changes_because_it_is_loaded_was_changed_by_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("standalone.json");
        fs::write(&file, OF_A_NEWER_ONE).unwrap();
        let (program, gui) = Program::new(PluginApi::Standalone);
        let does_not_run = program.audio_thread.lock().unwrap();
        let mut kept = KeptState::load_from(file.clone(), &gui);
        kept.keep(&gui);
        drop(does_not_run);
        while !kept.loading.as_ref().unwrap().is_finished() {
            std::thread::yield_now();
        }
        kept.keep(&gui);
        assert_eq!(program.gain(), 0.25);
        assert_eq!(fs::read_to_string(&file).unwrap(), OF_A_NEWER_ONE);
    }

    #[test]
    fn what_is_no_state_is_moved_aside_and_what_cannot_be_read_stays_where_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("standalone.json");
        for text in ["{\"params\": ".as_bytes(), &[0xff, 0xfe]] {
            fs::write(&file, text).unwrap();
            let (program, gui, mut kept) = started(&file);
            assert_eq!(program.gain(), 1.0);
            program.set(0.5);
            kept.keep(&gui);
            assert_eq!(fs::read(folder.path().join("standalone.json.unreadable")).unwrap(), text);
            assert_eq!(started(&file).0.gain(), 0.5);
        }
        let a_folder = folder.path().join("folder");
        fs::create_dir_all(a_folder.join("of somebody's")).unwrap();
        let (program, gui, mut kept) = started(&a_folder);
        program.set(0.5);
        kept.keep(&gui);
        assert!(a_folder.join("of somebody's").exists());
    }

    #[test]
    fn what_cannot_be_written_once_is_written_with_the_next_change() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sub/standalone.json");
        let (program, gui, mut kept) = started(&file);
        // In the way of the folder.
        fs::write(folder.path().join("sub"), "").unwrap();
        program.set(0.5);
        kept.keep(&gui);
        assert!(kept.is_failure_told);
        fs::remove_file(folder.path().join("sub")).unwrap();
        program.set(0.25);
        kept.keep(&gui);
        assert_eq!(started(&file).0.gain(), 0.25);
    }

    #[test]
    fn in_a_host_the_session_keeps_it_and_nobody_else() {
        let (_, gui) = Program::new(PluginApi::Clap);
        assert!(KeptState::load(&gui).file.is_none());
    }
}
