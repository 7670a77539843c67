//! Memory that is there before the audio thread needs it.

/// Zeros whose pages the system has given already. Memory that was only asked for arrives page by page, when it is first written:
/// on the audio thread each page would cost microseconds.
#[must_use]
pub fn touched_zeros(len: usize) -> Vec<f32> {
    let mut values = vec![1.0; len];
    // Without this the compiler would ask for zeroed memory, which nobody has touched.
    std::hint::black_box(&mut values);
    values.fill(0.0);
    values
}
