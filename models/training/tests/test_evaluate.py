"""Clips, estimators, statistics, tables and the command, without a trained network."""

import errno
import json
import shutil
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import write_corpus

from underscore_training.corpus.errors import CorpusError
from underscore_training.corpus.store import rows
from underscore_training.evaluate import estimators as estimators_module
from underscore_training.evaluate import batched
from underscore_training.evaluate import profile as calls
from underscore_training.evaluate import statistics
from underscore_training.evaluate.__main__ import main
from underscore_training.evaluate.clips import CLIP_RATE_HZ, RMS, SCORE_RATE_HZ, Clip, ClipList
from underscore_training.evaluate.errors import EvaluateError
from underscore_training.evaluate.estimators import Mixture, music_estimate, trained
from underscore_training.evaluate.files import write_all
from underscore_training.evaluate.full_band import above_edge, taken_upward
from underscore_training.evaluate.metrics import SilentReference, sdr_db
from underscore_training.evaluate.oracles import IdealRatioMask, PhaseSensitiveMask
from underscore_training.evaluate.report import BEGIN, END, decibels
from underscore_training.evaluate.resample import resampled
from underscore_training.evaluate.results import read
from underscore_training.evaluate.rnnoise import DELAY_SAMPLES, PROGRAM, RATE_HZ, RNNoise
from underscore_training.evaluate.scoring import score_clip
from underscore_training.evaluate.where import BEGINNING_S, LOW_HZ, Where, where
from underscore_training.evaluate.where import main as where_main
from underscore_training.export import packer
from underscore_training.mixtures.shelf import Drawn, Recording
from underscore_training.nets.host_grid import extended

ROOT = Path(__file__).parents[1]
PROGRAMME = ROOT / "../../tests/fixtures/programme"


# Stand-ins.


def signal(seed: int, length_s: float) -> np.ndarray:
    """Noise whose loudness and colour change, full band: float64 `[sample]` at 32 kHz."""
    rng = np.random.default_rng(seed)
    white = rng.standard_normal(int(length_s * CLIP_RATE_HZ))
    envelope = np.repeat(rng.exponential(1, white.size // 1600 + 1), 1600)[: white.size]
    return 0.1 * envelope * np.convolve(white, rng.standard_normal(4), "same")


class StandInShelf:
    """Recordings in memory, drawn from as `mixtures.shelf.Shelf` does."""

    def __init__(self, lengths_s: list[float], silent: bool = False):
        sounds = [np.zeros(int(s * CLIP_RATE_HZ)) if silent else signal(idx, s) for idx, s in enumerate(lengths_s)]
        self.recordings = [
            Recording(f"r{idx:02}", f"r{idx:02}", "source", True, (np.clip(sound, -1, 1) * 32767).astype(np.int16))
            for idx, sound in enumerate(sounds)
        ]

    def stretch(self, recording: Recording, rng: np.random.Generator, num_samples: int) -> Drawn:
        start = int(rng.integers(recording.samples.size - num_samples + 1))
        samples = recording.samples[start : start + num_samples].astype(np.float32)
        if not samples.any():
            raise CorpusError(f"{recording.name}: silent")
        return Drawn(recording, samples / np.sqrt(np.mean(samples**2)))


class Half(torch.nn.Module):
    """Takes `share` of the mixture for music."""

    def __init__(self, sample_rate_hz: int, share: float):
        super().__init__()
        self.sample_rate_hz, self.share = sample_rate_hz, share

    def separate(self, mixture: torch.Tensor) -> torch.Tensor:
        return self.share * mixture

    def programme_music(self, mixture: torch.Tensor, sample_rate_hz: int) -> torch.Tensor:
        return self.share * mixture


@dataclass(frozen=True)
class StandInLoaded:
    net: torch.nn.Module
    name: str
    steps: int = 1000
    gmac_per_s: float = 1.5
    num_parameters: int = 12345
    commit: str = "abc"
    heard: frozenset[str] | None = frozenset({"heard"})
    config: dict = field(default_factory=dict)


@pytest.fixture
def checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Two checkpoints of stand-in networks: `narrow` at 16 kHz and `wide` at 32 kHz."""
    nets = {"narrow": Half(SCORE_RATE_HZ, 0.4), "wide": Half(CLIP_RATE_HZ, 0.5)}
    monkeypatch.setattr(
        estimators_module, "load_network", lambda path: StandInLoaded(nets[path.parent.name], path.parent.name)
    )
    return [tmp_path / "runs" / name / "latest.pt" for name in nets]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("evaluate") / "corpus", per_split=3)


def clip() -> Clip:
    return ClipList(StandInShelf([3.0]), StandInShelf([3.5, 3.5]), 1, 0, clip_s=2.0).clip(0)


def failure(*argv: object) -> str:
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in argv])
    assert isinstance(stopped.value.code, str)  # which exits with 1
    return stopped.value.code


# Clips.


def test_every_recording_is_used_about_equally_often() -> None:
    clips = ClipList(StandInShelf([2.0] * 5), StandInShelf([2.0] * 3), 24, 1, clip_s=1.0)
    found = [clips.clip(idx) for idx in range(24)]
    assert set(Counter(clip.speaker for clip in found).values()) == {4, 5}
    assert set(Counter(clip.piece for clip in found).values()) == {8}


def test_clips_depend_on_seed_and_index_only() -> None:
    shelves = StandInShelf([3.0] * 4), StandInShelf([3.0] * 3)
    few, many = (ClipList(*shelves, num_clips, 1, clip_s=1.0) for num_clips in (3, 30))
    for idx in (2, 0, 1):
        assert np.array_equal(few.clip(idx).music, many.clip(idx).music)
        assert few.clip(idx).speaker == many.clip(idx).speaker
    other = ClipList(*shelves, 3, 2, clip_s=1.0)
    assert not np.array_equal(few.clip(0).speech, other.clip(0).speech)


def test_sources_are_equally_loud_where_they_are_scored() -> None:
    for source in (clip().speech, clip().music):
        narrow = resampled(source, CLIP_RATE_HZ, SCORE_RATE_HZ)
        assert np.sqrt(np.mean(narrow**2)) == pytest.approx(RMS)


def test_short_recordings_are_left_out() -> None:
    clips = ClipList(StandInShelf([0.5, 2.0]), StandInShelf([2.0]), 4, 1, clip_s=1.0)
    assert {clips.clip(idx).speaker for idx in range(4)} == {"r01"}
    with pytest.raises(EvaluateError, match="no music of the split lasts 3 s, the longest 2.0 s"):
        ClipList(StandInShelf([4.0]), StandInShelf([2.0, 1.0]), 4, 1, clip_s=3.0)


def test_a_silent_recording_gives_no_clip() -> None:
    clips = ClipList(StandInShelf([2.0]), StandInShelf([2.0], silent=True), 1, 1, clip_s=1.0)
    with pytest.raises(SilentReference, match="r00: silent"):
        clips.clip(0)


# Estimators.


def test_oracles_come_in_order() -> None:
    found = score_clip(clip(), [PhaseSensitiveMask(), Mixture(), IdealRatioMask()])
    for level_db in (0.0, -10.0):
        for stem in ("music", "dialogue"):
            sdr = {row.estimator: row.sdr_db for row in found.scores if (row.level_db, row.stem) == (level_db, stem)}
            assert sdr["phase-sensitive mask"] > sdr["ideal ratio mask"] + 0.5 > sdr["mixture"] + 3
            assert sdr["mixture"] == pytest.approx(level_db if stem == "music" else -level_db, abs=1e-6)


def test_a_share_of_the_mixture_scores_as_computed(checkpoints: list[Path]) -> None:
    networks = trained(checkpoints)
    assert [network.name for network in networks] == ["narrow", "wide"]
    found = score_clip(clip(), networks)
    for name, share in (("narrow", 0.4), ("wide", 0.5)):
        leaks = {row.source: row.leak_db for row in found.leaks if row.estimator == name}
        assert leaks["speech"] == pytest.approx(20 * np.log10(share), abs=1e-4)
        assert leaks["music"] == pytest.approx(20 * np.log10(1 - share), abs=1e-4)
        row = next(row for row in found.scores if (row.estimator, row.stem, row.level_db) == (name, "music", 0.0))
        # Nearly: by chance the sources are correlated a little.
        assert row.sdr_db == pytest.approx(-10 * np.log10(share**2 + (1 - share) ** 2), abs=0.3)
        assert row.si_sdr_improvement_db == pytest.approx(0, abs=1e-4)
    wide, narrow = ([row for row in found.full_band if row.estimator == name] for name in ("wide", "narrow"))
    assert all(row.own_sdr_db is None and row.own_above_sdr_db is None for row in narrow)
    # A flat mask taken upward is the same mask.
    assert all(row.own_above_sdr_db == pytest.approx(row.extended_above_sdr_db, abs=0.2) for row in wide)


def test_checkpoints_of_one_name_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimators_module, "load_network", lambda _: StandInLoaded(Half(SCORE_RATE_HZ, 0.5), "net"))
    paths = [tmp_path / folder / "best.pt" for folder in ("a", "b")]
    assert [network.name for network in trained(paths)] == ["net (a)", "net (b)"]
    with pytest.raises(EvaluateError, match="two checkpoints are called"):
        trained([paths[0], paths[0]])


def test_an_estimator_that_misbehaves_is_named() -> None:
    class Short(Mixture):
        name = "short"

        def music(self, mixture: np.ndarray) -> np.ndarray:
            return mixture[1:]

    class Endless(Mixture):
        name = "endless"

        def music(self, mixture: np.ndarray) -> np.ndarray:
            return mixture / 0 if mixture.any() else mixture

    sound = np.ones(32)
    with pytest.raises(EvaluateError, match=r"short: returned shape \(31,\) for \(32,\)"):
        music_estimate(Short(), sound, sound, CLIP_RATE_HZ)
    with np.errstate(divide="ignore"), pytest.raises(EvaluateError, match="endless: .* not finite"):
        music_estimate(Endless(), sound, sound, CLIP_RATE_HZ)


@pytest.mark.skipif(shutil.which(PROGRAM) is None, reason=f"{PROGRAM} is not installed")
def test_rnnoise_is_aligned() -> None:
    """The delay of the program, from the peak of the correlation of a voice-like buzz with what comes out."""
    time_s = np.arange(2 * RATE_HZ) / RATE_HZ
    phase = 2 * np.pi * (140 * time_s + 3 * np.sin(2 * np.pi * 2 * time_s))
    buzz = sum(np.sin(k * phase) / k for k in range(1, 30)) * np.clip(np.sin(2 * np.pi * 3 * time_s), 0, 1)
    speech = RNNoise().speech_48k(0.2 * buzz)
    size = 4 * RATE_HZ
    spectrum = np.fft.rfft(speech, size) * np.fft.rfft(buzz, size).conj()
    # The program's high-pass turns phases at the bottom, which is no delay.
    spectrum[np.fft.rfftfreq(size, 1 / RATE_HZ) < 500] = 0
    lag_samples = int(np.argmax(np.fft.irfft(spectrum, size)))
    assert lag_samples == 0, f"DELAY_SAMPLES is {DELAY_SAMPLES}; the output is {lag_samples} off"
    mixture = resampled(0.2 * buzz, RATE_HZ, CLIP_RATE_HZ)
    assert RNNoise().music(mixture).shape == mixture.shape
    # Louder than 16 bits hold: turned down and up again.
    assert sdr_db(RNNoise().music(4.5 * mixture), 10 * RNNoise().music(0.45 * mixture)) > 20


def test_rnnoise_that_is_missing_or_fails_says_so(tmp_path: Path) -> None:
    with pytest.raises(EvaluateError, match="cargo install nnnoiseless"):
        RNNoise("no-such-program")
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho no weights >&2\nexit 3\n")
    broken.chmod(0o755)
    with pytest.raises(EvaluateError, match="status 3. no weights"):
        RNNoise(str(broken)).music(np.zeros(3200))


# Above 8 kHz.


def test_masks_are_extended_as_in_the_plugin() -> None:
    mask = torch.rand(3, 513, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    wide = extended(mask, 1025)
    mean, edge = mask[:, -64:].mean(dim=1), mask[:, -1]
    assert torch.equal(wide[:, :513], mask)
    assert torch.allclose(wide[:, 513], edge + (mean - edge) / 33)
    assert torch.allclose(wide[:, 513 + 32 :], mean[:, None].expand(-1, 480))


def test_an_estimate_taken_upward_stays_below() -> None:
    music, speech = clip().music, clip().speech
    mixture = music + speech
    narrow, target = (resampled(source, CLIP_RATE_HZ, SCORE_RATE_HZ) for source in (mixture, music))
    upward = taken_upward(target, narrow, mixture)
    assert sdr_db(target, resampled(upward, CLIP_RATE_HZ, SCORE_RATE_HZ)) > 25
    assert sdr_db(above_edge(music), above_edge(upward)) > 0


# Statistics.


def drawn(rng: np.random.Generator, num_clusters: int, num_each: int, spread: float) -> tuple[list[float], list[str]]:
    """Values that share the larger part of their deviation within a cluster, around 5."""
    shared = rng.normal(0, spread, num_clusters).repeat(num_each)
    values = 5 + shared + rng.normal(0, 0.3 * spread, shared.size)
    return values.tolist(), [f"piece {idx}" for idx in np.arange(num_clusters).repeat(num_each)]


def test_intervals_cover_the_mean() -> None:
    rng = np.random.default_rng(4)

    def coverage(num_pieces: int, by_clip: bool = False) -> float:
        sets = [drawn(rng, num_pieces, 4, 2.0) for _ in range(400)]
        hits = 0
        for values, pieces in sets:
            found = statistics.interval(values, [str(n) for n in range(len(values))] if by_clip else pieces, 600)
            assert found.low is not None and found.high is not None
            hits += found.low <= 5 <= found.high
        return hits / len(sets)

    for num_pieces in (2, 3, 5, 6, 10):
        print(f"{num_pieces} pieces: {coverage(num_pieces):.1%}")
        assert 0.92 < coverage(num_pieces) < 0.99, num_pieces
    # As if clips of one piece were independent: intervals half as long as they should be.
    assert coverage(10, by_clip=True) < 0.8


def test_intervals_of_known_numbers() -> None:
    assert statistics.interval([3.0] * 6, list("aabbcc")) == statistics.Interval(3.0, 3.0, 3.0)
    assert statistics.interval([1.0, 3.0], ["a", "a"]) == statistics.Interval(2.0, None, None)
    values, pieces = drawn(np.random.default_rng(5), 8, 2, 1.0)
    assert statistics.interval(values, pieces) == statistics.interval(values, pieces)
    # Clips count, not pieces: a piece that was used more often weighs more.
    assert statistics.interval([0.0, 0.0, 0.0, 4.0], list("aaab")).mean == 1.0


def test_a_difference_is_found_where_there_is_one() -> None:
    rng = np.random.default_rng(6)
    first, pieces = drawn(rng, 20, 2, 2.0)
    better = (np.array(first) + 0.5 + rng.normal(0, 0.5, 40)).tolist()
    p = statistics.paired_p(first, better, pieces)
    assert p is not None and p < 0.002
    assert statistics.paired_p(first, first, pieces) == 1.0
    assert statistics.paired_p([1.0, 2.0], [2.0, 3.0], ["a", "a"]) is None


def test_few_pieces_are_tested_exactly() -> None:
    # All three the same way: two of the eight arrangements are as far from zero.
    assert statistics.paired_p([1.0, 2.0, 3.0], [0.0, 0.0, 0.0], list("abc")) == pytest.approx(2 / 8)


def test_equal_systems_are_seldom_told_apart() -> None:
    rng = np.random.default_rng(7)
    ps = []
    for _ in range(200):
        differences, pieces = drawn(rng, 15, 3, 1.0)
        ps.append(statistics.paired_p((np.array(differences) - 5).tolist(), [0.0] * 45, pieces, 500))
    assert np.mean(np.array(ps) < 0.05) < 0.1


# The command.


def test_tables_plots_and_back(
    corpus: Path, checkpoints: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"# Models\n\n{BEGIN}\nold\n{END}\n\nEnd.\n")
    out, again = tmp_path / "out", tmp_path / "again"
    main([
        "--corpus", str(corpus), "--checkpoint", *map(str, checkpoints), "--clips", "3", "--clip-s", "2",
        "--programme", str(PROGRAMME), "--out", str(out), "--figures", str(out), "--readme", str(readme),
    ])
    tables = capsys.readouterr().out
    names = {path.name for path in out.iterdir()}
    plots = {f"{plot}.{suffix}" for plot in ("spread", "sdr_against_cost") for suffix in ("png", "svg")}
    assert names == {"scores.json", "scores.md"} | plots
    assert "### Music at -10 dB: dialogue" in tables and "### Demo programme" in tables
    assert "### Full band\n\nScored at 32 kHz" in tables
    for row in ("| mixture | -10.00 [-10.0, -10.0] | ", "| wide | trained | 32 kHz | 12 345 | 1.50 | 1 000 |"):
        assert row in tables
    assert "| ideal ratio mask |" in tables and "| narrow | -" in tables
    text = readme.read_text()
    assert text.startswith("# Models\n\n" + BEGIN) and text.endswith(END + "\n\nEnd.\n") and "old" not in text
    assert tables.strip() in text
    results = read(out / "scores.json")
    assert results.configuration["num_clips"] == 3 and "--clip-s 2" in results.command and results.commit
    num_estimators = len(results.estimators)
    assert len(results.scores) == 3 * 2 * 2 * num_estimators

    main(["--from", str(out / "scores.json"), "--out", str(again), "--figures", str(again)])
    for name in names:
        assert (again / name).read_bytes() == (out / name).read_bytes(), name


def test_systems_scored_one_after_the_other_stand_in_one_table(
    corpus: Path, checkpoints: list[Path], tmp_path: Path
) -> None:
    def score(out: str, *arguments: object) -> None:
        main([str(argument) for argument in ("--corpus", corpus, "--clips", 2, "--clip-s", 1, *arguments, "--out", tmp_path / out)])

    def rows(out: str) -> list:
        scores = read(tmp_path / out / "scores.json").scores
        return sorted(scores, key=lambda row: (row.estimator, row.clip_idx, row.level_db, row.stem))

    score("both", "--checkpoint", *checkpoints)
    score("first", "--checkpoint", checkpoints[0])
    score("second", "--checkpoint", checkpoints[1], "--beside", tmp_path / "first" / "scores.json")
    assert rows("second") == rows("both")
    assert failure("--corpus", corpus, "--clips", 3, "--clip-s", 1, "--beside", tmp_path / "first" / "scores.json").endswith(
        "is not of the same clips; give the same corpus, --clips, --clip-s and --seed"
    )


def test_processes_do_not_change_the_scores(corpus: Path, tmp_path: Path) -> None:
    for jobs in ("1", "2"):
        main(["--corpus", str(corpus), "--clips", "2", "--clip-s", "1", "--jobs", jobs, "--out", str(tmp_path / jobs)])
    one, two = (read(tmp_path / jobs / "scores.json") for jobs in ("1", "2"))
    assert one.scores == two.scores and one.leaks == two.leaks


def test_an_exported_file_is_timed(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--model", str(ROOT / "../weights/identity.pt")])
    assert "RTF on one thread: 0.0" in capsys.readouterr().out


def test_where_the_time_of_a_call_goes_is_told_by_kinds_of_operations(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(calls, "NUM_CALLS", 5)
    monkeypatch.setattr(calls, "CLIP_FRAMES", 64)
    calls.main([str(ROOT / "../weights/live-1.pt")])
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in capsys.readouterr().out.splitlines()[2:]]
    kinds = {row[0]: row for row in rows}
    assert {"recurrent layers", "matrix products", "all"} <= kinds.keys()
    shares = [int(row[1].rstrip("%")) for row in rows if row[1]]
    assert abs(sum(shares) - 100) < len(shares) and kinds["recurrent layers"][2] != "0"
    assert calls.kind_of("aten::mkldnn_rnn_layer") == "recurrent layers" and calls.kind_of("aten::view") == calls.VIEWS


def test_silent_clips_are_counted(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = ClipList.clip

    def clip(self: ClipList, idx: int) -> Clip:
        if idx == 1:
            raise SilentReference
        return whole(self, idx)

    monkeypatch.setattr(ClipList, "clip", clip)
    main(["--corpus", str(corpus), "--clips", "2", "--clip-s", "1", "--out", str(tmp_path)])
    assert "Clips without scores: 1\n\n- clip 1: the reference is silent" in (tmp_path / "scores.md").read_text()
    monkeypatch.setattr(ClipList, "clip", lambda *_: (_ for _ in ()).throw(SilentReference))
    assert "none of the 2 clips could be scored" in failure("--corpus", corpus, "--clips", 2, "--clip-s", 1)


def test_a_network_that_heard_what_is_scored_is_refused_and_one_that_does_not_say_is_marked(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = rows(corpus, "test", "music")[0].name

    def heard(names: frozenset[str] | None) -> None:
        loaded = StandInLoaded(Half(SCORE_RATE_HZ, 0.5), "half", heard=names)
        monkeypatch.setattr(estimators_module, "load_network", lambda path: loaded)

    heard(frozenset({name, "another"}))
    scored = ("--corpus", corpus, "--checkpoint", tmp_path / "half.pt", "--clips", 1, "--clip-s", 1)
    message = failure(*scored)
    assert "trained on 1 recordings of this test split" in message and name in message
    heard(None)
    main([str(argument) for argument in scored])
    assert "what half heard in training is not recorded" in capsys.readouterr().out
    heard(frozenset({"another"}))
    main([str(argument) for argument in scored])
    assert "none heard in training" in capsys.readouterr().out
    heard(frozenset({row.name for row in rows(corpus, "valid", "music")}))
    main([*(str(argument) for argument in scored), "--split", "valid"])
    assert "of the validation split" in capsys.readouterr().out


def test_an_error_is_found_where_it_lies() -> None:
    music = signal(1, 4.0)
    time_s = np.arange(music.size) / CLIP_RATE_HZ
    amplitude = np.sqrt(2 * np.mean(music**2))
    thump = amplitude * np.sin(2 * np.pi * LOW_HZ / 2 * time_s)
    start = np.where(time_s < BEGINNING_S, amplitude * np.sin(2 * np.pi * 1000 * time_s), 0)
    low, early = (where(music, music + 0.1 * error, CLIP_RATE_HZ) for error in (thump, start))
    print(low, early)
    assert low.sdr_db == pytest.approx(20, abs=0.01) and low.above_low_db > 60
    assert low.after_beginning_db == pytest.approx(20 - 10 * np.log10(3 / 4), abs=0.01)
    assert early.after_beginning_db > 100 and early.above_low_db == pytest.approx(early.sdr_db, abs=0.1)
    assert where(music, music, CLIP_RATE_HZ) == Where(120.0, 120.0, 120.0)


def test_where_the_error_lies_is_a_table_per_level(
    corpus: Path, checkpoints: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--checkpoint", str(checkpoints[1]), "--corpus", str(corpus), "--clips", "2", "--clip-s", "2"]
    assert where_main(asked) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("mean") for line in lines) == 2 and "music at -10 dB" in "".join(lines)
    assert where_main([*asked[:3], str(corpus / "nowhere"), *asked[4:]]) == 1
    assert capsys.readouterr().err.startswith("error: ")


def test_variants_of_a_piece_are_one_piece() -> None:
    shelf = StandInShelf([3.0, 3.0])
    shelf.recordings = [replace(recording, piece="tune") for recording in shelf.recordings]
    clips = ClipList(StandInShelf([3.0]), shelf, 2, 0, clip_s=2.0)
    assert {clips.clip(idx).piece for idx in range(2)} == {"tune"}


def test_bad_input_is_answered_in_a_sentence(corpus: Path, tmp_path: Path) -> None:
    short = ("--clips", 1, "--clip-s", 1)
    assert "holds no speech" in failure("--corpus", tmp_path, *short)
    assert "a smaller --clip-s" in failure("--corpus", corpus, "--clips", 1, "--clip-s", 30)
    damaged = tmp_path / "latest.pt"
    damaged.write_bytes(b"no checkpoint")
    assert "latest.pt: cannot be read as a checkpoint" in failure("--corpus", corpus, "--checkpoint", damaged, *short)
    assert "missing.pt" in failure("--corpus", corpus, "--checkpoint", tmp_path / "missing.pt", *short)
    assert "music.flac: cannot be read" in failure("--programme", tmp_path)
    assert "cannot be read as a model file" in failure("--model", damaged)
    for command in (batched.main, calls.main, lambda asked: packer.main(["--time", *asked])):
        with pytest.raises(SystemExit, match="latest.pt: cannot be read as a model file"):
            command([str(damaged)])
    with pytest.raises(SystemExit):
        batched.main([str(damaged), "--streams", "0"])
    for text in ("{", "[]", json.dumps({"format": 1}), json.dumps({"format": 99})):
        (tmp_path / "scores.json").write_text(text)
        assert "scores.json: is " in failure("--from", tmp_path / "scores.json")


def test_places_that_cannot_be_written_are_found_first(corpus: Path, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    for text in ("no markers", f"{END}\n{BEGIN}", f"{BEGIN}\n{BEGIN}\n{END}"):
        readme.write_text(text)
        assert "which must be there once each" in failure("--corpus", corpus, "--readme", readme)
        assert readme.read_text() == text
    assert "README.md: cannot be written" in failure("--corpus", corpus, "--out", readme)


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text("before")
    num_written = []

    def full(_: int) -> None:
        num_written.append(1)
        if len(num_written) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(EvaluateError, match="new: cannot be written .No space left on device"):
        write_all({old: b"after", new: b"new"})
    assert [path.name for path in tmp_path.iterdir()] == ["old"] and old.read_text() == "before"


def test_numbers_are_written_without_negative_zero() -> None:
    assert (decibels(-0.001), decibels(None), decibels(99.0), decibels(-60.0), decibels(-3.456)) == (
        "0.00", "-", "> 60", "< -60", "-3.46",
    )


def test_streams_at_once_are_timed_and_a_card_that_is_not_there_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    batched.main([str(ROOT / "../weights/live-1.pt"), str(ROOT / "../weights/query-8.pt"), "--streams", "1", "3"])
    told = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in told.splitlines() if line.startswith("| 1 ") or line.startswith("| 3 ")]
    assert [row[0] for row in rows] == ["1", "3", "1", "3"] and all(float(row[2]) > 0 for row in rows)
    assert "a call is of 16 ms" in told and "a call is of 128 ms" in told and "744 frames of one stream in one pass" in told
    if not torch.cuda.is_available():
        with pytest.raises(SystemExit, match="torch finds no CUDA card here"):
            batched.main([str(ROOT / "../weights/live-1.pt"), "--device", "cuda"])
