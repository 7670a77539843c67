//! Examples that came since the window was opened: of params the host knows by itself that its session changed, of examples it does not.

use std::time::{Duration, Instant};

use underscore_engine::{KeptExample, NUM_SLOTS, QueryBoards};

/// What has not changed for so long is what was meant.
const SETTLED_AFTER: Duration = Duration::from_secs(1);

/// What was on the boards at the last look.
#[derive(Debug, Default)]
pub struct SessionWatch {
    /// By slot: how many sessions were loaded, and the example.
    seen: [Option<(u64, Option<KeptExample>)>; NUM_SLOTS],
    /// When something changed of which the host was not told.
    untold: Option<Instant>,
}

impl SessionWatch {
    /// Whether the host is to be told that an example is another one, or has another name: while somebody types, not before it has stood still. Not
    /// because a session was loaded: that is as the host knows it.
    pub fn is_to_be_told(&mut self, boards: &QueryBoards, is_typing: bool, now: Instant) -> bool {
        if self.has_changed(boards) {
            self.untold = Some(now);
        }
        let is_settled = |since: &mut Instant| !is_typing || now.duration_since(*since) >= SETTLED_AFTER;
        self.untold.take_if(is_settled).is_some()
    }

    fn has_changed(&mut self, boards: &QueryBoards) -> bool {
        let mut has_changed = false;
        for (seen, board) in self.seen.iter_mut().zip(boards) {
            let now = (board.num_loads(), board.kept());
            let before = seen.replace(now.clone());
            has_changed |= before.is_some_and(|before| before.0 == now.0 && before.1 != now.1);
        }
        has_changed
    }
}

#[cfg(test)]
mod tests {
    use underscore_engine::Embedding;

    use super::*;

    #[test]
    fn another_name_is_a_change_once_and_a_loaded_session_is_none() {
        let boards = QueryBoards::default();
        boards[1].load(Some(Embedding::new(&[1.0]).into()));
        let (mut watch, now) = (SessionWatch::default(), Instant::now());
        let mut is_told =
            |is_typing, after_s| watch.is_to_be_told(&boards, is_typing, now + Duration::from_secs_f64(after_s));
        assert!(!is_told(false, 0.0), "it is there already");
        boards[1].rename("hum");
        assert!(is_told(false, 0.2));
        assert!(!is_told(false, 0.4));
        boards[0].load(Some(Embedding::new(&[2.0]).into()));
        assert!(!is_told(false, 0.6), "the host knows");
        // Letter by letter, and then left as it is.
        let letters = ["d", "do", "doo", "door"];
        let told: Vec<bool> = letters
            .iter()
            .zip(1..)
            .map(|(name, number)| {
                boards[1].rename(name);
                is_told(true, f64::from(number))
            })
            .collect();
        assert_eq!(told, [false; 4]);
        assert!(!is_told(true, 4.5) && is_told(true, 5.0) && !is_told(true, 9.0));
    }
}
