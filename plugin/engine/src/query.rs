//! What a model that is asked by example is to look for: a point in the space that its examples lie in.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde::Deserialize;

/// Queries that a question is made of: A and B.
pub const NUM_SLOTS: usize = 2;

/// Values of the largest embedding that a model may be asked by.
pub const MAX_EMBEDDING_SIZE: usize = 32;

/// Below it two directions are one, or opposite.
const SMALLEST_SINE: f32 = 1e-3;

/// Below it a point has no direction.
const SMALLEST_LENGTH: f32 = 1e-6;

/// No value of an embedding is larger: those of models lie within some units, and products of these stay finite.
const LARGEST: f32 = 100.0;

/// A point in a model's space of examples. Models of fewer dimensions take the first ones. All zero: its middle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Embedding([f32; MAX_EMBEDDING_SIZE]);

impl Default for Embedding {
    fn default() -> Self {
        Self([0.0; MAX_EMBEDDING_SIZE])
    }
}

impl Embedding {
    /// Of these values. Those that are missing are 0, those beyond [`MAX_EMBEDDING_SIZE`] are left out, and so is what is no number; what is
    /// larger than any model's is limited.
    #[must_use]
    pub fn new(values: &[f32]) -> Self {
        let mut own = Self::default();
        for (place, value) in own.0.iter_mut().zip(values) {
            *place = if value.is_finite() { value.clamp(-LARGEST, LARGEST) } else { 0.0 };
        }
        own
    }

    /// The point `share` of the way from here (0) to `other` (1): its direction along the arc between theirs (spherical linear
    /// interpolation, Shoemake 1985), its length in between. Where there is no one arc, along the straight line.
    #[must_use]
    pub fn towards(&self, other: &Self, share: f32) -> Self {
        let dot = |a: &Self, b: &Self| a.0.iter().zip(&b.0).map(|(a, b)| a * b).sum::<f32>();
        let lengths = (dot(self, self).sqrt(), dot(other, other).sqrt());
        let cosine = dot(self, other) / (lengths.0 * lengths.1).max(f32::MIN_POSITIVE);
        let angle = cosine.clamp(-1.0, 1.0).acos();
        let sine = angle.sin();
        let (of_self, of_other) = if sine < SMALLEST_SINE || lengths.0.min(lengths.1) < SMALLEST_LENGTH {
            (1.0 - share, share)
        } else {
            let length = lengths.0 + share * (lengths.1 - lengths.0);
            (
                ((1.0 - share) * angle).sin() / sine * length / lengths.0,
                (share * angle).sin() / sine * length / lengths.1,
            )
        };
        let values: [f32; MAX_EMBEDDING_SIZE] =
            std::array::from_fn(|idx| of_self * self.0[idx] + of_other * other.0[idx]);
        Self::new(&values)
    }

    /// The values, [`MAX_EMBEDDING_SIZE`] of them.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.0
    }
}

/// In which model's space a point lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Space(
    /// Of the model's id; 0 where that is not known.
    pub(crate) u64,
);

impl Space {
    /// That of the model of this id; empty: not known.
    #[must_use]
    pub fn of(model_id: &str) -> Self {
        // Of this process alone: sessions have the id itself.
        let mut hasher = DefaultHasher::new();
        model_id.hash(&mut hasher);
        Self(if model_id.is_empty() { 0 } else { hasher.finish().max(1) })
    }

    /// Whether a point of this space may mean the same in the other one: it is the same, or nobody knows.
    #[must_use]
    pub fn may_be(self, other: Self) -> bool {
        self == other || self.0 == 0 || other.0 == 0
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

/// What is asked for in one slot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Query {
    /// This point.
    Point(Embedding),
    /// Where the example of this slot lies that was listened to last.
    Example {
        /// As long as there is none.
        otherwise: Embedding,
    },
    /// What lies at this place of the model's map, see [`QueryMap::between`](crate::QueryMap::between).
    Map(crate::query_map::Place),
}

/// What is asked for: the point between what is asked for in either slot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QueryBlend {
    /// A, then B.
    pub slots: [Query; NUM_SLOTS],
    /// 0 (A)..=1 (B), see [`Embedding::towards`].
    pub blend: f32,
}

impl Default for QueryBlend {
    /// The middle of the space.
    fn default() -> Self {
        Self { slots: [Query::Point(Embedding::default()); NUM_SLOTS], blend: 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_embedding_holds_numbers_only_and_as_many_as_there_is_room_for() {
        let asked = Embedding::new(&[0.5, f32::NAN, f32::INFINITY, -1.0]);
        assert_eq!(asked.values()[..5], [0.5, 0.0, 0.0, -1.0, 0.0]);
        assert_eq!(Embedding::new(&[1e30, -1e30]).values()[..2], [LARGEST, -LARGEST]);
        assert!(asked.towards(&Embedding::new(&[1.0]), f32::NAN).values().iter().all(|value| value.is_finite()));
        assert_eq!(Embedding::new(&[1.0; 2 * MAX_EMBEDDING_SIZE]).values(), [1.0; MAX_EMBEDDING_SIZE]);
    }

    #[test]
    fn between_two_points_lies_the_arc_and_no_hole() {
        let (a, b) = (Embedding::new(&[2.0, 0.0]), Embedding::new(&[0.0, 1.0]));
        let close = |a: &Embedding, b: &[f32]| {
            a.values().iter().zip(Embedding::new(b).values()).all(|(a, b)| (a - b).abs() < 1e-5)
        };
        assert!(close(&a.towards(&b, 0.0), &[2.0, 0.0]) && close(&a.towards(&b, 1.0), &[0.0, 1.0]));
        let half = 1.5 / 2.0_f32.sqrt();
        assert!(close(&a.towards(&b, 0.5), &[half, half]), "{:?}", a.towards(&b, 0.5));
        assert!(close(&a.towards(&a, 0.3), &[2.0, 0.0]));
        // No direction at all, and the opposite one: the straight line.
        assert!(close(&Embedding::default().towards(&a, 0.25), &[0.5, 0.0]));
        assert!(close(&a.towards(&Embedding::new(&[-2.0]), 0.25), &[1.0, 0.0]));
    }
}
