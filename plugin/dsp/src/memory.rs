//! Memory that is there before the audio thread needs it.

/// Zeros whose pages the system has given already. Memory that was only asked for arrives page by page, when it is first written:
/// on the audio thread each page would cost microseconds.
#[must_use]
pub fn touched_zeros<T: Clone + Default>(len: usize) -> Vec<T> {
    let mut values = Vec::with_capacity(len);
    // Without this the compiler would ask for zeroed memory, which nobody has touched.
    std::hint::black_box(&mut values);
    values.resize(len, T::default());
    values
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::Complex32;

    /// Pages that this thread was given by the system up to now, without a look at a disk.
    fn num_pages_given() -> u64 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").expect("the system says it");
        let (_, after_name) = stat.rsplit_once(')').expect("a name in parentheses");
        after_name.split_whitespace().nth(7).expect("a tenth field").parse().expect("a number")
    }

    fn num_pages_given_to_write<T: Copy>(value: T, mut values: Vec<T>) -> u64 {
        num_pages_given();
        let before = num_pages_given();
        values.iter_mut().step_by(64).for_each(|place| *place = value);
        std::hint::black_box(&mut values);
        num_pages_given() - before
    }

    #[test]
    fn zeros_are_there_before_they_are_written_to_whatever_they_are() {
        // So many bytes are not what somebody gave back.
        const LEN: usize = 1 << 24;
        let floats = num_pages_given_to_write(1.0, touched_zeros::<f32>(LEN));
        let bins = num_pages_given_to_write(Complex32::new(1.0, 0.0), touched_zeros::<Complex32>(LEN / 2));
        let untouched = num_pages_given_to_write(1.0, vec![0.0_f32; LEN]);
        println!("{floats} and {bins} pages, {untouched} where nobody touched them");
        assert!(untouched > 20, "nothing was tested");
        assert!(floats < 5 && bins < 5, "{floats} and {bins} pages");
    }
}
