//! Calls that wait to be run, and which of them are run at once.

use std::collections::VecDeque;

/// What of a call says which others it can be run with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    /// Of its model, whose calls alone it can be run with; none where it is run by itself.
    pub(crate) model: Option<usize>,
    pub(crate) num_channels: usize,
    /// Streams are side by side in a batch, so all its calls have as many.
    pub(crate) num_frames: usize,
}

/// The first in the queue, and those behind it that can go with it: at most `most_calls` in all, and of `most_channels` channels unless it has more
/// itself. All stay in the order in which they are.
pub(crate) fn take_batch<Call>(
    waiting: &mut VecDeque<Call>,
    most_calls: usize,
    most_channels: usize,
    size: impl Fn(&Call) -> Size,
) -> Vec<Call> {
    let Some(first) = waiting.pop_front() else { return Vec::new() };
    let Size { model, mut num_channels, num_frames } = size(&first);
    let mut batch = vec![first];
    for _ in 0..waiting.len() {
        let Some(call) = waiting.pop_front() else { break };
        let its = size(&call);
        let fits = batch.len() < most_calls && num_channels + its.num_channels <= most_channels;
        if fits && model.is_some() && its.model == model && its.num_frames == num_frames {
            num_channels += its.num_channels;
            batch.push(call);
        } else {
            waiting.push_back(call);
        }
    }
    batch
}
