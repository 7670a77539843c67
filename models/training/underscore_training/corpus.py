"""Build the training corpus from unpacked Debian packages.

Output: per split and kind one `int16` array of 16 kHz mono, `{split}_{kind}.npy`, and
one `index.json` that names every speaker and piece with its place in the array. A
speaker or a piece is in one split only. The same packages and seed give the same files.
"""

import argparse
import hashlib
import json
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from . import sources
from .grid import SAMPLE_RATE_HZ
from .sources import Source

SPLITS = ("train", "valid", "test")
VALID_FRACTION = 0.06
TEST_FRACTION = 0.12
PIECE_LIMIT_S = 200
"""Seconds taken of one piece: variety is worth more than length."""
SPEECH_PEAK = 0.5
GAP_S = (0.05, 0.5)
TRIM_RATIO = 10 ** (-45 / 20)
"""Silence at both ends of a speech file, relative to its peak, is cut."""
FLITE_VOICES = ("awb", "rms", "slt", "kal16")
FLITE_SENTENCES = 120


class CorpusError(Exception):
    """The corpus cannot be built; the message says what to do."""


@dataclass(frozen=True)
class Item:
    """A speaker or a piece inside its split's array; positions in samples."""

    name: str
    source: str
    split: str
    kind: str
    start: int
    length: int


def decode(path: Path, limit_s: float | None = None) -> np.ndarray:
    """Any audio file -> float32 mono at 16 kHz, full scale 1."""
    command = ["ffmpeg", "-v", "error", "-nostdin"]
    if path.suffix == ".g722":
        command += ["-f", "g722"]
    command += ["-i", str(path)]
    if limit_s is not None:
        command += ["-t", str(limit_s)]
    command += ["-ac", "1", "-ar", str(SAMPLE_RATE_HZ), "-f", "f32le", "-"]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError as error:
        raise CorpusError("ffmpeg is not installed: apt install ffmpeg") from error
    if done.returncode != 0:
        raise CorpusError(f"cannot decode {path}: {done.stderr.decode(errors='replace').strip()}")
    return np.frombuffer(done.stdout, np.float32)


def trimmed(signal: np.ndarray) -> np.ndarray:
    """Without the near-silence at both ends; empty when there is nothing else."""
    if signal.size == 0:
        return signal
    peak = float(np.abs(signal).max())
    if peak < 1e-3:
        return signal[:0]
    loud = np.flatnonzero(np.abs(signal) > peak * TRIM_RATIO)
    return signal[loud[0] : loud[-1] + 1]


def join_speech(files: list[np.ndarray], rng: random.Random) -> np.ndarray:
    """A speaker's utterances in random order with random pauses, each at the same RMS."""
    parts: list[np.ndarray] = []
    order = list(files)
    rng.shuffle(order)
    for signal in order:
        signal = trimmed(signal)
        if signal.size < SAMPLE_RATE_HZ // 10:
            continue
        rms = float(np.sqrt(np.mean(signal**2)))
        gain = min(0.08 / rms, SPEECH_PEAK / float(np.abs(signal).max()))
        parts.append(signal * gain)
        parts.append(np.zeros(int(rng.uniform(*GAP_S) * SAMPLE_RATE_HZ), np.float32))
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def split_of_piece(piece: str, seed: int) -> str:
    """Stable under additions: each piece is drawn by a hash of its own name."""
    draw = int.from_bytes(hashlib.sha256(f"{seed}/{piece}".encode()).digest()[:8], "little") / 2**64
    if draw < TEST_FRACTION:
        return "test"
    return "valid" if draw < TEST_FRACTION + VALID_FRACTION else "train"


def split_of_speaker(speaker: str) -> str:
    """Speakers are few, so the held-out ones are named in `sources`."""
    if speaker in sources.TEST_SPEAKERS:
        return "test"
    return "valid" if speaker in sources.VALID_SPEAKERS else "train"


def find_files(source: Source, packages: Path) -> list[Path]:
    folder = packages / source.package / source.folder
    if not folder.is_dir():
        raise CorpusError(
            f"{folder} is missing: unpack the package there with\n"
            f"  apt-get download {source.package} && dpkg -x {source.package}_*.deb {packages / source.package}"
        )
    paths = [
        path
        for path in sorted(folder.glob(source.pattern))
        if path.suffix in sources.AUDIO_SUFFIXES
        and sources.SILENT_NAME not in (path.parent.name, path.stem)
    ]
    if not paths:
        raise CorpusError(f"no audio files match {source.pattern} in {folder}")
    return paths


def sentence(rng: random.Random) -> str:
    """A sentence composed by rule, for the synthetic voices."""
    subjects = "the captain|my sister|an old farmer|our neighbour|the driver|a young doctor|nobody|the whole village"
    verbs = "remembers|has forgotten|is looking for|would rather sell|cannot find|wants to paint|talks about|carried"
    objects = "the yellow house|three heavy boxes|a very strange letter|the river|some fresh bread|the last train|his shoes"
    ends = "before breakfast|near the harbour|without asking why|again and again|this week|at a quarter past {}|for {} days"
    words = [rng.choice(part.split("|")) for part in (subjects, verbs, objects, ends)]
    return " ".join(words).format(rng.randint(2, 59)) + rng.choice(".?!")


def flite_speech(voice: str, rng: random.Random) -> list[np.ndarray]:
    """Sentences spoken by one of flite's voices."""
    files = []
    for _ in range(FLITE_SENTENCES):
        command = ["flite", "-voice", voice, "--setf", f"duration_stretch={rng.uniform(0.8, 1.2):.2f}"]
        command += ["-t", f"{sentence(rng)} {sentence(rng)}", "-o", "/dev/stdout"]
        try:
            done = subprocess.run(command, capture_output=True, check=True)
        except (FileNotFoundError, subprocess.CalledProcessError) as error:
            raise CorpusError("flite does not run: apt install flite, or pass --no-flite") from error
        files.append(np.frombuffer(done.stdout[44:], np.int16).astype(np.float32) / 32768)
    return files


class SplitWriter:
    """Appends recordings to the split arrays and keeps the index."""

    def __init__(self, out: Path):
        self.out = out
        self.parts: dict[tuple[str, str], list[np.ndarray]] = {}
        self.items: list[Item] = []

    def add(self, name: str, source: str, split: str, kind: str, signal: np.ndarray) -> None:
        if signal.size < SAMPLE_RATE_HZ:
            return
        parts = self.parts.setdefault((split, kind), [])
        start = sum(part.size for part in parts)
        parts.append((np.clip(signal, -1, 1) * 32767).astype(np.int16))
        self.items.append(Item(name, source, split, kind, start, signal.size))

    def close(self, seed: int) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        for (split, kind), parts in self.parts.items():
            np.save(self.out / f"{split}_{kind}.npy", np.concatenate(parts))
        index = {
            "sample_rate_hz": SAMPLE_RATE_HZ,
            "seed": seed,
            "items": [asdict(item) for item in self.items],
        }
        (self.out / "index.json").write_text(json.dumps(index, indent=1))


def build(packages: Path, out: Path, seed: int, flite: bool, listed: tuple[Source, ...] = sources.SOURCES) -> list[Item]:
    """Decode every source, assign splits, write the arrays. Returns the index."""
    writer = SplitWriter(out)
    files = [(source, path) for source in listed for path in find_files(source, packages)]
    speech: dict[str, list[np.ndarray]] = {}
    package_of: dict[str, str] = {}
    with ThreadPoolExecutor(2) as pool:
        limits = [PIECE_LIMIT_S if source.kind == "music" else None for source, _ in files]
        decoded = pool.map(decode, [path for _, path in files], limits)
        for (source, path), signal in tqdm(zip(files, decoded), total=len(files), desc="decode", file=sys.stderr):
            relative = path.relative_to(packages / source.package / source.folder)
            if source.kind == "speech":
                speaker = sources.speaker_of(source, relative)
                if speaker not in sources.EXCLUDED_SPEAKERS:
                    speech.setdefault(speaker, []).append(signal)
                    package_of[speaker] = source.package
            else:
                piece = sources.piece_of(source, relative)
                name = f"{source.package}/{relative}"
                writer.add(name, source.package, split_of_piece(piece, seed), "music", signal)
    if flite:
        for voice in tqdm(FLITE_VOICES, desc="flite", file=sys.stderr):
            speech[f"flite/{voice}"] = flite_speech(voice, random.Random(f"{seed}/{voice}"))
            package_of[f"flite/{voice}"] = "flite"
    for speaker in sorted(speech):
        joined = join_speech(speech[speaker], random.Random(f"{seed}/{speaker}"))
        writer.add(speaker, package_of[speaker], split_of_speaker(speaker), "speech", joined)
    writer.close(seed)
    return writer.items


def summary(items: list[Item]) -> str:
    """Minutes and counts per split and kind."""
    lines = [f"{'split':6} {'kind':7} {'items':>5} {'minutes':>8}"]
    for split in SPLITS:
        for kind in ("speech", "music"):
            chosen = [item for item in items if (item.split, item.kind) == (split, kind)]
            minutes = sum(item.length for item in chosen) / SAMPLE_RATE_HZ / 60
            lines.append(f"{split:6} {kind:7} {len(chosen):5} {minutes:8.1f}")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m underscore_training.corpus", description=__doc__.split("\n")[0])
    parser.add_argument("--packages", type=Path, default=Path("packages"), help="folder of unpacked packages, one folder each")
    parser.add_argument("--out", type=Path, default=Path("corpus"), help="folder to write")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--no-flite", action="store_true", help="leave the synthetic voices out")
    parser.add_argument("--list", action="store_true", help="print the packages to download and stop")
    args = parser.parse_args(argv)
    if args.list:
        print("\n".join(sorted({source.package for source in sources.SOURCES})))
        return
    try:
        items = build(args.packages, args.out, args.seed, not args.no_flite)
    except CorpusError as error:
        sys.exit(f"error: {error}")
    print(summary(items))


if __name__ == "__main__":
    main()
