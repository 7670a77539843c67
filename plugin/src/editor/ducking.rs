//! What the ducker does, at the pace at which figures can be read.

use std::time::{Duration, Instant};

use crate::meters::Peaks;

/// For so long what a block said of the ducker is shown: large ones are further apart than two looks.
const LASTS: Duration = Duration::from_millis(500);

/// Its figures, the highest between two looks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DuckLevels {
    /// How far the music in the main output is down, dB, 0 and up.
    pub down_db: f32,
    /// Level of the dialogue that it hears, dBFS.
    pub key_db: Option<f32>,
}

impl DuckLevels {
    const NONE: Self = Self { down_db: 0.0, key_db: None };
}

/// The ducker of one instance, as it is looked at.
#[derive(Debug, Default)]
pub struct Ducking {
    /// Since the last look.
    collected: Option<DuckLevels>,
    /// What is shown, and since when.
    shown: Option<(DuckLevels, Instant)>,
}

impl Ducking {
    /// Takes in the peaks since the last picture.
    pub fn add(&mut self, peaks: &Peaks) {
        let Some(down_db) = peaks.duck_db else { return };
        let before = self.collected.unwrap_or(DuckLevels::NONE);
        let key_db = peaks.key_db.into_iter().chain(before.key_db).reduce(f32::max);
        self.collected = Some(DuckLevels { down_db: down_db.max(before.down_db), key_db });
    }

    /// Shows from `now` on what was taken in since the last look.
    pub fn look(&mut self, now: Instant) {
        match self.collected.take() {
            Some(levels) => self.shown = Some((levels, now)),
            None => drop(self.shown.take_if(|(_, at)| now.duration_since(*at) > LASTS)),
        }
    }

    /// What is shown.
    pub fn levels(&self) -> DuckLevels {
        self.shown.map_or(DuckLevels::NONE, |(levels, _)| levels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_of_all_pictures_is_shown_from_one_look_to_the_next_and_nothing_for_ever() {
        let (mut ducking, start) = (Ducking::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        for (down_db, key_db) in [(1.0, Some(-40.0)), (3.0, Some(-30.0)), (2.0, None)] {
            ducking.add(&Peaks { duck_db: Some(down_db), key_db, ..Peaks::default() });
            assert_eq!(ducking.levels(), DuckLevels::NONE, "nobody could read that");
        }
        ducking.look(at(0));
        let expected = DuckLevels { down_db: 3.0, key_db: Some(-30.0) };
        assert_eq!(ducking.levels(), expected);
        ducking.add(&Peaks::default());
        ducking.look(at(400));
        assert_eq!(ducking.levels(), expected, "a block may last longer than from look to look");
        ducking.look(at(600));
        assert_eq!(ducking.levels(), DuckLevels::NONE);
    }
}
