//! Samples that would poison what follows.

/// Exponent bits of an `f32`: all set in NaN and infinities, none in zero and subnormal numbers.
const EXPONENT_BITS: u32 = 0x7f80_0000;

/// Replaces NaN, infinite and subnormal samples by 0, in place. Returns how many were NaN or infinite.
///
/// One NaN in a delay or a network's state never leaves it; subnormals make some processors a hundred times slower. A negative
/// zero becomes a positive one; every other sample keeps its bits.
pub fn sanitise(block: &mut [f32]) -> usize {
    // Counted per chunk in `u32`, so that the loop has one width of lanes and is vectorised.
    block
        .chunks_mut(4096)
        .map(|chunk| {
            let mut num_non_finite = 0_u32;
            for sample in chunk {
                let bits = sample.to_bits();
                let exponent = bits & EXPONENT_BITS;
                let is_non_finite = exponent == EXPONENT_BITS;
                num_non_finite += u32::from(is_non_finite);
                *sample = f32::from_bits(if is_non_finite || exponent == 0 { 0 } else { bits });
            }
            num_non_finite as usize
        })
        .sum()
}
