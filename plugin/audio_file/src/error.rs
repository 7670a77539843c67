//! Why a file could not be read.

use std::path::PathBuf;

use symphonia::core::errors::Error;

use crate::EXTENSIONS;

/// Why a file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The system says so.
    #[error("cannot open {}: {reason}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// The system's word.
        reason: std::io::Error,
    },
    /// Nothing that is known.
    #[error("{} is no audio file that can be read ({})", path.display(), EXTENSIONS.join(", "))]
    Unknown {
        /// The file.
        path: PathBuf,
        /// What the reader expected.
        source: Error,
    },
    /// A container that is known, of a kind or with a codec that is not.
    #[error("{} has a container or codec that cannot be read ({reason}): convert it to WAV or FLAC", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What the reader says.
        reason: String,
    },
    /// A container without sound, or without a sample of it.
    #[error("{} holds no audio", .0.display())]
    Empty(PathBuf),
    /// Something in the middle cannot be decoded.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the decoder expected.
        reason: Error,
    },
    /// The rate or the number of channels changes inside the file.
    #[error("the rate or the number of channels changes inside {}", .0.display())]
    Changing(PathBuf),
    /// There is less in it than it says.
    #[error("{} is cut off: it declares {declared} samples and holds {actual}", path.display())]
    CutOff {
        /// The file.
        path: PathBuf,
        /// By its own count.
        declared: u64,
        /// Found.
        actual: u64,
    },
    /// It does not say how much is in it, but what its kind ends with is missing.
    #[error("{} is cut off: it breaks off after {actual} samples, without the mark of its end", path.display())]
    BrokenOff {
        /// The file.
        path: PathBuf,
        /// Found.
        actual: u64,
    },
    /// There is more in it than it says: files that were joined, or more than its kind can count.
    #[error(
        "{} holds more than the {declared} samples that it declares: export it anew, as FLAC where it is a WAV of more than 4 GB",
        path.display()
    )]
    HoldsMore {
        /// The file.
        path: PathBuf,
        /// By its own count.
        declared: u64,
    },
    /// More channels than whoever reads it can take.
    #[error("{} has {actual} channels, and up to {most} are taken: split it first", path.display())]
    TooManyChannels {
        /// The file.
        path: PathBuf,
        /// It has so many.
        actual: usize,
        /// As many as are taken.
        most: usize,
    },
    /// More samples than whoever reads it can take.
    #[error(
        "{} is too long: at {rate_hz} Hz, with as many channels, up to {longest_hours:.1} hours are taken: split it first",
        path.display()
    )]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Its sample rate, Hz.
        rate_hz: u32,
        /// At that, and with as many channels.
        longest_hours: f64,
    },
}
