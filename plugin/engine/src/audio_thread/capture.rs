//! The sidechain, kept for as long as an example lasts, and handed to the worker when one is to be taken.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::examples::{AudioExamples, Example};
use crate::query::{Embedding, QueryBoard};
use crate::status::{EngineStatus, State};
use crate::worker_thread::Waker;

/// Pause between two looks while waiting.
const WAIT_STEP: Duration = Duration::from_micros(200);

/// The audio thread's side of listening to examples.
pub struct Capture {
    end: AudioExamples,
    current: Option<Example>,
    board: Arc<QueryBoard>,
    waker: Waker,
    /// Of the example handed over last.
    number: u32,
    /// Where the last one lies that is known.
    embedding: Embedding,
}

impl Capture {
    pub fn new(mut end: AudioExamples, board: Arc<QueryBoard>, waker: Waker) -> Self {
        let current = end.take_empty();
        let (number, embedding) = (board.answered(), board.read().unwrap_or_default());
        Self { end, current, board, waker, number, embedding }
    }

    /// Takes in a block of the sidechain, `[channel][sample]`.
    pub fn listen(&mut self, sidechain: &[&[f32]]) {
        if self.current.is_none() {
            self.current = self.end.take_empty();
            if let Some(example) = &mut self.current {
                example.clear();
            }
        }
        if let Some(example) = &mut self.current {
            example.push(sidechain);
        }
    }

    /// What was heard up to now is an example. Nothing happens while the worker listens to the two before.
    pub fn take(&mut self) {
        if let Some(mut example) = self.current.take() {
            self.number += 1;
            example.number = self.number;
            self.end.send(example);
        }
    }

    /// Forgets the sidechain. What was taken stays.
    pub fn reset(&mut self) {
        if let Some(example) = &mut self.current {
            example.clear();
        }
    }

    /// Where the example lies. While the host renders ahead of real time the last one taken is waited for.
    pub fn embedding(&mut self, longest_wait: Option<Duration>, status: &EngineStatus) -> Embedding {
        if let Some(longest_wait) = longest_wait {
            let began = Instant::now();
            while self.board.answered() < self.number
                && status.state() != State::Unavailable
                && began.elapsed() < longest_wait
            {
                self.waker.wake();
                std::thread::sleep(WAIT_STEP);
            }
        }
        if let Some(embedding) = self.board.read() {
            self.embedding = embedding;
        }
        self.embedding
    }
}
