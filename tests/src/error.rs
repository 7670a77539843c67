//! What can go wrong between this host and a plugin.

use std::path::PathBuf;

/// A failure of the host, the bundle or the plugin, each with what was asked and what came.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// There is no bundle where one was looked for.
    #[error("no plugin bundle at {path}: run `cargo xtask bundle` first, or set UNDERSCORE_BUNDLE")]
    NoBundle {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The file is there but is no CLAP that can be opened.
    #[error("cannot open {path} as a CLAP bundle: {reason}")]
    CannotOpen {
        /// The file.
        path: PathBuf,
        /// The loader's words.
        reason: String,
    },
    /// The bundle holds no plugin of the id asked for, or none at all.
    #[error("no plugin {asked:?} in the bundle; it has {offered:?}")]
    NoPlugin {
        /// Id asked for; `None` for "the first".
        asked: Option<String>,
        /// Ids that the bundle lists.
        offered: Vec<String>,
    },
    /// The plugin or its wrapper refused a call.
    #[error("{call} failed: {reason}")]
    Refused {
        /// The lifecycle call.
        call: &'static str,
        /// Why, as far as it was said.
        reason: String,
    },
    /// The plugin does not implement an extension that the call needs.
    #[error("the plugin does not offer the CLAP extension `{0}`")]
    NoExtension(&'static str),
    /// No port layout with that many main channels.
    #[error("no port layout with {asked} main channels; the plugin offers {offered:?}")]
    NoLayout {
        /// Main channels asked for.
        asked: usize,
        /// Main channels of each layout offered.
        offered: Vec<usize>,
    },
    /// No param of that id or name.
    #[error("no param `{asked}`; the plugin has {offered:?}")]
    NoParam {
        /// Id or name asked for.
        asked: String,
        /// Names of all params.
        offered: Vec<String>,
    },
    /// The text is no value of the param.
    #[error("`{text}` is no value of `{param}`{hint}")]
    NoValue {
        /// The param's name.
        param: String,
        /// The text.
        text: String,
        /// The values there are, where they can be counted.
        hint: String,
    },
    /// The call is only allowed while the plugin is not activated.
    #[error("{0} needs a plugin that is not activated")]
    MustBeInactive(&'static str),
    /// `activate` before `configure`.
    #[error("call configure before activate")]
    NotConfigured,
    /// The bundle exports no readable diagnostics.
    #[error("diagnostics of {path}: {reason}")]
    Diagnostics {
        /// The bundle.
        path: PathBuf,
        /// What is missing or malformed.
        reason: String,
    },
    /// A model did not load within the time given.
    #[error("the model is still `{state}` after {waited_s:.0} s: {message}")]
    NotLoaded {
        /// State in the diagnostics.
        state: String,
        /// Message in the diagnostics.
        message: String,
        /// Time waited, seconds.
        waited_s: f64,
    },
    /// A model did not come to run at all.
    #[error("nothing can be separated (`{state}`): {message}")]
    NotRunning {
        /// State in the diagnostics.
        state: String,
        /// What the plugin says is missing.
        message: String,
    },
    /// What takes the outputs of a render cannot.
    #[error("the outputs of a render cannot be kept")]
    Recorder(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Signals that should belong together have different shapes.
    #[error("{what}: expected {expected}, got {actual}")]
    Shape {
        /// What has the wrong shape.
        what: &'static str,
        /// Expected count.
        expected: usize,
        /// Actual count.
        actual: usize,
    },
}

impl HostError {
    pub(crate) fn refused(call: &'static str, reason: impl std::fmt::Display) -> Self {
        Self::Refused { call, reason: reason.to_string() }
    }
}
