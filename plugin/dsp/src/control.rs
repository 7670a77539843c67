//! Values that go with samples: how far something is in, how much of it is heard.
//!
//! Most of the time a value is the same for a whole block. It is told once then: memory that an audio thread has not touched since the
//! block before is dear, however little is computed with it.

use crate::memory::touched_zeros;

/// A value for each sample of a block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Control<'a> {
    /// The same for all of them.
    Constant(f32),
    /// `[sample]`
    Varying(&'a [f32]),
}

impl Control<'_> {
    /// The value for one sample.
    ///
    /// # Panics
    /// Where the block is not so long, if its values vary.
    #[must_use]
    #[inline]
    pub fn at(&self, sample_idx: usize) -> f32 {
        match *self {
            Self::Constant(value) => value,
            Self::Varying(values) => values[sample_idx],
        }
    }
}

/// Memory for the values of a block, which is filled from its first sample on.
#[derive(Debug, Clone)]
pub struct ControlBuffer {
    /// `[sample]`; those in use, unless all are `constant`.
    values: Vec<f32>,
    num_samples: usize,
    /// What all values up to now are.
    constant: Option<f32>,
}

impl ControlBuffer {
    /// For blocks of at most `max_samples`.
    #[must_use]
    pub fn new(max_samples: usize) -> Self {
        Self { values: touched_zeros(max_samples), num_samples: 0, constant: None }
    }

    /// Begins a block.
    pub fn clear(&mut self) {
        (self.num_samples, self.constant) = (0, None);
    }

    /// The next `num_samples` samples have the same value.
    ///
    /// # Panics
    /// Where the block becomes longer than there is room for, if its values vary.
    pub fn push_constant(&mut self, value: f32, num_samples: usize) {
        let is_same = self.constant.is_some_and(|constant| constant.to_bits() == value.to_bits());
        if self.num_samples == 0 || is_same {
            self.constant = Some(value);
            self.num_samples += num_samples;
        } else {
            self.push(std::iter::repeat_n(value, num_samples));
        }
    }

    /// The next samples have a value each.
    ///
    /// # Panics
    /// Where the block becomes longer than there is room for.
    pub fn push(&mut self, values: impl ExactSizeIterator<Item = f32>) {
        if let Some(constant) = self.constant.take() {
            self.values[..self.num_samples].fill(constant);
        }
        let end = self.num_samples + values.len();
        for (own, value) in self.values[self.num_samples..end].iter_mut().zip(values) {
            *own = value;
        }
        self.num_samples = end;
    }

    /// The values of the block as far as it goes.
    #[must_use]
    pub fn get(&self) -> Control<'_> {
        match self.constant {
            Some(constant) => Control::Constant(constant),
            None => Control::Varying(&self.values[..self.num_samples]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_constant_as_long_as_all_of_it_is() {
        let mut buffer = ControlBuffer::new(8);
        assert_eq!(buffer.get(), Control::Varying(&[]));
        buffer.push_constant(0.5, 2);
        buffer.push_constant(0.5, 1);
        assert_eq!(buffer.get(), Control::Constant(0.5));
        buffer.push([0.25, 1.0].into_iter());
        buffer.push_constant(1.0, 2);
        assert_eq!(buffer.get(), Control::Varying(&[0.5, 0.5, 0.5, 0.25, 1.0, 1.0, 1.0]));
        assert_eq!((buffer.get().at(3), Control::Constant(0.5).at(99)), (0.25, 0.5));
        buffer.clear();
        buffer.push_constant(1.0, 3);
        buffer.push_constant(0.0, 1);
        assert_eq!(buffer.get(), Control::Varying(&[1.0, 1.0, 1.0, 0.0]));
    }
}
