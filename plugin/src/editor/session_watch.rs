//! Examples that came since the window was opened: of params the host knows by itself that its session changed, of examples it does not.

use underscore_engine::{KeptExample, NUM_SLOTS, QueryBoards};

/// What was on the boards at the last look.
#[derive(Debug, Default)]
pub struct SessionWatch {
    /// By slot: the board's epoch, and the example.
    seen: [Option<(u32, Option<KeptExample>)>; NUM_SLOTS],
}

impl SessionWatch {
    /// Slots whose example is another one than at the last look, or has another name, `[slot]`. Not because a session was loaded: that is as the
    /// host knows it.
    pub fn changed(&mut self, boards: &QueryBoards) -> [bool; NUM_SLOTS] {
        std::array::from_fn(|slot| {
            let now = (boards[slot].epoch(), boards[slot].kept());
            let before = self.seen[slot].replace(now.clone());
            before.is_some_and(|before| before.0 == now.0 && before.1 != now.1)
        })
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
        assert_eq!(watch.changed(&boards), [false; 2], "it is there already");
        boards[1].rename("hum");
        assert_eq!(watch.changed(&boards), [false, true]);
        assert_eq!(watch.changed(&boards), [false; 2]);
        boards[0].load(Some(Embedding::new(&[2.0]).into()));
        assert_eq!(watch.changed(&boards), [false; 2], "the host knows");
    }
}
