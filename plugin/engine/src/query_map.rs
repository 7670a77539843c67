//! The map: a model's space of examples as a picture, and the way back from a place on it.

use serde::Deserialize;

use crate::query::{Embedding, MAX_EMBEDDING_SIZE, QueryPreset};

/// A place on the map: to the right and up, each -1..=1. What lies beyond is at the border.
pub type Place = [f32; 2];

/// Anchors besides the presets: one example per slot.
const MAX_EXAMPLES: usize = crate::query::NUM_SLOTS;

/// Squared distance below which a place is the anchor itself; a hundredth of the map's width.
const AT_ANCHOR: f32 = 4e-4;

/// How a space is projected: the two directions in which its classes differ most.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Projection {
    /// What lies in the middle of the map, as long as the embedding.
    pub origin: Vec<f32>,
    /// `[right, up]`, as long as the embedding each, scaled so that the presets lie within -1..=1.
    pub axes: [Vec<f32>; 2],
}

impl Projection {
    /// Where a point lies on the map: where it is drawn it is heard, too.
    #[must_use]
    pub fn place(&self, point: &Embedding) -> Place {
        self.axes.each_ref().map(|axis| {
            let terms = axis.iter().zip(point.values()).zip(&self.origin);
            let place: f32 = terms.map(|((axis, value), origin)| axis * (value - origin)).sum();
            place.clamp(-1.0, 1.0)
        })
    }

    /// The first length that is not as expected, if any.
    pub(crate) fn wrong_size(&self, expected: usize) -> Option<usize> {
        [&self.origin, &self.axes[0], &self.axes[1]].map(Vec::len).into_iter().find(|len| *len != expected)
    }
}

/// The map of one model, with its presets on it.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryMap {
    projection: Projection,
    presets: Vec<(Place, Embedding)>,
    /// `[preset]`
    names: Vec<String>,
}

impl QueryMap {
    /// The presets where the projection puts them.
    #[must_use]
    pub fn new(projection: &Projection, presets: &[QueryPreset]) -> Self {
        let at = |preset: &QueryPreset| {
            let point = Embedding::new(&preset.embedding);
            (projection.place(&point), point)
        };
        Self {
            projection: projection.clone(),
            presets: presets.iter().map(at).collect(),
            names: presets.iter().map(|preset| preset.id.clone()).collect(),
        }
    }

    /// Where the presets lie, with their ids.
    pub fn named(&self) -> impl Iterator<Item = (Place, &str)> {
        self.presets.iter().map(|(place, _)| *place).zip(self.names.iter().map(String::as_str))
    }

    /// Where a point lies, see [`Projection::place`].
    #[must_use]
    pub fn place(&self, point: &Embedding) -> Place {
        self.projection.place(point)
    }

    /// What lies between all anchors, by the inverse fourth power of their distances from `at` (Shepard 1968): the presets, and `examples`.
    /// Two dimensions cannot tell where a point lies in thirty-two; what is known around it can. Its length is the mean of theirs, so
    /// that no hole lies between them. Real-time safe.
    #[must_use]
    pub fn between(&self, at: Place, examples: [Option<Embedding>; MAX_EXAMPLES]) -> Embedding {
        let examples = examples.into_iter().flatten().map(|point| (self.projection.place(&point), point));
        let anchors = self.presets.iter().copied().chain(examples);
        let mut sum = [0.0_f32; MAX_EMBEDDING_SIZE];
        let (mut total, mut total_length) = (0.0, 0.0);
        for (place, point) in anchors {
            let distance = (place[0] - at[0]).powi(2) + (place[1] - at[1]).powi(2);
            let weight = 1.0 / (distance + AT_ANCHOR).powi(2);
            for (sum, value) in sum.iter_mut().zip(point.values()) {
                *sum += weight * value;
            }
            total += weight;
            total_length += weight * length(point.values());
        }
        let found = length(&sum);
        if found > f32::MIN_POSITIVE && total > 0.0 {
            let scale = total_length / total / found;
            for value in &mut sum {
                *value *= scale;
            }
        }
        Embedding::new(&sum)
    }
}

fn length(values: &[f32]) -> f32 {
    values.iter().map(|value| value * value).sum::<f32>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map() -> QueryMap {
        let preset = |id: &str, embedding: [f32; 3]| QueryPreset { id: id.into(), embedding: embedding.into() };
        let projection = Projection { origin: vec![0.0, 0.0, 1.0], axes: [vec![0.5, 0.0, 0.0], vec![0.0, 0.5, 0.0]] };
        let presets =
            [preset("left", [-2.0, 0.0, 1.0]), preset("right", [2.0, 0.0, 1.0]), preset("above", [0.0, 2.0, 1.0])];
        QueryMap::new(&projection, &presets)
    }

    #[test]
    fn the_presets_lie_where_the_projection_puts_them_and_are_what_is_heard_there() {
        let map = map();
        assert_eq!(
            map.presets.iter().map(|(place, _)| *place).collect::<Vec<_>>(),
            [[-1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
        );
        for (place, point) in &map.presets {
            let found = map.between(*place, [None; MAX_EXAMPLES]);
            let error: Vec<f32> = found.values().iter().zip(point.values()).map(|(a, b)| a - b).collect();
            assert!(length(&error) < 1e-3, "{place:?}: {found:?}");
        }
    }

    #[test]
    fn between_two_presets_lies_something_of_both_as_far_from_the_middle_as_they() {
        let found = map().between([0.0, 0.0], [None; MAX_EXAMPLES]);
        assert!(found.values()[0].abs() < 1e-6, "as much of the left as of the right");
        assert!((length(found.values()) - 5.0_f32.sqrt()).abs() < 1e-4);
    }

    #[test]
    fn an_example_is_an_anchor_like_any_other() {
        let example = Embedding::new(&[-1.0, -1.0, 2.0]);
        let map = map();
        let place = map.projection.place(&example);
        let close = |a: &Embedding, b: &Embedding| a.values().iter().zip(b.values()).all(|(a, b)| (a - b).abs() < 0.02);
        assert!(close(&map.between(place, [None, Some(example)]), &example));
        assert!(!close(&map.between(place, [None; MAX_EXAMPLES]), &example));
    }

    #[test]
    fn an_example_that_lies_beyond_the_border_is_heard_where_it_is_drawn() {
        let example = Embedding::new(&[0.5, -6.0, 1.0]);
        let map = map();
        let place = map.place(&example);
        assert_eq!(place, [0.25, -1.0]);
        let found = map.between(place, [Some(example), None]);
        let direction = found.values()[1] / length(found.values());
        assert!(direction < -0.95, "{found:?}");
    }

    #[test]
    fn a_map_without_anchors_is_the_middle_of_the_space() {
        let empty = QueryMap::new(&map().projection, &[]);
        assert_eq!(empty.between([0.3, 0.4], [None; MAX_EXAMPLES]), Embedding::default());
    }
}
