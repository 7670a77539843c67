//! Copies of shipped models that say something else of themselves.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use crate::common::{IDENTITY, echo_path, shipped};
use serde_json::Value;
use tempfile::TempDir;
use zip::read::{ArchiveOffset, Config};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// A shipped model as a zip archive.
pub fn archive(name: &str) -> ZipArchive<File> {
    archive_at(&shipped(name))
}

fn archive_at(path: &Path) -> ZipArchive<File> {
    let whole_file = Config { archive_offset: ArchiveOffset::Known(0) };
    ZipArchive::with_config(whole_file, File::open(path).expect("the model")).expect("a zip")
}

/// A copy of the model whose extra files went through `edit`: `None` leaves one out.
pub fn with_extras(folder: &TempDir, model: &str, edit: impl Fn(&str, Vec<u8>) -> Option<Vec<u8>>) -> PathBuf {
    with_entries(folder, &shipped(model), |name, content| match name.strip_prefix("extra/") {
        Some(extra) => edit(extra, content),
        None => Some(content),
    })
}

/// A copy of the model whose files went through `edit`, by their names in it: `None` leaves one out.
fn with_entries(folder: &TempDir, model: &Path, edit: impl Fn(&str, Vec<u8>) -> Option<Vec<u8>>) -> PathBuf {
    let path = folder.path().join("edited.pt");
    let mut source = archive_at(model);
    let mut target = ZipWriter::new(File::create(&path).expect("a new file"));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for entry_idx in 0..source.len() {
        let mut entry = source.by_index(entry_idx).expect("an entry");
        let name = entry.name().expect("a name").into_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).expect("its content");
        let (_, own_name) = name.split_once('/').expect("all lies in one folder");
        if let Some(content) = edit(own_name, content) {
            target.start_file(name, stored).expect("an entry");
            target.write_all(&content).expect("its content");
        }
    }
    target.finish().expect("a whole zip");
    path
}

/// A copy of the model that runs other code, and says so in its metadata: each text in either is replaced, once.
pub fn with_code(folder: &TempDir, model: &Path, replaced: &[(&str, &str)]) -> PathBuf {
    with_entries(folder, model, |name, content| {
        // It says of each piece of code where it was written.
        if name.ends_with(".debug_pkl") {
            return None;
        }
        if name != "extra/underscore.json" && !name.starts_with("code/") {
            return Some(content);
        }
        let text = String::from_utf8(content).expect("text");
        Some(replaced.iter().fold(text, |text, (from, to)| text.replacen(from, to, 1)).into_bytes())
    })
}

/// The identity, but for its masks: all are the number of the call since the stream began. A call of more than `most_rows` channels at once fails.
pub fn counting(folder: &TempDir, most_rows: usize) -> PathBuf {
    let too_many = format!(
        "    if torch.gt(_1, {most_rows}):\n      ops.prim.RaiseException(\"out of memory\", \"builtins.RuntimeError\")\n    else:\n      pass\n"
    );
    let counted = "    count = torch.add(state[0], 1)\n    return (torch.mul(mask, torch.reshape(count, [1, -1, 1, 1])), [count])\n";
    with_code(
        folder,
        &shipped(IDENTITY),
        &[
            ("\"state_shapes\": []", "\"state_shapes\": [[-1, 1]]"),
            ("    _2 = ", &format!("{too_many}    _2 = ")),
            ("    return (mask, state)\n", counted),
        ],
    )
}

/// The same, which adds one to the number in the file `num_failed` at each call that fails.
pub fn counting_failures(folder: &TempDir, most_rows: usize, num_failed: &Path) -> PathBuf {
    // What comes of the sum is used, or libtorch would leave it out.
    let text = format!("torch.format(\"out of memory: {{}}\", torch.add_({}, 1))", number_in(num_failed));
    let unlike_its_copy = TempDir::new().expect("a folder");
    let counting = counting(&unlike_its_copy, most_rows);
    with_code(folder, &counting, &[("\"out of memory\"", &text)])
}

/// The number in a file, in a model's code: what is written there is seen on both sides at once.
pub fn number_in(file: &Path) -> String {
    format!("torch.from_file({:?}, True, 1)", file.to_str().expect("UTF-8"))
}

/// The echo, of so many frames, that fails at every example.
pub fn deaf(folder: &TempDir, num_frames: usize) -> PathBuf {
    let frames = format!("\"query_frames\": {num_frames}");
    with_code(folder, &echo_path(), &[("\"query_frames\": 5", &frames), ("[1, 4, -1]", "[1, 3, -1]")])
}

/// A copy of the model with one field of its metadata changed.
pub fn with_field(folder: &TempDir, model: &str, field: &str, value: &Value) -> PathBuf {
    with_extras(folder, model, |name, content| {
        if name != "underscore.json" {
            return Some(content);
        }
        let mut metadata: Value = serde_json::from_slice(&content).expect("JSON");
        *metadata.pointer_mut(field).expect("the field") = value.clone();
        Some(metadata.to_string().into_bytes())
    })
}

/// A copy of the model that promises to take half the bins that it takes: it looks right, and every call of it fails inside.
pub fn with_half_the_bins(folder: &TempDir, model: &str) -> PathBuf {
    with_extras(folder, model, |name, content| {
        if name == "test_vector.f32" {
            return Some(content[..content.len() / 1025 * 513].to_vec());
        }
        let text = String::from_utf8(content).expect("text");
        Some(text.replacen("\"num_bins\": 1025", "\"num_bins\": 513", 1).into_bytes())
    })
}

/// A copy of the identity that promises masks of two stems and gives one: it looks right, and every call of it fails.
pub fn with_another_stem(folder: &TempDir) -> PathBuf {
    with_extras(folder, IDENTITY, |name, content| {
        if name == "test_vector.f32" {
            // Two masked stems instead of one: the vector grows by half, by the masks once more.
            let masks = content[content.len() / 3 * 2..].to_vec();
            return Some([content, masks].concat());
        }
        let text = String::from_utf8(content).expect("text");
        Some(text.replacen("\"music\"", "\"music\", \"effects\"", 1).into_bytes())
    })
}
