"""Build the corpus, resumably, and say what is in it."""

import argparse
import sys
from itertools import chain
from pathlib import Path

from . import debian, layouts, multitracks, scores, stems, store, voices
from .build import build
from .errors import CorpusError, NoScores
from .track import KINDS, SPLITS, TRACK_RATE_HZ

DESCRIPTION = """Build a corpus of speech and music, split by speaker and piece.

Without folders of your own it is the shipped corpus: the Debian packages that --list names,
unpacked under --packages, plus synthetic voices and rendered scores. With --speech, --music,
--musdb18, --slakh or --dnr it is made of your folders (and of the packages too with --packages).
An interrupted build is gone on with by the same command. Tracks of an earlier one that a command
does not name, of other folders or left away by --no-scores, stay in the corpus and are trained on;
with --prune they are removed."""


def contents(corpus: Path) -> str:
    """A table of what is stored."""
    lines = ["| Split | Kind | Source | Tracks | Minutes | Full band |", "|---|---|---|---|---|---|"]
    for split in SPLITS:
        for kind in KINDS:
            by_source: dict[str, list[store.Row]] = {}
            for row in store.rows(corpus, split, kind):
                by_source.setdefault(row.source, []).append(row)
            for source, found in sorted(by_source.items()):
                minutes = sum(row.num_samples for row in found) / TRACK_RATE_HZ / 60
                full = sum(row.is_full_band for row in found)
                lines.append(f"| {split} | {kind} | {source} | {len(found)} | {minutes:.1f} | {full} |")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m underscore_training.corpus", description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, default=Path("corpus"), help="folder of the corpus (default: %(default)s)")
    parser.add_argument("--packages", type=Path, help="folder with one unpacked Debian package per subfolder")
    parser.add_argument("--speech", type=Path, help="your speech: a folder, or a file, per speaker")
    parser.add_argument("--music", type=Path, help="your music: a file per piece")
    parser.add_argument("--musdb18", type=Path, help="MUSDB18 or MUSDB18-HQ")
    parser.add_argument("--slakh", type=Path, help="Slakh2100")
    parser.add_argument("--dnr", type=Path, help="Divide and Remaster")
    parser.add_argument("--no-voices", action="store_true", help="without synthetic voices")
    parser.add_argument("--no-scores", action="store_true", help="without rendered scores")
    parser.add_argument("--stems", action="store_true", help="the parts of songs by class instead, beside what is there: of rendered scores, or of --slakh and --musdb18 (and of scores too with --packages)")
    parser.add_argument("--no-singing", action="store_true", help="with --stems: without sung voices")
    parser.add_argument(
        "--prune", action="store_true",
        help="remove stored tracks that this command does not name, of the kinds that it makes: with --stems parts, else speech and music",
    )
    parser.add_argument(
        "--test-only", action="store_true",
        help="only what evaluation reads: the test split and, with --stems, the classes that nothing is trained on",
    )
    parser.add_argument("--seed", type=int, default=7, help="draws the splits and the synthetic parts")
    parser.add_argument("--pack", type=Path, metavar="DIR", help="also write the tracks as tar files below 60 MB each")
    parser.add_argument("--list", action="store_true", help="print the Debian packages of the shipped corpus and stop")
    args = parser.parse_args(argv)
    if args.list:
        print("\n".join([*dict.fromkeys(source.package for source in debian.SOURCES), "openttd-openmsx"]))
        return
    if args.test_only and args.prune:
        parser.error("--prune would remove all that is trained on: leave --test-only or --prune away")
    readers = {
        "speech": layouts.speech_folder, "music": layouts.music_folder, "musdb18": layouts.musdb18,
        "slakh": layouts.slakh, "dnr": layouts.divide_and_remaster,
    }
    try:
        if args.stems:
            readers = {"slakh": lambda folder, _: multitracks.slakh(folder), "musdb18": multitracks.musdb18}
            whole = [f"--{name}" for name in ("speech", "music", "dnr") if getattr(args, name)]
            if whole:
                raise CorpusError(f"{' and '.join(whole)} cannot be taken apart by class: leave --stems away, or run a command without it too")
        own = [reader(getattr(args, name), args.seed) for name, reader in readers.items() if getattr(args, name)]
        parts = list(own)
        if args.stems:
            if args.packages or not own:
                parts.append(stems.tracks(args.packages or Path("packages"), args.seed, not args.no_singing))
            # What is trained on first: the rest may be made meanwhile.
            parts = [sorted(chain.from_iterable(parts), key=lambda track: SPLITS.index(track.split))]
        elif args.packages or not own:
            packages = args.packages or Path("packages")
            parts.append(debian.tracks(packages, args.seed))
            if not args.no_voices:
                parts.append(voices.tracks(args.seed))
            if not args.no_scores:
                parts.append(scores.tracks(packages, args.seed))
        named = chain.from_iterable(parts)
        if args.test_only:
            named = (track for track in named if track.split == "test" or track.kind in stems.UNHEARD)
        built = build(args.out, named, args.prune)
        print(contents(args.out))
        if built.left_out:
            print(f"\n{len(built.left_out)} left out:")
            print("\n".join(f"- {reason}" for reason in built.left_out))
        if built.kept:
            print(f"\n{len(built.kept)} of an earlier build that this command does not name are kept, {built.kept[0]} among them; --prune removes them")
        if built.removed:
            print(f"\n{len(built.removed)} no longer asked for, removed:")
            print("\n".join(f"- {track}" for track in built.removed))
        if args.pack:
            for path in store.pack(args.out, args.pack):
                print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
    except NoScores as error:
        # Without scores there are no parts of them.
        sys.exit(f"error: {error}{'' if args.stems else ', or pass --no-scores'}")
    except CorpusError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted: run the same command again to go on")


if __name__ == "__main__":
    main()
