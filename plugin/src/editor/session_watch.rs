//! Examples that came since the window was opened: of params the host knows by itself that its session changed, of examples it does not.

use underscore_engine::{KeptExample, NUM_SLOTS, QueryBoards};

/// What was on the boards at the last look.
#[derive(Debug, Default)]
pub struct SessionWatch {
    /// By slot: how many sessions were loaded, and the example.
    seen: [Option<(u64, Option<KeptExample>)>; NUM_SLOTS],
}

impl SessionWatch {
    /// Whether an example is another one than at the last look, or has another name. Not because a session was loaded: that is as the host
    /// knows it.
    pub fn has_changed(&mut self, boards: &QueryBoards) -> bool {
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
        let mut watch = SessionWatch::default();
        assert!(!watch.has_changed(&boards), "it is there already");
        boards[1].rename("hum");
        assert!(watch.has_changed(&boards));
        assert!(!watch.has_changed(&boards));
        boards[0].load(Some(Embedding::new(&[2.0]).into()));
        assert!(!watch.has_changed(&boards), "the host knows");
    }
}
