//! The render mode that the host sets after activation. The framework does not pass it on, so the shims write it here and the plugin reads it with every
//! block.

use std::sync::atomic::{AtomicU8, Ordering};

use nice_plug::prelude::ProcessMode;

/// Render mode of one instance.
#[derive(Debug, Default)]
pub struct HostRenderMode {
    /// Mode of the last setup; 0 before the first.
    of_setup: AtomicU8,
    /// Mode of the last block since the setup; 0 where blocks have not said any.
    of_blocks: AtomicU8,
}

/// Modes as they are stored; 0 stands for none.
const NUMBERS: [(u8, ProcessMode); 3] =
    [(1, ProcessMode::Realtime), (2, ProcessMode::Buffered), (3, ProcessMode::Offline)];

fn number_of(mode: ProcessMode) -> u8 {
    NUMBERS.into_iter().find_map(|(number, of)| (of == mode).then_some(number)).unwrap_or(0)
}

fn mode_of(number: u8) -> Option<ProcessMode> {
    NUMBERS.into_iter().find_map(|(of, mode)| (of == number).then_some(mode))
}

impl HostRenderMode {
    /// Sets the mode until a block or another setup says otherwise. All methods are real-time safe.
    pub fn set_up(&self, mode: ProcessMode) {
        self.of_blocks.store(0, Ordering::Relaxed);
        self.of_setup.store(number_of(mode), Ordering::Relaxed);
    }

    /// Notes the mode of a block. Real time is the interface's zero, which a host may never have written: it counts only after a block of another mode.
    pub fn note_block(&self, mode: ProcessMode) {
        if mode != ProcessMode::Realtime || self.of_blocks.load(Ordering::Relaxed) != 0 {
            self.of_blocks.store(number_of(mode), Ordering::Relaxed);
        }
    }

    /// The present mode. `None` where the host has said nothing since it made the instance.
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
        let render_mode = HostRenderMode::default();
        let after = |mode| {
            render_mode.note_block(mode);
            render_mode.get()
        };
        let modes = [Realtime, Realtime, Offline, Realtime, Buffered, Offline].map(after);
        assert_eq!(modes, [None, None, Some(Offline), Some(Realtime), Some(Buffered), Some(Offline)]);
    }

    #[test]
    fn a_setup_holds_until_a_block_says_otherwise_and_the_next_setup_is_told_anew() {
        let render_mode = HostRenderMode::default();
        render_mode.set_up(Offline);
        render_mode.note_block(Realtime);
        assert_eq!(render_mode.get(), Some(Offline), "a host that never writes what blocks are given with");
        render_mode.set_up(Realtime);
        assert_eq!(render_mode.get(), Some(Realtime));
        render_mode.note_block(Offline);
        assert_eq!(render_mode.get(), Some(Offline));
        render_mode.set_up(Realtime);
        render_mode.note_block(Realtime);
        assert_eq!(render_mode.get(), Some(Realtime), "what blocks said was of before");
    }
}
