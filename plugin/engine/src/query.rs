//! What a model that is asked by example is to look for: a point in the space that its examples lie in.

use serde::Deserialize;

/// Values of the largest embedding that a model may be asked by.
pub const MAX_EMBEDDING_SIZE: usize = 32;

/// A point in a model's space of examples. Models of fewer dimensions take the first ones. All zero: its middle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Embedding([f32; MAX_EMBEDDING_SIZE]);

impl Default for Embedding {
    fn default() -> Self {
        Self([0.0; MAX_EMBEDDING_SIZE])
    }
}

impl Embedding {
    /// Of these values. Those that are missing are 0, those beyond [`MAX_EMBEDDING_SIZE`] are left out, and so is what is no number.
    #[must_use]
    pub fn new(values: &[f32]) -> Self {
        let mut own = Self::default();
        for (place, value) in own.0.iter_mut().zip(values) {
            *place = if value.is_finite() { *value } else { 0.0 };
        }
        own
    }

    /// The values, [`MAX_EMBEDDING_SIZE`] of them.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.0
    }
}

/// A class of sounds that can be asked for without an example: the mean of its training examples.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct QueryPreset {
    /// Permanent id, saved in sessions: one word.
    pub id: String,
    /// As long as the model's embedding.
    pub embedding: Vec<f32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_embedding_holds_numbers_only_and_as_many_as_there_is_room_for() {
        let asked = Embedding::new(&[0.5, f32::NAN, f32::INFINITY, -1.0]);
        assert_eq!(asked.values()[..5], [0.5, 0.0, 0.0, -1.0, 0.0]);
        assert_eq!(Embedding::new(&[1.0; 2 * MAX_EMBEDDING_SIZE]).values(), [1.0; MAX_EMBEDDING_SIZE]);
    }
}
