//! What can go wrong, and how it is told to the engine.

use std::path::PathBuf;

use tch::TchError;
use underscore_backend::Status;

/// Every failure of this backend. The text says what was expected, what was found, and what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackendError {
    #[error(
        "cannot read the model file {}: {source}; check that the file is there and that you may read it, or install the \
         models again",
        path.display()
    )]
    CannotRead { path: PathBuf, source: std::io::Error },

    #[error("{} is not a whole TorchScript file: {reason}; install or export the model again", path.display())]
    NotAModel { path: PathBuf, reason: String },

    #[error("{} does not describe itself: {reason}; export the model again with its metadata", path.display())]
    BadMetadata { path: PathBuf, reason: MetadataFault },

    #[error(
        "{} was exported with metadata schema {actual}, this version reads schema {expected}; {}",
        path.display(),
        if actual > expected { "update Underscore" } else { "export the model again" }
    )]
    WrongSchema { path: PathBuf, expected: u64, actual: u64 },

    #[error("{what}: expected {expected}, got {actual}; the caller and the model disagree, load the model again")]
    WrongShape { what: &'static str, expected: String, actual: String },

    #[error("{reason}; choose the CPU, or repair the graphics driver and its CUDA libraries")]
    NoDevice { reason: String },

    #[error("the model failed while running: {reason}; choose another model or device")]
    RunFailed { reason: String },
}

/// What is wrong with a model's metadata.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MetadataFault {
    #[error("{0} is missing from the file")]
    MissingFile(&'static str),

    #[error("{name} has {actual} bytes, at most {limit} are read")]
    TooLarge { name: &'static str, limit: u64, actual: u64 },

    #[error("underscore.json is not JSON: {0}")]
    NotJson(#[from] serde_json::Error),

    #[error("field {field}: expected {expected}, got {actual}")]
    Field { field: String, expected: String, actual: String },
}

impl BackendError {
    /// The status that goes with the message.
    pub(crate) fn status(&self) -> Status {
        match self {
            Self::CannotRead { .. } => Status::CANNOT_READ,
            Self::NotAModel { .. } => Status::NOT_A_MODEL,
            Self::BadMetadata { .. } => Status::BAD_METADATA,
            Self::WrongSchema { .. } => Status::WRONG_SCHEMA,
            Self::WrongShape { .. } => Status::WRONG_SHAPE,
            Self::NoDevice { .. } => Status::NO_DEVICE,
            Self::RunFailed { .. } => Status::RUN_FAILED,
        }
    }

    /// The same for another stream, whose call failed together with this one's.
    pub(crate) fn for_another(&self) -> Self {
        match self {
            Self::WrongShape { what, expected, actual } => {
                Self::WrongShape { what, expected: expected.clone(), actual: actual.clone() }
            }
            Self::NoDevice { reason } => Self::NoDevice { reason: reason.clone() },
            Self::RunFailed { reason } => Self::RunFailed { reason: reason.clone() },
            other => Self::RunFailed { reason: other.to_string() },
        }
    }

    /// A failed inference, from libtorch's own account of it.
    pub(crate) fn run_failed(error: &TchError) -> Self {
        Self::RunFailed { reason: cause(error) }
    }
}

/// The one line of a libtorch error that names the cause, without the C++ frames and the TorchScript traceback around it.
pub(crate) fn cause(error: &TchError) -> String {
    let text = error.to_string();
    let text = text.split("\nException raised from").next().unwrap_or_default();
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines().rfind(|line| line.contains("Error: ")).or_else(|| lines().next()).unwrap_or("no reason given").to_owned()
}
