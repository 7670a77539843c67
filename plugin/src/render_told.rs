//! What a host says of its rendering after it has activated the plugin, which the framework does not pass on: what stands between the two in either
//! format writes it here, the plugin reads it block by block.

use std::sync::atomic::{AtomicU8, Ordering};

use nice_plug::prelude::ProcessMode;

/// Of one instance.
#[derive(Debug, Default)]
pub struct RenderTold {
    /// 0: nothing was said, or is said of blocks alone.
    of_setup: AtomicU8,
    /// 0: nothing was said since the setup.
    of_blocks: AtomicU8,
}

/// What it is kept as; 0 is none of them.
const NUMBERS: [(u8, ProcessMode); 3] =
    [(1, ProcessMode::Realtime), (2, ProcessMode::Buffered), (3, ProcessMode::Offline)];

fn number_of(mode: ProcessMode) -> u8 {
    NUMBERS.into_iter().find_map(|(number, of)| (of == mode).then_some(number)).unwrap_or(0)
}

fn mode_of(number: u8) -> Option<ProcessMode> {
    NUMBERS.into_iter().find_map(|(of, mode)| (of == number).then_some(mode))
}

impl RenderTold {
    /// From now on it is rendered so, until a block or another setup says otherwise. Real-time safe, as the others are.
    pub fn set_up(&self, mode: ProcessMode) {
        self.of_blocks.store(0, Ordering::Relaxed);
        self.of_setup.store(number_of(mode), Ordering::Relaxed);
    }

    /// A block says it. A host that leaves it at real time, the interface's zero, may never have written it: it is believed from the first block on that
    /// says another one.
    pub fn note_block(&self, mode: ProcessMode) {
        if mode != ProcessMode::Realtime || self.of_blocks.load(Ordering::Relaxed) != 0 {
            self.of_blocks.store(number_of(mode), Ordering::Relaxed);
        }
    }

    /// None where the host has said nothing since it made the instance.
    #[must_use]
    pub fn get(&self) -> Option<ProcessMode> {
        mode_of(self.of_blocks.load(Ordering::Relaxed)).or_else(|| mode_of(self.of_setup.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ProcessMode::{Buffered, Offline, Realtime};

    #[test]
    fn the_mode_of_a_block_is_believed_once_a_host_has_said_another_one_than_its_zero() {
        let told = RenderTold::default();
        let after = |mode| {
            told.note_block(mode);
            told.get()
        };
        let modes = [Realtime, Realtime, Offline, Realtime, Buffered, Offline].map(after);
        assert_eq!(modes, [None, None, Some(Offline), Some(Realtime), Some(Buffered), Some(Offline)]);
    }

    #[test]
    fn a_setup_holds_until_a_block_says_otherwise_and_the_next_setup_is_told_anew() {
        let told = RenderTold::default();
        told.set_up(Offline);
        told.note_block(Realtime);
        assert_eq!(told.get(), Some(Offline), "a host that never writes what blocks are given with");
        told.set_up(Realtime);
        assert_eq!(told.get(), Some(Realtime));
        told.note_block(Offline);
        assert_eq!(told.get(), Some(Offline));
        told.set_up(Realtime);
        told.note_block(Realtime);
        assert_eq!(told.get(), Some(Realtime), "what blocks said was of before");
    }
}
