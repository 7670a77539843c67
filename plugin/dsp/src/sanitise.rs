//! Samples that would poison what follows.

/// Exponent bits of an `f32`: none set in zero and subnormal numbers.
const EXPONENT_BITS: u32 = 0x7f80_0000;

/// Exponent bits of 2^20, about +120 dBFS: no sound, but an upstream plugin that has gone wild. NaN and infinities lie above.
const GARBAGE_BITS: u32 = (127 + 20) << 23;

/// Whether a sample is no sound: NaN, infinite, or 2^20 and more.
#[must_use]
pub fn is_garbage(sample: f32) -> bool {
    sample.to_bits() & EXPONENT_BITS >= GARBAGE_BITS
}

/// Replaces by 0, in place, what is no sound: NaN, infinities, samples of 2^20 and more, and subnormals. Returns how many there
/// were, subnormals not counted.
///
/// One NaN in a delay or a network's state never leaves it; the square of a sample far beyond full scale is infinite, and a
/// NaN two steps later; subnormals make some processors a hundred times slower. A negative zero becomes a positive one; every
/// other sample keeps its bits.
pub fn sanitise(block: &mut [f32]) -> usize {
    // Counted per chunk in `u32`, so that the loop has one width of lanes and is vectorised.
    block
        .chunks_mut(4096)
        .map(|chunk| {
            let mut num_garbage = 0_u32;
            for sample in chunk {
                let bits = sample.to_bits();
                let exponent = bits & EXPONENT_BITS;
                let is_garbage = is_garbage(*sample);
                num_garbage += u32::from(is_garbage);
                *sample = f32::from_bits(if is_garbage || exponent == 0 { 0 } else { bits });
            }
            num_garbage as usize
        })
        .sum()
}
