//! A remote file that is read in places: chunks are fetched when they are needed and kept on disk, so that an interrupted
//! set-up goes on where it stopped.

use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Bytes per chunk, except for the last of a file.
pub const CHUNK_BYTES: u64 = 4 << 20;

/// Connections at a time.
const NUM_CONNECTIONS: usize = 4;

/// Something that can send a part of a file.
pub trait Source: Sync {
    /// Size of the whole file.
    fn size_bytes(&self) -> u64;
    /// The bytes of `range`: all of them or an error.
    fn read(&self, range: Range<u64>) -> Result<Vec<u8>>;
}

/// The chunks of one remote file, in a folder of their own.
pub struct Chunks<S> {
    source: S,
    folder: PathBuf,
}

impl<S: Source> Chunks<S> {
    /// Keeps the chunks of `source` in `folder`, which must belong to that very file.
    pub fn new(source: S, folder: PathBuf) -> Result<Self> {
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(Self { source, folder })
    }

    /// Forgets every chunk on disk: some of them were found to be wrong.
    pub fn forget(&self) -> Result<()> {
        fs::remove_dir_all(&self.folder)
            .and_then(|()| fs::create_dir_all(&self.folder))
            .with_context(|| format!("cannot empty {}", self.folder.display()))
    }

    /// Fetches what `ranges` touch and the disk lacks, several chunks at a time. `progress` is called with the bytes of each
    /// chunk as it is there; the chunks already on disk come first.
    pub fn prefetch(&self, ranges: &[Range<u64>], progress: &(dyn Fn(u64) + Sync)) -> Result<()> {
        let wanted: BTreeSet<u64> =
            ranges.iter().flat_map(|range| chunks_of(range, self.source.size_bytes())).collect();
        let mut missing = Vec::new();
        for chunk_idx in wanted {
            match self.on_disk(chunk_idx) {
                Some(_) => progress(self.span(chunk_idx).end - self.span(chunk_idx).start),
                None => missing.push(chunk_idx),
            }
        }
        let queue = Mutex::new(missing.into_iter());
        let failed = AtomicBool::new(false);
        thread::scope(|scope| {
            let fetch_all = || -> Result<()> {
                while !failed.load(Ordering::Relaxed) {
                    let next = queue.lock().expect("no thread panics here").next();
                    let Some(chunk_idx) = next else { break };
                    let bytes = self.chunk(chunk_idx).inspect_err(|_| failed.store(true, Ordering::Relaxed))?;
                    progress(bytes.len() as u64);
                }
                Ok(())
            };
            let threads: Vec<_> = (0..NUM_CONNECTIONS).map(|_| scope.spawn(fetch_all)).collect();
            threads.into_iter().try_for_each(|thread| thread.join().expect("fetching does not panic"))
        })
    }

    /// Bytes that `prefetch` of the same ranges counts up to.
    pub fn prefetch_bytes(&self, ranges: &[Range<u64>]) -> u64 {
        let wanted: BTreeSet<u64> =
            ranges.iter().flat_map(|range| chunks_of(range, self.source.size_bytes())).collect();
        wanted.into_iter().map(|chunk_idx| self.span(chunk_idx).end - self.span(chunk_idx).start).sum()
    }

    /// One chunk, from disk or from the source.
    fn chunk(&self, chunk_idx: u64) -> Result<Vec<u8>> {
        if let Some(bytes) = self.on_disk(chunk_idx).and_then(|path| fs::read(path).ok()) {
            return Ok(bytes);
        }
        let span = self.span(chunk_idx);
        let bytes = self.source.read(span.clone())?;
        if bytes.len() as u64 != span.end - span.start {
            bail!("{} bytes came for the range {span:?}", bytes.len());
        }
        let path = self.path(chunk_idx);
        let part = path.with_extension(format!("part-{}", std::process::id()));
        fs::write(&part, &bytes)
            .and_then(|()| fs::rename(&part, &path))
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(bytes)
    }

    /// Where a chunk lies, if it is there in its full size.
    fn on_disk(&self, chunk_idx: u64) -> Option<PathBuf> {
        let path = self.path(chunk_idx);
        let span = self.span(chunk_idx);
        path.metadata().is_ok_and(|metadata| metadata.len() == span.end - span.start).then_some(path)
    }

    fn path(&self, chunk_idx: u64) -> PathBuf {
        self.folder.join(format!("{chunk_idx:05}.chunk"))
    }

    fn span(&self, chunk_idx: u64) -> Range<u64> {
        let start = chunk_idx * CHUNK_BYTES;
        start..(start + CHUNK_BYTES).min(self.source.size_bytes())
    }
}

/// Indices of the chunks that a range of a file touches.
fn chunks_of(range: &Range<u64>, size_bytes: u64) -> Range<u64> {
    let end = range.end.min(size_bytes);
    range.start / CHUNK_BYTES..end.div_ceil(CHUNK_BYTES)
}

/// Reads a chunked remote file like a local one.
pub struct RangeReader<'a, S> {
    chunks: &'a Chunks<S>,
    position: u64,
    current: Option<(u64, Vec<u8>)>,
}

impl<'a, S: Source> RangeReader<'a, S> {
    /// Starts at the file's beginning.
    pub fn new(chunks: &'a Chunks<S>) -> Self {
        Self { chunks, position: 0, current: None }
    }
}

impl<S: Source> Read for RangeReader<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position >= self.chunks.source.size_bytes() {
            return Ok(0);
        }
        let chunk_idx = self.position / CHUNK_BYTES;
        let bytes = match self.current.take() {
            Some((current_idx, bytes)) if current_idx == chunk_idx => bytes,
            _ => self.chunks.chunk(chunk_idx).map_err(|error| io::Error::other(format!("{error:#}")))?,
        };
        let rest = &bytes[(self.position % CHUNK_BYTES) as usize..];
        let num_bytes = rest.len().min(buffer.len());
        buffer[..num_bytes].copy_from_slice(&rest[..num_bytes]);
        self.position += num_bytes as u64;
        self.current = Some((chunk_idx, bytes));
        Ok(num_bytes)
    }
}

impl<S: Source> Seek for RangeReader<'_, S> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(offset) => self.chunks.source.size_bytes().checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = target.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    /// A file of `size_bytes` whose byte at `n` is `n % 251`; it counts what is asked of it and can be cut off.
    struct Pattern {
        size_bytes: u64,
        num_reads: AtomicU64,
        reads_allowed: u64,
    }

    impl Pattern {
        fn new(size_bytes: u64) -> Self {
            Self { size_bytes, num_reads: AtomicU64::new(0), reads_allowed: u64::MAX }
        }
    }

    impl Source for Pattern {
        fn size_bytes(&self) -> u64 {
            self.size_bytes
        }

        fn read(&self, range: Range<u64>) -> Result<Vec<u8>> {
            if self.num_reads.fetch_add(1, Ordering::Relaxed) >= self.reads_allowed {
                bail!("cut off");
            }
            Ok(range.map(|n| (n % 251) as u8).collect())
        }
    }

    #[test]
    fn reading_over_a_chunk_border_and_to_the_end_gives_the_files_bytes() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let chunks = Chunks::new(Pattern::new(2 * CHUNK_BYTES + 5), folder.path().to_path_buf()).expect("chunks");
        let mut reader = RangeReader::new(&chunks);
        reader.seek(SeekFrom::Start(CHUNK_BYTES - 3)).expect("a seek");
        let mut six = [0; 6];
        reader.read_exact(&mut six).expect("six bytes");
        assert_eq!(six.map(u64::from), std::array::from_fn(|n| (CHUNK_BYTES - 3 + n as u64) % 251));
        reader.seek(SeekFrom::End(-5)).expect("a seek");
        let mut tail = Vec::new();
        reader.read_to_end(&mut tail).expect("the tail");
        assert_eq!(tail.len(), 5);
        assert!(reader.seek(SeekFrom::Current(-(i64::MAX))).is_err());
    }

    #[test]
    fn an_interrupted_fetch_goes_on_where_it_stopped() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let everything = 0..8 * CHUNK_BYTES;
        let mut source = Pattern::new(everything.end);
        source.reads_allowed = 3;
        let chunks = Chunks::new(source, folder.path().to_path_buf()).expect("chunks");
        assert!(chunks.prefetch(std::slice::from_ref(&everything), &|_| ()).is_err());

        let chunks = Chunks::new(Pattern::new(everything.end), folder.path().to_path_buf()).expect("chunks");
        let progressed = AtomicU64::new(0);
        let ranges = [everything];
        chunks
            .prefetch(&ranges, &|bytes| {
                progressed.fetch_add(bytes, Ordering::Relaxed);
            })
            .expect("the rest");
        assert_eq!(chunks.source.num_reads.load(Ordering::Relaxed), 5, "three of eight were there");
        assert_eq!(progressed.load(Ordering::Relaxed), chunks.prefetch_bytes(&ranges));
    }

    #[test]
    fn a_torn_chunk_is_fetched_again() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let chunks = Chunks::new(Pattern::new(100), folder.path().to_path_buf()).expect("chunks");
        fs::write(folder.path().join("00000.chunk"), [9; 50]).expect("half a chunk");
        let mut bytes = Vec::new();
        RangeReader::new(&chunks).read_to_end(&mut bytes).expect("the file");
        assert_eq!(bytes, (0..100).collect::<Vec<u8>>());
    }

    #[test]
    fn ranges_touch_the_chunks_they_should() {
        assert_eq!(chunks_of(&(0..1), 10), 0..1);
        assert_eq!(chunks_of(&(CHUNK_BYTES - 1..CHUNK_BYTES + 1), 3 * CHUNK_BYTES), 0..2);
        assert_eq!(chunks_of(&(CHUNK_BYTES..9 * CHUNK_BYTES), 2 * CHUNK_BYTES + 1), 1..3);
    }
}
