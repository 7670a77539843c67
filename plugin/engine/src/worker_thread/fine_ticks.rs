//! How finely the system lets a thread pause.

/// Pauses of milliseconds last as long as they say, while one of these lives. Windows wakes threads with its timer's ticks, which are up to 15.6 ms
/// apart where nobody asks for shorter ones: half the deadline of a model for use on air and more. Elsewhere pauses are exact by themselves.
pub struct FineTicks(());

impl FineTicks {
    /// Asks for ticks of a millisecond.
    pub fn hold() -> Self {
        system::begin();
        Self(())
    }
}

impl Drop for FineTicks {
    fn drop(&mut self) {
        system::end();
    }
}

#[cfg(windows)]
mod system {
    use windows_sys::Win32::Media::{timeBeginPeriod, timeEndPeriod};

    const TICK_MS: u32 = 1;

    pub fn begin() {
        // SAFETY: a number goes in, and a status comes out: where it is refused, ticks stay as they are.
        let _ = unsafe { timeBeginPeriod(TICK_MS) };
    }

    pub fn end() {
        // SAFETY: the same; it ends what `begin` asked for.
        let _ = unsafe { timeEndPeriod(TICK_MS) };
    }
}

#[cfg(not(windows))]
mod system {
    pub fn begin() {}

    pub fn end() {}
}
