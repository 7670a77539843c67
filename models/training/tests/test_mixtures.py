"""Training mixtures: seeded, finite, and each kind of change what it says."""

import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import sound

from underscore_training.corpus import store
from underscore_training.corpus.track import Track
from underscore_training.mixtures import augment
from underscore_training.mixtures.batches import MixtureBatches
from underscore_training.mixtures.recipes import RECIPES
from underscore_training.mixtures.shelf import Shelf

RATE_HZ = 32_000


def noise(seed: int, num_samples: int = RATE_HZ) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(num_samples).astype(np.float32)


def band_db(signal: np.ndarray, low_hz: float, high_hz: float) -> float:
    """Energy of a band relative to the whole."""
    power = np.abs(np.fft.rfft(signal)) ** 2
    hz = np.fft.rfftfreq(signal.size, 1 / RATE_HZ)
    return 10 * np.log10(power[(hz >= low_hz) & (hz < high_hz)].sum() / power.sum() + 1e-20)


@pytest.fixture(scope="module")
def stems_and_score(tmp_path_factory: pytest.TempPathFactory, tiny_stems: Path) -> Path:
    """Every class, and a score of which three parts play together."""
    folder = tmp_path_factory.mktemp("with a score") / "corpus"
    shutil.copytree(tiny_stems / "tracks" / "train", folder / "tracks" / "train")
    for idx, kind in enumerate(("bass", "drums", "strings")):
        make = partial(sound, kind, 30 + idx)
        store.write_track(folder, Track(f"score/0/{kind}", "synthetic", kind, "train", "CC0-1.0", 1.0, "1", make, "stems/score"), make())
    return folder


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("rate_hz", [16_000, 32_000])
def test_a_batch_depends_on_its_number_alone(stems_and_score: Path, recipe: str, rate_hz: int) -> None:
    at_once = RECIPES[recipe].num_pairs
    batch = 3 * at_once

    def batches() -> MixtureBatches:
        return MixtureBatches(stems_and_score, "train", recipe, rate_hz, 1.0, batch, 5, 12)

    shares = [
        MixtureBatches(stems_and_score, "train", recipe, rate_hz, 1.0, batch, 5, 12, share=(place, 2))[11] for place in range(2)
    ]
    in_order = [batches()[idx] for idx in range(12)]
    alone = batches()[11]
    assert all((a == b).all() for a, b in zip(in_order[11], alone))
    for whole, *parts in zip(alone, *shares):
        first, second, third = whole.split(at_once)
        assert (torch.cat([first, third]) == parts[0]).all() and (second == parts[1]).all()
    for music, mixture, *queries in in_order:
        assert music.shape == mixture.shape == (batch, rate_hz)
        assert all(given.isfinite().all() and len(given) == batch for given in queries)
        assert mixture.isfinite().all() and music.isfinite().all() and mixture.abs().max() <= 1.0
    assert not (in_order[0][1] == in_order[1][1]).all()


def test_the_deployed_recipe_has_clips_of_one_source_alone(tiny_corpus: Path) -> None:
    batches = MixtureBatches(tiny_corpus, "train", "deployed", 16_000, 1.0, 8, 5, 40)
    music_only = speech_only = 0
    for idx in range(40):
        for music, mixture in zip(*batches[idx]):
            music_only += bool((music - mixture).abs().max() < 1e-6)
            speech_only += bool(music.abs().max() < 1e-6)
    print(f"of 320: {music_only} music only, {speech_only} speech only")
    # Half of the clips are never of one source; of the others 10 and 8 % are: 16 and 13, and a few that are soft or pause.
    assert 6 < music_only < 35 and 6 < speech_only < 35


def test_a_shelf_holds_one_split_only(tiny_corpus: Path) -> None:
    shelf = Shelf(tiny_corpus, "valid", "speech", 16_000)
    assert [recording.name for recording in shelf.recordings] == ["valid/speech0", "valid/speech1"]
    drawn = shelf.draw(np.random.default_rng(0), 8_000)
    assert drawn.samples.shape == (8_000,) and np.sqrt(np.mean(drawn.samples**2)) == pytest.approx(1, abs=1e-3)


def test_a_recording_shorter_than_the_clip_is_laid_into_silence(tiny_corpus: Path) -> None:
    shelf = Shelf(tiny_corpus, "valid", "music", 16_000)
    drawn = shelf.stretch(shelf.recordings[0], np.random.default_rng(0), 20 * 16_000)
    assert drawn.samples.size == 20 * 16_000 and np.mean(drawn.samples == 0) > 0.5


def test_stretching_moves_pitch() -> None:
    time_s = np.arange(RATE_HZ) / RATE_HZ
    faster = augment.stretched(np.sin(2 * np.pi * 1000 * time_s), RATE_HZ * 4 // 5)
    assert band_db(faster, 1240, 1260) > -0.1
    assert np.abs(faster).max() == pytest.approx(1, abs=0.01)


def test_extension_fills_the_treble_and_leaves_the_rest() -> None:
    narrow = augment.band_limited(noise(1), RATE_HZ, 0, 7500)
    wide = augment.extended_upward(narrow, RATE_HZ, np.random.default_rng(2))
    assert band_db(narrow, 8500, 16_000) < -60
    assert -40 < band_db(wide, 8500, 16_000) < -3
    spectra = [np.fft.rfft(signal)[: 7000] for signal in (narrow, wide)]
    assert np.allclose(*spectra, atol=1e-2)


def test_telephone_keeps_300_to_3400_hz() -> None:
    called = augment.telephone(noise(3), RATE_HZ)
    assert band_db(called, 300, 3400) > -1


@pytest.mark.parametrize("rate_hz", [16_000, 32_000])
def test_a_close_microphone_adds_what_lies_below_a_voice(rate_hz: int) -> None:
    syllables = noise(7, 4 * rate_hz) * (np.arange(4 * rate_hz) % (rate_hz // 2) < rate_hz // 4)
    hz = np.fft.rfftfreq(syllables.size, 1 / rate_hz)
    for seed in range(20):
        added = augment.close_to_the_microphone(syllables, rate_hz, np.random.default_rng(seed)) - syllables
        power = np.abs(np.fft.rfft(added)) ** 2
        assert power[hz < 200].sum() > 0.98 * power.sum()


def test_pops_come_with_syllables() -> None:
    """The air of a plosive is up to 60 ms ahead of the voice, never far from it."""
    voice = np.zeros(4 * RATE_HZ, np.float32)
    voice[2 * RATE_HZ :] = noise(8, 2 * RATE_HZ)
    popped = [augment.pops(voice, RATE_HZ, np.random.default_rng(seed)) for seed in range(20)]
    assert all(np.abs(pop[: int(1.9 * RATE_HZ)]).max() == 0 for pop in popped)
    assert sum(np.abs(pop).max() > 0.05 for pop in popped) >= 5
    assert np.abs(augment.pops(np.zeros(RATE_HZ, np.float32), RATE_HZ, np.random.default_rng(9))).max() == 0


def test_rumble_has_unit_rms() -> None:
    for seed in range(5):
        rumble = augment.rumble(4 * RATE_HZ, RATE_HZ, np.random.default_rng(seed))
        assert np.sqrt(np.mean(rumble**2)) == pytest.approx(1, abs=1e-3)


def test_gains_are_gains() -> None:
    rng = np.random.default_rng(4)
    signal = noise(5) * np.repeat([0.1, 1.0], RATE_HZ // 2).astype(np.float32)
    for gain in (augment.compression_gain(signal, RATE_HZ, rng), augment.ducking_gain(signal, RATE_HZ, rng)):
        assert gain.shape == signal.shape and (gain > 0).all() and gain.max() <= 1.0 + 1e-6
    parts = [augment.present_in_part(RATE_HZ, RATE_HZ, rng) for _ in range(20)]
    assert all(part.min() >= 0 and part.max() <= 1 for part in parts) and min(part.mean() for part in parts) < 0.5


@pytest.mark.parametrize("seed", range(6))
def test_coding_keeps_the_place(seed: int) -> None:
    """A codec's delay is taken out, to a sample or two: the end of the clip is not lost."""
    signal = augment.band_limited(noise(seed, 2 * RATE_HZ), RATE_HZ, 0, 3000)
    coded = augment.coded(signal, RATE_HZ, np.random.default_rng(seed))
    size = 4 * RATE_HZ
    correlation = np.fft.irfft(np.fft.rfft(coded, size) * np.fft.rfft(signal, size).conj(), size)
    lag_samples = (int(np.argmax(correlation)) + size // 2) % size - size // 2
    assert abs(lag_samples) <= 2


def test_a_room_adds_and_keeps_the_direct_sound_in_place() -> None:
    click = np.zeros(RATE_HZ, np.float32)
    click[1000] = 1
    heard = augment.in_room(click, RATE_HZ, np.random.default_rng(6))
    assert int(np.argmax(np.abs(heard))) == 1000 and np.abs(heard[1000 + 3 * 32 :]).max() > 0
