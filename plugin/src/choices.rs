//! Params whose choices are lists: the compiler does not know them, sessions refer to them by id.

use std::fmt::Debug;
use std::marker::PhantomData;

use nice_plug::prelude::*;

/// Id prefix of choices that are reserved and still unused.
pub const FREE: &str = "free-";

/// Ids that may be chosen, the default first, and how they are shown.
pub struct Choices {
    ids: Vec<&'static str>,
    names: Vec<&'static str>,
    /// How many of them stand for something; the others come after these.
    num_taken: usize,
}

impl Choices {
    /// At least two: of a single one the framework makes a value that is no number, and `otherwise` fills up.
    #[must_use]
    pub fn new(mut ids: Vec<&'static str>, otherwise: &[&'static str]) -> Self {
        let missing = 2_usize.saturating_sub(ids.len());
        ids.extend(otherwise.iter().take(missing));
        let names = ids.iter().map(|id| &*name_of(id).leak()).collect();
        Self { num_taken: ids.len(), ids, names }
    }

    /// These, and free places for others up to `num_places`. A host's automation refers to a choice by its place or by its share of all
    /// places: with as many at all times, and none that moves, a lane means what it meant.
    #[must_use]
    pub fn with_places(ids: &[&'static str], num_places: usize) -> Self {
        let free = (ids.len()..num_places).map(|place| &*format!("{FREE}{}", place + 1).leak());
        Self { num_taken: ids.len(), ..Self::new(ids.iter().copied().chain(free).collect(), &[]) }
    }

    /// The ids, in order.
    #[must_use]
    pub fn ids(&self) -> &[&'static str] {
        &self.ids
    }

    /// How they are shown, in the same order.
    #[must_use]
    pub fn names(&self) -> &[&'static str] {
        &self.names
    }
}

/// The id as it is shown: `music-1` is `Music 1`. By this name, too, the choice can be made by text.
#[must_use]
pub fn name_of(id: &str) -> String {
    let words = id.split('-').map(|word| {
        let mut chars = word.chars();
        chars.next().map(|first| first.to_uppercase().chain(chars).collect::<String>())
    });
    words.flatten().collect::<Vec<_>>().join(" ")
}

/// Where choices are listed.
pub trait List: Debug + Copy + PartialEq + 'static {
    /// Returns the same slice at every call.
    fn choices() -> &'static Choices;
}

/// One choice of a list. What is saved is its id. The default is the first one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice<L> {
    /// Place in the list.
    idx: usize,
    list: PhantomData<L>,
}

impl<L> Default for Choice<L> {
    fn default() -> Self {
        Self { idx: 0, list: PhantomData }
    }
}

impl<L: List> Choice<L> {
    /// The choice of this id, where it is listed.
    #[must_use]
    pub fn of(id: &str) -> Option<Self> {
        let idx = L::choices().ids.iter().position(|listed| *listed == id)?;
        Some(Self { idx, list: PhantomData })
    }

    /// All that stand for something, in order.
    pub fn taken() -> impl Iterator<Item = Self> {
        (0..L::choices().num_taken).map(|idx| Self { idx, list: PhantomData })
    }

    /// The id by which sessions know it.
    #[must_use]
    pub fn id(self) -> &'static str {
        L::choices().ids[self.idx]
    }
}

impl<L: List> Enum for Choice<L> {
    fn variants() -> &'static [&'static str] {
        L::choices().names()
    }

    fn ids() -> Option<&'static [&'static str]> {
        Some(L::choices().ids())
    }

    fn to_index(self) -> usize {
        self.idx
    }

    fn from_index(index: usize) -> Self {
        let idx = if index < L::choices().ids.len() { index } else { 0 };
        Self { idx, list: PhantomData }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_shown_in_words() {
        assert_eq!(name_of("music-1"), "Music 1");
        assert_eq!(name_of("identity"), "Identity");
        assert_eq!(name_of("a--b"), "A B");
    }

    #[test]
    fn there_are_always_two_choices() {
        for (listed, expected) in [(vec![], ["a", "b"]), (vec!["x"], ["x", "a"]), (vec!["x", "y"], ["x", "y"])] {
            assert_eq!(Choices::new(listed, &["a", "b"]).ids(), expected);
        }
    }
}
