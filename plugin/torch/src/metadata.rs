//! What a model says about itself, as far as running it needs it. The engine reads the rest from the same JSON.

use std::path::Path;

use serde_json::Value;
use underscore_backend::SCHEMA_VERSION;

use crate::error::{BackendError, MetadataFault};

/// Largest value of any one dimension: far above every use, far below what overflows a product of four.
const DIMENSION_LIMIT: u64 = 1 << 14;

/// The sizes of a model's tensors. `num_channels` is free: it is chosen per session.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Metadata {
    /// From frame to frame, seconds.
    pub(crate) hop_s: f64,
    /// Frames that go in, and masks that come out, per call.
    pub(crate) frames_per_call: usize,
    /// Bins per frame.
    pub(crate) num_bins: usize,
    /// Stems that the model gives masks for: all but the residual.
    pub(crate) num_masked_stems: usize,
    /// Shape of each state tensor; `None` stands for the number of channels.
    pub(crate) state_shapes: Vec<Vec<Option<i64>>>,
    /// Whether the module has methods that hand its recurrent weights out and take them back packed.
    pub(crate) packs_recurrent_weights: bool,
    /// Values of the embedding that the model is asked by; 0 where it is not.
    pub(crate) embedding_size: usize,
    /// Frames of an example.
    pub(crate) query_frames: usize,
    /// Calls in the test vector.
    pub(crate) num_test_calls: usize,
    /// Channels in the test vector.
    pub(crate) num_test_channels: usize,
}

impl Metadata {
    /// Parses `underscore.json` of the model at `path`.
    pub(crate) fn parse(json: &[u8], path: &Path) -> Result<Self, BackendError> {
        let bad = |reason| BackendError::BadMetadata { path: path.to_owned(), reason };
        let root: Value = serde_json::from_slice(json).map_err(|error| bad(error.into()))?;
        let actual = integer(&root, "/schema_version", 0, u64::MAX).map_err(bad)?;
        let expected = u64::from(SCHEMA_VERSION);
        if actual != expected {
            return Err(BackendError::WrongSchema { path: path.to_owned(), expected, actual });
        }
        Self::from_value(&root).map_err(bad)
    }

    fn from_value(root: &Value) -> Result<Self, MetadataFault> {
        let size = |field, min| integer(root, field, min, DIMENSION_LIMIT).map(|size| size as usize);
        let stems = strings(root, "/stems")?;
        if stems.len() < 2 {
            return Err(fault("/stems", "at least 2 names", &root["stems"]));
        }
        let residual = &root["residual"];
        if !stems.iter().any(|stem| Some(*stem) == residual.as_str()) {
            return Err(fault("/residual", &format!("one of {stems:?}"), residual));
        }
        let kind = root.pointer("/mask/kind").unwrap_or(&Value::Null);
        if kind.as_str() != Some("real") {
            return Err(fault("/mask/kind", "\"real\"", kind));
        }
        let embedding_size = size("/embedding_size", 0)?;
        Ok(Self {
            hop_s: seconds(root, "/hop_s")?,
            frames_per_call: size("/frames_per_call", 1)?,
            num_bins: size("/num_bins", 2)?,
            num_masked_stems: stems.len() - 1,
            state_shapes: state_shapes(root)?,
            packs_recurrent_weights: truth(root, "/packs_recurrent_weights")?,
            embedding_size,
            // Of no meaning, and not written, where nobody asks.
            query_frames: if embedding_size > 0 { size("/query_frames", 1)? } else { 0 },
            num_test_calls: size("/test_vector/num_calls", 1)?,
            num_test_channels: size("/test_vector/channels", 1)?,
        })
    }

    /// `f32` in one call's spectrum, `[channel][frame][bin][re, im]`.
    pub(crate) fn spectrum_len(&self, num_channels: usize) -> usize {
        num_channels * self.frames_per_call * self.num_bins * 2
    }

    /// `f32` in one call's masks, `[stem][channel][frame][bin]`.
    pub(crate) fn masks_len(&self, num_channels: usize) -> usize {
        self.num_masked_stems * num_channels * self.frames_per_call * self.num_bins
    }

    /// Checks that the test vector has as many values as its description says.
    pub(crate) fn check_test_vector(&self, actual_len: usize, path: &Path) -> Result<(), BackendError> {
        let per_call = self.spectrum_len(self.num_test_channels) + self.masks_len(self.num_test_channels);
        let expected_len = self.embedding_size + self.num_test_calls * per_call;
        if actual_len == expected_len {
            return Ok(());
        }
        let reason = MetadataFault::Field {
            field: "test_vector.f32".to_owned(),
            expected: format!("{expected_len} values"),
            actual: format!("{actual_len}"),
        };
        Err(BackendError::BadMetadata { path: path.to_owned(), reason })
    }

    /// Whether each state tensor has the channels for its first axis, and nowhere else: then streams can lie side by side.
    pub(crate) fn has_state_by_channel(&self) -> bool {
        self.state_shapes.iter().all(|shape| {
            shape.split_first().is_some_and(|(first, rest)| first.is_none() && rest.iter().all(Option::is_some))
        })
    }

    /// The shape of every state tensor of a stream of `num_channels` channels.
    pub(crate) fn state_shapes_for(&self, num_channels: usize) -> impl Iterator<Item = Vec<i64>> + '_ {
        self.state_shapes
            .iter()
            .map(move |shape| shape.iter().map(|size| size.unwrap_or(num_channels as i64)).collect())
    }
}

fn fault(field: &str, expected: &str, actual: &Value) -> MetadataFault {
    let mut actual = if actual.is_null() { "nothing".to_owned() } else { actual.to_string() };
    if let Some((at, _)) = actual.char_indices().nth(80) {
        actual.truncate(at);
        actual.push('…');
    }
    MetadataFault::Field {
        field: field.trim_start_matches('/').replace('/', "."),
        expected: expected.to_owned(),
        actual,
    }
}

fn integer(root: &Value, field: &str, min: u64, max: u64) -> Result<u64, MetadataFault> {
    let value = root.pointer(field).unwrap_or(&Value::Null);
    value.as_u64().filter(|number| (min..=max).contains(number)).ok_or_else(|| {
        let expected =
            if max == u64::MAX { "a whole number".to_owned() } else { format!("a whole number of {min} to {max}") };
        fault(field, &expected, value)
    })
}

fn seconds(root: &Value, field: &str) -> Result<f64, MetadataFault> {
    let value = root.pointer(field).unwrap_or(&Value::Null);
    let is_usable = |seconds: &f64| *seconds > 0.0 && *seconds <= 1.0;
    value.as_f64().filter(is_usable).ok_or_else(|| fault(field, "seconds, above 0 and at most 1", value))
}

fn truth(root: &Value, field: &str) -> Result<bool, MetadataFault> {
    let value = root.pointer(field).unwrap_or(&Value::Null);
    value.as_bool().ok_or_else(|| fault(field, "true or false", value))
}

fn strings<'a>(root: &'a Value, field: &str) -> Result<Vec<&'a str>, MetadataFault> {
    let value = root.pointer(field).unwrap_or(&Value::Null);
    let names = value.as_array().and_then(|array| array.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
    names.ok_or_else(|| fault(field, "a list of names", value))
}

fn state_shapes(root: &Value) -> Result<Vec<Vec<Option<i64>>>, MetadataFault> {
    const FIELD: &str = "/state_shapes";
    const EXPECTED: &str = "a list of shapes, each a list of sizes or -1 for the channels";
    let value = root.pointer(FIELD).unwrap_or(&Value::Null);
    let shapes = value.as_array().ok_or_else(|| fault(FIELD, EXPECTED, value))?;
    shapes
        .iter()
        .enumerate()
        .map(|(shape_idx, shape)| {
            let field = format!("{FIELD}/{shape_idx}");
            let sizes = shape.as_array().ok_or_else(|| fault(&field, EXPECTED, shape))?;
            let size = |value: &Value| match value.as_i64()? {
                -1 => Some(None),
                size if (0..=DIMENSION_LIMIT as i64).contains(&size) => Some(Some(size)),
                _ => None,
            };
            sizes.iter().map(size).collect::<Option<Vec<_>>>().ok_or_else(|| fault(&field, EXPECTED, shape))
        })
        .collect()
}
