//! The events of a block, each of them within it.
//!
//! nice-plug 0.4.2 takes the time of an event for the end of a piece of the block, which beyond the block's own ends the host's process.

use std::ptr::null;

use clap_sys::events::{CLAP_EVENT_TRANSPORT, clap_event_header, clap_event_transport, clap_input_events};
use clap_sys::process::clap_process;

/// Bytes of the largest event of the interface's own, and more.
const LARGEST_EVENT_BYTES: usize = 256;

/// The host's events, each of them within the block.
pub struct Events {
    of_host: *const clap_input_events,
    last_sample: u32,
    /// A copy of one that came too late: of the transport, which the wrapper looks at until the block is over, and of any other.
    copies: [[u64; LARGEST_EVENT_BYTES / size_of::<u64>()]; 2],
}

impl Events {
    pub fn new() -> Self {
        Self { of_host: null(), last_sample: 0, copies: [[0; LARGEST_EVENT_BYTES / size_of::<u64>()]; 2] }
    }

    /// Those of `block`, for as long as it is processed.
    pub fn within(&mut self, block: &clap_process) -> clap_input_events {
        (self.of_host, self.last_sample) = (block.in_events, block.frames_count.saturating_sub(1));
        clap_input_events { ctx: std::ptr::from_mut(self).cast(), size: Some(size), get: Some(get) }
    }

    /// The event at `index`; where it is too late, at the block's last sample.
    ///
    /// # Safety
    /// The host's list lives.
    unsafe fn get(&mut self, index: u32) -> *const clap_event_header {
        // SAFETY: by the caller's word; the list's events are null or valid until the block is over.
        let event = unsafe { (*self.of_host).get.map_or(null(), |get| get(self.of_host, index)) };
        // SAFETY: as above.
        let Some(header) = (unsafe { event.as_ref() }) else { return event };
        if header.time <= self.last_sample {
            return event;
        }
        let is_transport = header.type_ == CLAP_EVENT_TRANSPORT;
        let least = if is_transport { size_of::<clap_event_transport>() } else { size_of::<clap_event_header>() };
        if !(least..=LARGEST_EVENT_BYTES).contains(&(header.size as usize)) {
            // None of the interface's own.
            return null();
        }
        let copy = &mut self.copies[usize::from(!is_transport)];
        // SAFETY: an event is as long as it says, and the copy has room for it and lies where the largest of its fields may.
        unsafe {
            std::ptr::copy_nonoverlapping(event.cast::<u8>(), copy.as_mut_ptr().cast(), header.size as usize);
            (*copy.as_mut_ptr().cast::<clap_event_header>()).time = self.last_sample;
        }
        copy.as_ptr().cast()
    }
}

unsafe extern "C" fn size(list: *const clap_input_events) -> u32 {
    // SAFETY: called with the list that `within` made, while the block is processed.
    unsafe {
        let events = &*(*list).ctx.cast::<Events>();
        (*events.of_host).size.map_or(0, |size| size(events.of_host))
    }
}

unsafe extern "C" fn get(list: *const clap_input_events, index: u32) -> *const clap_event_header {
    // SAFETY: called with the list that `within` made, while the block is processed, by one thread.
    unsafe { (*(*list).ctx.cast::<Events>()).get(index) }
}

#[cfg(test)]
mod tests {
    use std::ffi::c_void;

    use clap_sys::events::{CLAP_EVENT_PARAM_VALUE, clap_event_param_value};

    use super::super::fake_host::{List, event};
    use super::*;

    #[test]
    fn events_beyond_the_block_come_with_its_last_sample_and_others_are_left_alone() {
        let at = |time: u32| event(CLAP_EVENT_PARAM_VALUE, time, time, f64::from(time));
        let mut list = List([0, 63, 64, 5_000_000].map(at).into());
        let of_host = list.events();
        // SAFETY: plain data, whose null pointers nobody looks at.
        let mut block: clap_process = unsafe { std::mem::zeroed() };
        (block.frames_count, block.in_events) = (64, &raw const of_host);
        let mut events = Events::new();
        let within = events.within(&block);
        // SAFETY: all of it lives, and each event is a value.
        let heard: Vec<(u32, f64)> = unsafe {
            (0..size(&raw const within))
                .map(|index| get(&raw const within, index).cast::<c_void>().cast::<clap_event_param_value>())
                .map(|event| ((*event).header.time, (*event).value))
                .collect()
        };
        assert_eq!(heard, [(0, 0.0), (63, 63.0), (63, 64.0), (63, 5e6)]);
        list.0[3].header.size = 1_000_000;
        // SAFETY: as above.
        assert!(unsafe { get(&raw const within, 3) }.is_null(), "an event that is none is none");
    }
}
