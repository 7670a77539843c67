"""Splits: no speaker and no piece on two sides; the builder on real files made here."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from underscore_training import corpus, sources
from underscore_training.corpus import CorpusError
from underscore_training.mixtures import Mixtures, Shelf, clip_samples
from underscore_training.sources import Source

SPEECH = Source("voices", "sounds", "*/*", "speech", 1, "test")
MUSIC = Source("tunes", "music", "*.wav", "music", 0, "test")


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    folder = tmp_path / "packages"
    files = [folder / "voices" / "sounds" / speaker / f"{word}.wav" for speaker in ("a", "b", "b@x") for word in ("hi", "ho")]
    pieces = [f"piece{i}{suffix}" for i in range(20) for suffix in ("", "_fast", "-intro")]
    files += [folder / "tunes" / "music" / f"{piece}.wav" for piece in pieces]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(file, 0.1 * rng.standard_normal(24_000), 16_000)
    return folder


def test_no_piece_and_no_speaker_is_in_two_splits(packages: Path, tmp_path: Path) -> None:
    items = corpus.build(packages, tmp_path / "out", seed=1, flite=False, listed=(SPEECH, MUSIC))
    splits: dict[str, set[str]] = {}
    for item in items:
        if item.kind == "music":
            name = sources.piece_of(MUSIC, Path(item.name.split("/", 1)[1]))
        else:
            name = item.name
        splits.setdefault(name, set()).add(item.split)
    assert all(len(found) == 1 for found in splits.values())
    assert len([item for item in items if item.kind == "music"]) == 60
    # Spellings of one voice are one speaker.
    assert {item.name for item in items if item.kind == "speech"} == {"voices/a", "voices/b"}


def test_building_twice_gives_the_same_files(packages: Path, tmp_path: Path) -> None:
    for out in ("one", "two"):
        corpus.build(packages, tmp_path / out, seed=1, flite=False, listed=(SPEECH, MUSIC))
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()


def test_a_missing_package_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="apt-get download voices"):
        corpus.build(tmp_path, tmp_path / "out", seed=1, flite=False, listed=(SPEECH,))


def test_the_demo_programme_is_held_out() -> None:
    from underscore_training import programme

    assert programme.SPEECH[0] in sources.TEST_SPEAKERS
    source = next(source for source in sources.SOURCES if source.package == programme.MUSIC[0])
    relative = Path(programme.MUSIC[1]).relative_to(source.folder)
    assert corpus.split_of_piece(sources.piece_of(source, relative), seed=7) == "test"


def test_mixtures_are_seeded_and_finite(tiny_corpus: Path) -> None:
    def first() -> list[np.ndarray]:
        stream = iter(Mixtures(tiny_corpus, "train", 16, seed=5))
        return [signal.numpy() for _ in range(20) for signal in next(stream)]

    one, two = first(), first()
    assert all(np.array_equal(a, b) for a, b in zip(one, two))
    assert all(np.isfinite(signal).all() and signal.size == clip_samples(16) for signal in one)
    assert max(np.abs(mixture).max() for mixture in one[1::2]) <= 1.0


def test_shelf_holds_one_split_only(tiny_corpus: Path) -> None:
    names = [recording.name for recording in Shelf(tiny_corpus, "valid", "speech").recordings]
    assert names == ["valid/speaker0", "valid/speaker1"]
