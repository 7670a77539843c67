//! Where a render's files go: looked at before the render, changed when all of them are whole.

use super::report::{Report, Separation};
use crate::files::{self, Part};
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::io::Write;
use std::path::{Component, Path, PathBuf};

/// The folder of one render.
#[derive(Debug)]
pub struct OutDir {
    folder: PathBuf,
    /// What the report of an earlier render says that it left here, and the report itself.
    earlier: Vec<PathBuf>,
    /// How many of the earlier render's frames were not separated, where there is one.
    num_dry_before: Option<u64>,
    /// The report on its way. Held from beginning to end, it keeps every other render out of the folder.
    report: Part,
    /// Dropped last: what is in them goes first.
    _made: MadeFolders,
}

/// Folders that were not there, the innermost first. Those that are still empty in the end are taken away again.
#[derive(Debug)]
struct MadeFolders(Vec<PathBuf>);

impl MadeFolders {
    /// Makes `folder` and those around it that are missing.
    fn up_to(folder: &Path) -> std::io::Result<Self> {
        let missing = folder.ancestors().take_while(|around| !around.as_os_str().is_empty() && !around.exists());
        let made = Self(missing.map(Path::to_path_buf).collect());
        std::fs::create_dir_all(folder).map(|()| made)
    }
}

impl Drop for MadeFolders {
    fn drop(&mut self) {
        // One with something in it stays.
        let _ = self.0.iter().try_for_each(std::fs::remove_dir);
    }
}

/// What was rendered is whole, but was not put in its place.
#[derive(Debug, thiserror::Error)]
#[error(
    "the render is there to its end, but not all of it got its name; take it away before the next render into the folder: {}",
    .files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ")
)]
pub struct Unpublished {
    /// Where its files are.
    pub files: Vec<PathBuf>,
}

/// As much of an earlier render's report as tells that it is one, what else it left, and how good that is.
#[derive(Deserialize)]
struct Earlier {
    #[serde(rename = "latency_samples_reported")]
    _latency_samples: usize,
    #[serde(default)]
    files: Vec<PathBuf>,
    #[serde(flatten)]
    separation: Separation,
}

impl OutDir {
    /// Makes the folder where it is missing and writes to it: whoever renders for a night should not learn in the morning that nothing
    /// can be kept, nor that another render has written into the same folder.
    pub fn prepare(folder: &Path) -> Result<Self> {
        let made =
            MadeFolders::up_to(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let report =
            Part::hold(&folder.join(REPORT)).with_context(|| format!("cannot write to {}", folder.display()))?;
        let earlier: Option<Earlier> =
            std::fs::read(folder.join(REPORT)).ok().and_then(|text| serde_json::from_slice(&text).ok());
        // A name alone leads nowhere else.
        let is_name = |path: &PathBuf| matches!(path.components().collect::<Vec<_>>()[..], [Component::Normal(_)]);
        let num_dry_before = earlier.as_ref().map(|earlier| earlier.separation.num_dry_frames());
        let earlier = earlier.into_iter().flat_map(|earlier| earlier.files.into_iter().chain([REPORT.into()]));
        let earlier = earlier.filter(is_name).map(|name| folder.join(name)).collect();
        Ok(Self { folder: folder.to_path_buf(), earlier, num_dry_before, report, _made: made })
    }

    /// The path of a file in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Refuses where a file that may be replaced or removed is one that is read: the input of a render, its sidechain, or what is
    /// rendered after it. So where one would be replaced that no earlier render left, for nobody here knows whose it is, and where another
    /// program is writing one. Changes nothing.
    pub fn claim(&self, names: &[String], sources: &[&Path]) -> Result<()> {
        let own = names.iter().map(|name| self.path(name));
        for file in own.chain(self.earlier.iter().cloned()) {
            for replaced in [files::part_of(&file), file] {
                if let Some(source) =
                    sources.iter().find(|source| same_file::is_same_file(&replaced, source).unwrap_or(false))
                {
                    bail!(
                        "{} would take the place of {}, which is read: name another folder for what comes out",
                        replaced.display(),
                        source.display()
                    );
                }
            }
        }
        let mut own = names.iter().map(|name| self.path(name)).chain([self.path(REPORT)]);
        if let Some(foreign) = own.find(|file| file.symlink_metadata().is_ok() && !self.earlier.contains(file)) {
            bail!(
                "{} would be replaced, and no earlier render left it (what one left, its {REPORT} says): move it, or name another folder \
                 for what comes out",
                foreign.display()
            );
        }
        names.iter().try_for_each(|name| files::require_not_held(&self.path(name)))
    }

    /// Puts whole files and their report in the place of what an earlier render left. The report goes first and comes last: while there is
    /// one, it is that of the files beside it. A render takes the place of none that has fewer frames which were not separated.
    ///
    /// # Errors
    /// [`Unpublished`]: a file of the earlier render that is not replaced is no reason to lose this one. Where this one cannot be brought to the
    /// disk it is lost, and the earlier one is not.
    pub fn publish(mut self, mut parts: Vec<Part>, report: &Report) -> Result<()> {
        let text = serde_json::to_string_pretty(report)? + "\n";
        self.report.empty()?;
        let mut own = self.report.file();
        own.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", self.report.path().display()))?;
        parts.push(self.report);
        parts.iter().try_for_each(Part::sync)?;
        let was_better = self.num_dry_before.is_some_and(|before| before < report.separation().num_dry_frames());
        let worse =
            if was_better { report.require_separated().context("an earlier render keeps its place") } else { Ok(()) };
        worse.and_then(|()| replace(&self.earlier, &mut parts)).map_err(|error| {
            let files = parts.into_iter().map(Part::keep).collect();
            error.context(Unpublished { files })
        })
    }
}

/// Puts `parts`, of which the last is the report, in the place of `earlier` files.
fn replace(earlier: &[PathBuf], parts: &mut [Part]) -> Result<()> {
    let last = parts.last().context("a render has a report")?;
    earlier.iter().try_for_each(|file| files::remove(file))?;
    files::remove(last.destination())?;
    parts.iter_mut().try_for_each(Part::finish)
}

/// The report's name.
const REPORT: &str = "report.json";

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const STEMS: [&str; 3] = ["main.wav", "music.wav", "dialogue.wav"];

    fn names() -> Vec<String> {
        STEMS.map(str::to_owned).to_vec()
    }

    /// The files in a folder, by name.
    fn listed(folder: &Path) -> Vec<String> {
        let files = files::list(folder, |_| true).unwrap();
        files.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
    }

    fn render(folder: &Path, names: &[&str], text: &str) {
        try_render(folder, names, text).unwrap();
    }

    fn try_render(folder: &Path, names: &[&str], text: &str) -> Result<()> {
        render_reported(folder, names, text, separated())
    }

    /// Of a render without flaws.
    fn separated() -> Report {
        Report { state: "running".into(), frames: 100, ..Report::default() }
    }

    fn render_reported(folder: &Path, names: &[&str], text: &str, report: Report) -> Result<()> {
        let out_dir = OutDir::prepare(folder).unwrap();
        let parts = names.iter().map(|name| {
            let part = Part::of(&out_dir.path(name)).unwrap();
            part.file().write_all(text.as_bytes()).unwrap();
            part
        });
        let parts = parts.collect();
        let files = names.iter().map(|name| (*name).to_owned()).collect();
        out_dir.publish(parts, &Report { files, ..report })
    }

    #[test]
    fn a_second_render_leaves_nothing_of_the_first_and_all_that_is_not_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        fs::write(folder.join("mine.wav"), "mine").unwrap();
        render(folder, &["main.wav", "music.wav", "dialogue.wav"], "one");
        fs::write(folder.join("note.txt"), "mine").unwrap();
        render(folder, &["main.wav", "target.wav", "residual.wav"], "two");
        let expected = ["main.wav", "mine.wav", "note.txt", "report.json", "residual.wav", "target.wav"];
        assert_eq!(listed(folder), expected);
        assert_eq!(fs::read_to_string(folder.join("main.wav")).unwrap(), "two");
    }

    #[test]
    fn a_report_of_something_else_names_nothing_that_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).unwrap();
        for (report, file) in [
            (r#"{"files": ["music.wav"]}"#, inner.join("music.wav")),
            (r#"{"latency_samples_reported": 1, "files": ["../music.wav"]}"#, folder.path().join("music.wav")),
            ("no report", inner.join("music.wav")),
        ] {
            fs::write(&file, "mine").unwrap();
            fs::write(inner.join("report.json"), report).unwrap();
            render(&inner, &["main.wav"], "one");
            assert!(file.exists(), "{report}");
        }
    }

    #[test]
    fn what_is_read_is_not_written_to_whatever_it_is_called() {
        let folder = tempfile::tempdir().unwrap();
        let (mix, out) = (folder.path().join("mix.wav"), folder.path().join("out"));
        fs::write(&mix, "the only copy").unwrap();
        fs::create_dir(&out).unwrap();
        let refusal =
            |sources: &[&Path]| OutDir::prepare(&out).unwrap().claim(&names(), sources).map_err(|e| e.to_string());
        assert_eq!(refusal(&[&mix]), Ok(()));
        for name in STEMS {
            let path = out.join(name);
            fs::write(&path, "the only copy").unwrap();
            let error = refusal(&[&mix, &path]).unwrap_err();
            assert!(error.contains(name), "{error}");
            let roundabout = out.join("../out").join(name);
            assert!(refusal(&[&roundabout]).is_err());
            fs::remove_file(&path).unwrap();
        }
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(&mix, out.join("main.wav")).unwrap();
            assert!(refusal(&[&mix]).unwrap_err().contains("mix.wav"));
            fs::remove_file(out.join("main.wav")).unwrap();
        }
        fs::hard_link(&mix, out.join("music.wav")).unwrap();
        assert!(refusal(&[&mix]).is_err());
        fs::remove_file(out.join("music.wav")).unwrap();
        // What an earlier render left is removed even where this one writes nothing of that name.
        render(&out, &["target.wav"], "one");
        assert!(refusal(&[&out.join("target.wav")]).is_err());
    }

    #[test]
    fn what_no_render_left_is_not_replaced_and_what_one_left_is() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let claim = || OutDir::prepare(folder).unwrap().claim(&names(), &[]).map_err(|error| error.to_string());
        assert_eq!(claim(), Ok(()));
        for name in STEMS.into_iter().chain([REPORT]) {
            fs::write(folder.join(name), "mine").unwrap();
            let error = claim().unwrap_err();
            assert!(error.contains(&folder.join(name).display().to_string()) && error.contains("move it"), "{error}");
            assert_eq!(fs::read_to_string(folder.join(name)).unwrap(), "mine");
            fs::remove_file(folder.join(name)).unwrap();
        }
        render(folder, &["main.wav", "music.wav"], "one");
        assert_eq!(claim(), Ok(()));
        fs::write(folder.join("dialogue.wav"), "mine").unwrap();
        assert!(claim().unwrap_err().contains("dialogue.wav"));
    }

    #[test]
    fn a_command_that_renders_nothing_leaves_what_was_kept_beside_an_earlier_render() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let contents = || listed(folder).into_iter().map(|name| (fs::read(folder.join(&name)).unwrap(), name));
        render(folder, &STEMS, "whole");
        render_reported(folder, &STEMS, "flawed", Report { unmasked_frames: 3, ..separated() }).unwrap_err();
        let before: Vec<_> = contents().collect();
        assert_eq!(before.len(), 2 * (STEMS.len() + 1));
        let out_dir = OutDir::prepare(folder).unwrap();
        out_dir.claim(&names(), &[]).unwrap();
        drop(out_dir);
        assert!(contents().eq(before));
        render(folder, &STEMS, "whole again");
        let report: Earlier = serde_json::from_slice(&fs::read(folder.join(REPORT)).unwrap()).unwrap();
        assert_eq!(report.separation.num_dry_frames(), 0, "of what was kept nothing is in it");
    }

    #[test]
    fn a_folder_that_another_render_writes_into_is_refused_until_that_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let first = OutDir::prepare(folder).unwrap();
        let error = OutDir::prepare(folder).unwrap_err();
        assert!(error.is::<files::PartHeld>() && format!("{error:#}").contains("another place"), "{error:#}");
        first.publish(Vec::new(), &separated()).unwrap();
        // Another program's: whatever holds a file that would be written is not disturbed.
        let music = Part::of(&folder.join("music.wav")).unwrap();
        let error = OutDir::prepare(folder).unwrap().claim(&names(), &[]).unwrap_err();
        assert_eq!(error.downcast::<files::PartHeld>().unwrap().path, music.path());
        drop(music);
        render(folder, &STEMS, "one");
    }

    #[test]
    fn what_is_whole_and_cannot_be_put_in_its_place_is_kept_and_named() {
        for in_the_way in STEMS {
            let folder = tempfile::tempdir().unwrap();
            let folder = folder.path();
            fs::create_dir_all(folder.join(in_the_way).join("mine")).unwrap();
            let error = try_render(folder, &STEMS, "one").unwrap_err();
            let text = format!("{error:#}");
            assert!(text.contains(&format!("cannot write {}", folder.join(in_the_way).display())), "{text}");
            let Unpublished { files } = error.downcast().unwrap();
            assert_eq!(files.len(), STEMS.len() + 1);
            for (file, name) in files.iter().zip(STEMS) {
                assert_eq!(fs::read_to_string(file).unwrap(), "one", "{name}");
                assert!(text.contains(&file.display().to_string()), "{text}");
            }
            assert!(fs::read_to_string(&files[STEMS.len()]).unwrap().contains("main.wav"), "the report");
            assert!(!folder.join(REPORT).exists(), "not all files beside it are this render's");
            fs::remove_dir_all(folder.join(in_the_way)).unwrap();
            render(folder, &STEMS, "two");
            assert_eq!(listed(folder), ["dialogue.wav", "main.wav", "music.wav", "report.json"]);
        }
    }

    #[test]
    fn a_render_with_flaws_takes_no_better_ones_place_and_is_kept_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let flawed = || Report { unmasked_frames: 3, ..separated() };
        render_reported(folder, &STEMS, "flawed", flawed()).expect("there is none whose place it would take");
        render(folder, &STEMS, "whole");
        let error = render_reported(folder, &STEMS, "flawed again", flawed()).unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains("an earlier render keeps its place: 3 of 100 frames were not separated"), "{text}");
        for name in STEMS {
            let (earlier, beside) = (folder.join(name), files::part_of(&folder.join(name)));
            assert_eq!(fs::read_to_string(earlier).unwrap(), "whole");
            assert_eq!(fs::read_to_string(&beside).unwrap(), "flawed again");
            assert!(text.contains(&beside.display().to_string()), "{text}");
        }
        assert_eq!(error.downcast::<Unpublished>().unwrap().files.len(), STEMS.len() + 1);
    }

    #[test]
    fn of_two_renders_the_one_of_which_more_was_separated_has_the_place_and_of_equals_the_later_one() {
        let dry = |late_frames, unmasked_frames| Report { late_frames, unmasked_frames, ..separated() };
        let live = |late_frames, unmasked_frames| Report { realtime: true, ..dry(late_frames, unmasked_frames) };
        let none = || Report { state: "unavailable".into(), ..separated() };
        for (first, second, is_replaced) in [
            (dry(50, 10), dry(0, 3), true),
            (dry(0, 3), dry(50, 10), false),
            (dry(3, 0), dry(0, 3), true),
            (dry(0, 0), live(0, 3), false),
            // What is late at the pace of the clock is what the machine came to.
            (dry(0, 0), live(40, 0), true),
            (live(40, 0), dry(1, 0), false),
            (none(), dry(0, 99), true),
            (none(), none(), true),
            (dry(0, 99), none(), false),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let case = format!("{first:?}, then {second:?}");
            render_reported(folder.path(), &STEMS, "first", first).unwrap();
            let published = render_reported(folder.path(), &STEMS, "second", second);
            let expected = if is_replaced { "second" } else { "first" };
            assert_eq!(fs::read_to_string(folder.path().join("main.wav")).unwrap(), expected, "{case}");
            assert_eq!(published.is_ok(), is_replaced, "{case}");
        }
    }

    #[test]
    fn a_render_whose_report_does_not_say_how_good_it_is_keeps_its_place_against_one_with_flaws() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        fs::write(folder.join(REPORT), r#"{"latency_samples_reported": 1, "files": ["main.wav"]}"#).unwrap();
        fs::write(folder.join("main.wav"), "old").unwrap();
        render_reported(folder, &STEMS, "flawed", Report { late_frames: 1, ..separated() }).unwrap_err();
        assert_eq!(fs::read_to_string(folder.join("main.wav")).unwrap(), "old");
        render(folder, &STEMS, "whole");
    }

    #[test]
    fn a_render_that_fails_leaves_no_folder_that_was_not_there_and_every_one_that_was() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("renders/own");
        drop(OutDir::prepare(&own).unwrap());
        assert!(!folder.path().join("renders").exists() && folder.path().exists());
        fs::create_dir(folder.path().join("renders")).unwrap();
        drop(OutDir::prepare(&own).unwrap());
        assert!(folder.path().join("renders").exists() && !own.exists());
        render(&own, &STEMS, "one");
        drop(OutDir::prepare(&own).unwrap());
        assert_eq!(listed(&own).len(), STEMS.len() + 1, "what an earlier render left");
    }

    #[test]
    fn a_folder_that_cannot_be_made_or_written_to_is_an_error_before_the_render() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let error = format!("{:#}", OutDir::prepare(&file.join("out")).unwrap_err());
        assert!(error.contains("cannot make the folder"), "{error}");
        // Even to root, for whom no folder is read-only.
        fs::create_dir_all(folder.path().join("out/report.json.part")).unwrap();
        let error = format!("{:#}", OutDir::prepare(&folder.path().join("out")).unwrap_err());
        assert!(error.contains("cannot write to"), "{error}");
    }
}
