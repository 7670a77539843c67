"""A network that is asked: the same in calls as at once, level-free queries, and an export that knows its embedding."""

import copy
import io
import math
import random
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import mido
import numpy as np
import pytest
import torch
from conftest import LOOK_AHEAD_FRAMES, SMALL, magnitude, small_asked, sound
from torch import Tensor

from underscore_training.corpus import store
from underscore_training.corpus.errors import CorpusError
from underscore_training.corpus.scores import composed_song
from underscore_training.corpus.stems import (
    CLASSES, DRUM_KITS, DRUM_PIECES, FINE, PROGRAMS, SINGING, UNHEARD, ambience, arranged, fine_label,
)
from underscore_training.corpus.track import TRACK_RATE_HZ, Track
from underscore_training.evaluate import estimators
from underscore_training.evaluate.errors import EvaluateError
from underscore_training.evaluate.timing import real_time_factor
from underscore_training.export import contract, file, packer
from underscore_training.export.contract import ExportError
from underscore_training.export.space import Space
from underscore_training.mixtures import asked as recipe
from underscore_training.mixtures import examples
from underscore_training.mixtures.batches import MixtureBatches
from underscore_training.mixtures.recipe import Context
from underscore_training.mixtures.shelf import Recording, Shelf
from underscore_training.nets.asked import NUM_KINDS, AskedCRN, RunningNorm, WindowNorm
from underscore_training.nets.axes import BentAxis
from underscore_training.nets.growth import DoesNotGrow, grown
from underscore_training.nets.query import QUERY_FRAMES
from underscore_training.nets.sphere import between
from underscore_training.nets.streaming import StreamingAskedCRN, streaming
from underscore_training.train import checkpoint, config, losses, together
from underscore_training.train.class_means import ClassMeans
from underscore_training.train.halfway import Questions, some_halfway
from underscore_training.train.losses import Outcome
from underscore_training.train.mean import mean
from underscore_training.train.run import Run


@pytest.fixture(scope="module")
def net() -> AskedCRN:
    return small_asked()


def test_in_one_window_the_statistics_of_the_whole_clip_hold_from_its_first_frame_on(net: AskedCRN) -> None:
    x = torch.randn(2, 50, 40, 3) * torch.tensor([2.0, 0.5, 1.0]) + 1
    state = torch.zeros(2, 6, 2)
    mean, deviation, after = WindowNorm(RunningNorm(3, 0.016))(x, state)
    assert after is state
    torch.testing.assert_close(mean, x.mean(dim=(1, 2), keepdim=True))
    torch.testing.assert_close(deviation, x.std(dim=(1, 2), keepdim=True, correction=0), atol=1e-4, rtol=1e-4)
    window, embedding = net.in_one_window(), torch.randn(1, 32)
    torch.manual_seed(5)
    quiet_then_loud = torch.rand(1, 60, net.grid.num_bins) * torch.linspace(0.01, 1, 60)[:, None]
    cut = quiet_then_loud[:, :30]
    with torch.no_grad():
        assert torch.allclose(net.logits(quiet_then_loud, embedding)[:, :20], net.logits(cut, embedding)[:, :20], atol=1e-4), "a stream knows no end"
        assert not torch.allclose(window.logits(quiet_then_loud, embedding)[:, :20], window.logits(cut, embedding)[:, :20], atol=1e-2)
    assert all(isinstance(told.statistics, RunningNorm) for told in net.told_up), "the network itself is as it was"


@pytest.mark.parametrize("frames_per_call", [1, LOOK_AHEAD_FRAMES, 4])
def test_calls_equal_the_whole_clip_whatever_is_asked_for(net: AskedCRN, frames_per_call: int) -> None:
    given, asked = magnitude(60, 2), torch.randn(2, net.embedding_size)
    state, parts = net.zero_state(2, given), []
    flushed = torch.nn.functional.pad(given, (0, 0, 0, LOOK_AHEAD_FRAMES))
    with torch.no_grad():
        for call in flushed.split(frames_per_call, dim=1):
            logits, state = net(call, state, asked)
            parts.append(logits)
        whole = net.logits(given, asked)
        other = net.logits(given, -asked)
    called = torch.cat(parts, dim=1)[:, LOOK_AHEAD_FRAMES:]
    assert (torch.sigmoid(called) - torch.sigmoid(whole)).abs().max() < contract.TOLERANCE
    assert (torch.sigmoid(other) - torch.sigmoid(whole)).abs().max() > 0.05, "what is asked for changes what is found"
    assert [list(tensor.shape[1:]) for tensor in state] == [shape[1:] for shape in net.state_shapes()]


def test_statistics_are_exact_from_the_first_frame_on() -> None:
    norm, x = RunningNorm(3, 0.016), torch.randn(2, 5, 40, 3) * 2 + 1
    means, deviations, _ = norm(x, torch.zeros(2, 6, 2))
    first = x[:, :1]
    mean, power = first.mean(dim=2, keepdim=True), first.square().mean(dim=2, keepdim=True)
    assert torch.allclose(means[:, :1], mean, atol=1e-5)
    assert torch.allclose(deviations[:, :1], (power - mean.square() + norm.floor).sqrt(), atol=1e-4)


def test_how_loud_an_example_is_plays_no_part(net: AskedCRN) -> None:
    example = magnitude(QUERY_FRAMES)
    with torch.no_grad():
        mean, log_var = net.query(example)
        quiet, _ = net.query(0.1 * example)
        silent, _ = net.query(torch.zeros_like(example))
    assert mean.shape == log_var.shape == (1, net.embedding_size)
    assert (mean - quiet).abs().max() < 1e-2 and torch.isfinite(silent).all()


def test_an_exported_file_asks_as_the_network_does(net: AskedCRN, tmp_path: Path) -> None:
    model = streaming(net)
    assert isinstance(model, StreamingAskedCRN)
    space = Space.of({name: torch.randn(32) for name in ("drums", "voice", "bass")})
    meta = contract.metadata(model, "ask-test", "Test", "1.0.0", "CC0-1.0", "none", space=space)
    assert (meta["embedding_size"], meta["query_frames"], meta["stems"]) == (32, QUERY_FRAMES, ["target", "residual"])
    path = tmp_path / "ask-test.pt"
    assert file.write(model, meta, path, tmp_path / "manifest.toml", net) < contract.TOLERANCE
    script, _, vector = contract.load(path)
    (table,) = tomllib.loads((tmp_path / "manifest.toml").read_text())["model"]
    assert [preset["id"] for preset in table["preset"]] == ["drums", "voice", "bass"] and table["map"] == meta["map"]
    assert np.allclose(np.frombuffer(vector, "<f4")[:32], np.sin(np.arange(1, 33)), atol=1e-6), "the embedding comes first"
    spectrum = contract.test_spectrum(BentAxis.grid, QUERY_FRAMES)
    with torch.no_grad():
        assert torch.allclose(script.encode(spectrum)[0], net.query(torch.view_as_complex(spectrum).abs())[0], atol=1e-5)
    flattened = script.flatten_recurrent_weights.graph.findAllNodes("aten::_cudnn_rnn_flatten_weight")
    assert len(flattened) == 2 * len(net.core) + 1, "of the core, and of what listens"


def test_a_file_s_space_may_be_kept_for_a_network_that_listens_as_it_does(net: AskedCRN, tmp_path: Path) -> None:
    space = Space.of({name: torch.randn(32) for name in ("drums", "voice", "bass")})
    meta = contract.metadata(streaming(net), "ask-test", "Test", "1.0.0", "CC0-1.0", "none", space=space)
    path = tmp_path / "ask-test.pt"
    file.write(streaming(net), meta, path, tmp_path / "manifest.toml", net)
    assert Space.of_metadata(contract.load(path)[1]).as_dict() == space.as_dict()
    other = copy.deepcopy(net)
    other.query.mean.bias.data += 0.01
    assert file.listens_alike(path, net) and not file.listens_alike(path, other)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [("query", "`encode` and the network's query differ"), ("preset", "preset 'bass': calls and whole clip differ"), ("one channel", "one channel: calls and")],
)
def test_a_file_that_differs_anywhere_from_the_network_is_not_written(
    net: AskedCRN, changed: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, space = streaming(net), Space.of({name: torch.randn(32) for name in ("drums", "voice", "bass")})
    meta = contract.metadata(model, "ask-test", "Test", "1.0.0", "CC0-1.0", "none", space=space)
    other = copy.deepcopy(net)
    bass = torch.tensor(meta["presets"][2]["embedding"])

    def logits(magnitude: Tensor, embedding: Tensor) -> Tensor:
        is_off = magnitude.shape[0] == 1 if changed == "one channel" else torch.equal(embedding[0], bass)
        return net.logits(magnitude, embedding) + float(is_off)

    if changed == "query":
        other.query.mean.bias.data += 0.01
    else:
        monkeypatch.setattr(other, "logits", logits)
    with pytest.raises(ExportError, match=reason):
        file.write(model, meta, tmp_path / "ask-test.pt", tmp_path / "manifest.toml", other)
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_asked_can_be_timed(net: AskedCRN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = streaming(net)
    meta = contract.metadata(model, "ask-test", "Test", "1.0.0", "CC0-1.0", "none")
    file.write(model, meta, tmp_path / "ask-test.pt", tmp_path / "manifest.toml", None)
    assert real_time_factor(tmp_path / "ask-test.pt", num_calls=12) > 0
    monkeypatch.setattr(packer, "NUM_CALLS", 20)
    assert min(packer.call_ms(tmp_path / "ask-test.pt")) > 0


def test_a_network_that_is_asked_is_not_scored_as_one_of_music(net: AskedCRN, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimators, "load_network", lambda _: SimpleNamespace(net=net, name="ask"))
    with pytest.raises(EvaluateError, match="ask.pt: expected a network that takes music and speech apart, got one that is asked.*evaluate.asked"):
        estimators.Trained(Path("ask.pt"))


def test_a_space_is_drawn_so_that_its_presets_fill_the_map() -> None:
    points = torch.zeros(3, 32)
    points[:, 5], points[:, 9], points[:, 20] = torch.tensor([4.0, -4.0, 0.0]), torch.tensor([0.0, 0.0, 3.0]), 1.0
    space = Space.of(dict(zip("abc", points)))
    places = (points - space.origin) @ space.axes.T
    assert torch.allclose(places.abs().amax(dim=0), torch.full((2,), 0.95), atol=1e-4)
    assert (places[0] > -1e-5).all(), "the first lies to the right and up"
    assert torch.allclose(places[0, 0], -places[1, 0], atol=1e-4) and places[2, 0].abs() < 1e-4


def test_a_mixture_asks_for_what_is_in_it_and_never_for_what_is_kept_for_the_test(tiny_stems: Path) -> None:
    assert not set(UNHEARD) & set(recipe.KINDS) and set(UNHEARD) < set(CLASSES)
    batches = MixtureBatches(tiny_stems, "train", "asked_or_absent", 16_000, 1.0, 8, 3, 8)
    absent = 0
    for target, mixture, query, kind in (batches[idx] for idx in range(8)):
        assert query.shape == (8, recipe.query_samples(16_000))
        assert kind.shape == (8,) and -1 <= kind.min() and kind.max() < len(recipe.KINDS) == NUM_KINDS
        assert torch.allclose(query.square().mean(dim=1).sqrt(), torch.ones(8), atol=1e-3)
        absent += int((target.abs().amax(dim=1) == 0).sum())
        assert (mixture.abs().amax(dim=1) > 0).all()
    print(f"{absent} of 64 targets are not there")
    assert 1 <= absent <= 14


def test_at_times_what_is_asked_for_is_all_there_is(tiny_stems: Path) -> None:
    def num_alone(recipe_name: str) -> int:
        batches = MixtureBatches(tiny_stems, "train", recipe_name, 16_000, 1.0, 8, 3, 8)
        return sum(int((target == mixture).all(dim=1).sum()) for target, mixture, _, _ in (batches[idx] for idx in range(8)))

    alone = num_alone("asked_and_often_alone")
    print(f"{alone} of 64 targets are alone")
    assert num_alone("asked_and_often_absent") == 0 and 1 <= alone <= 14


def test_what_is_alike_is_asked_for_together_and_three_in_ten_mixtures_are_sung(tiny_stems: Path) -> None:
    def shares(alike_share: float, sung_share: float) -> tuple[float, float]:
        rng = np.random.default_rng(3)
        pairs = [set(recipe.drawn_kinds(rng, 0.0, 0.0, alike_share, sung_share)[: recipe.NUM_ASKS]) for _ in range(2000)]
        return tuple(float(np.mean(found)) for found in ([pair <= {*recipe.SUSTAINED} for pair in pairs], [SINGING in pair for pair in pairs]))

    plain, alike, sung = shares(0.0, 0.0), shares(recipe.ALIKE_SHARE, 0.0), shares(0.0, recipe.SUNG_SHARE)
    print(f"both sustained, and one sung: {plain}, {alike}, {sung}")
    assert abs(plain[0] - 0.2) < 0.03 and abs(alike[0] - (0.3 + 0.7 * plain[0])) < 0.03 and plain[1] == alike[1] == 0
    assert abs(sung[1] - 0.3) < 0.03
    batches = MixtureBatches(tiny_stems, "train", "asked_and_sung", 16_000, 1.0, 8, 3, 8)
    assert any((batches[idx][3] == recipe.ASKED_FOR.index(SINGING)).any() for idx in range(8))


@pytest.fixture(scope="module")
def scores_in_parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six scores of bursts, whose parts all have the rhythm of their score; strings play in one of them alone."""
    folder = tmp_path_factory.mktemp("scores") / "corpus"
    time_s = np.arange(8 * TRACK_RATE_HZ) / TRACK_RATE_HZ
    for number in range(6):
        beats_s = np.sort(np.random.default_rng(number).uniform(0, 8, 24))
        rhythm = sum(np.exp(-np.maximum(time_s - beat_s, 0) / 0.05) * (time_s >= beat_s) for beat_s in beats_s)
        for place, kind in enumerate(("bass", "drums", "strings" if number == 0 else "piano")):
            part = (0.1 * rhythm * np.sin(2 * np.pi * (300 + 400 * place) * time_s)).astype(np.float32)
            track = Track(f"score{number}/0/{kind}", "synthetic", kind, "train", "CC0-1.0", 1.0, "1", lambda: part, f"stems/score{number}")
            store.write_track(folder, track, part)
    for kind in (recipe.VOICE, "organ"):
        store.write_track(folder, Track(f"{kind}0", "synthetic", kind, "train", "CC0-1.0", 1.0, "1", lambda: sound(kind, 0)), sound(kind, 0))
    return folder


@pytest.mark.parametrize("is_even", [False, True])
def test_parts_of_a_song_play_together_and_rare_classes_are_asked_for_as_often_as_others(
    scores_in_parts: Path, monkeypatch: pytest.MonkeyPatch, is_even: bool
) -> None:
    # Rooms and equalisers would blur the rhythm.
    monkeypatch.setattr(recipe, "_coloured", lambda signal, *_: signal)
    shelves = {kind: Shelf(scores_in_parts, "train", kind, 16_000) for kind in (recipe.VOICE, "bass", "drums", "strings", "piano", "organ")}
    context, rng = Context(shelves, 32_000, 16_000), np.random.default_rng(5)

    def rhythm(signal: np.ndarray) -> np.ndarray:
        loudness = np.abs(signal).reshape(-1, 160).mean(axis=1)
        return loudness - loudness.mean()

    asked_for, likenesses, num_voices = [], [], 0
    for _ in range(100):
        sounds = recipe._of_song(context, rng, 1.0, 0.0, is_even)
        asked_for += [sound.kind for sound in sounds[: recipe.NUM_ASKS]]
        parts = [sound for sound in sounds if sound.kind != recipe.VOICE]
        num_voices += len(sounds) - len(parts)
        assert len({sound.piece for sound in parts}) == 1 and len({sound.kind for sound in sounds}) == len(sounds) >= 2
        rhythms = [rhythm(sound.samples) for sound in parts]
        likenesses += [float(np.corrcoef(rhythms[0], other)[0, 1]) for other in rhythms[1:]]
    shares = {kind: asked_for.count(kind) / len(asked_for) for kind in sorted(set(asked_for))}
    # Bass and drums play in all scores: drawn evenly, the second is one of them no more often than elsewhere.
    most = shares["bass"] + shares["drums"]
    print(f"likeness of rhythms within a song: {min(likenesses):.3f} at least; asked for: {shares}; a voice over {num_voices} of 100")
    assert min(likenesses) > 0.95
    assert shares["strings"] > 0.5 * shares["piano"] and "organ" not in shares, "what plays in no score is no part of one"
    assert 45 <= num_voices <= 75
    assert most < 0.55 if is_even else most > 0.55


def test_another_stretch_of_a_recording_shares_nothing_with_the_first() -> None:
    shelf = Shelf.__new__(Shelf)
    noise = np.random.default_rng(1).integers(-9000, 9000, 1000).astype(np.int16)
    recording, rng = Recording("noise", "noise", "synthetic", True, noise), np.random.default_rng(2)
    for _ in range(200):
        first = shelf.stretch(recording, rng, 300)
        assert np.allclose(first.samples * np.linalg.norm(noise[first.start :][:300] / 1.0), noise[first.start :][:300] * np.sqrt(300), rtol=1e-3)
        other = shelf.stretch(recording, rng, 200, first)
        assert other.start + 200 <= first.start or first.start + 300 <= other.start
    with pytest.raises(CorpusError, match="silent or overlap"):
        shelf.stretch(recording, rng, 600, shelf.stretch(recording, rng, 600))


def test_a_corpus_without_scores_in_parts_makes_no_songs(tiny_stems: Path) -> None:
    batches = MixtureBatches(tiny_stems, "train", "asked_of_songs", 16_000, 1.0, 8, 3, 8)
    with pytest.raises(CorpusError, match="corpus --stems"):
        for idx in range(8):
            batches[idx]


def test_a_run_learns_from_what_it_is_asked_and_says_when_nobody_asks(tiny_stems: Path) -> None:
    values = {"system": {"name": "asked", "options": SMALL}, "optimiser": {"steps": 4}, "loss": "asked", "precision": "float32"}
    run = Run(config.from_dict({**values, "data": {"recipe": "asked", "batch": 2}}, "test"))
    batch = MixtureBatches(tiny_stems, "train", "asked", run.sample_rate_hz, 2.0, 2, 3, 1)[0]
    before = {name: weight.clone() for name, weight in run.net.state_dict().items()}
    assert np.isfinite(run.step(*batch))
    changed = [name for name, weight in run.net.state_dict().items() if not torch.equal(weight, before[name])]
    assert any(name.startswith("query.") for name in changed) and any(name.startswith("told_up.") for name in changed)
    assert np.isfinite(run.validate([batch])["valid"])
    with pytest.raises(config.ConfigError, match='recipe = "asked"'):
        run.step(*batch[:2])


def test_a_score_comes_apart_by_class_and_each_part_plays_alone() -> None:
    parts = arranged(composed_song("7/songs/1001"), random.Random(1))
    assert len(parts) >= 5 and set(parts) <= {*CLASSES, *DRUM_PIECES}
    assert all(part.midi.startswith(b"MThd") for part in parts.values())
    for piece, notes in DRUM_PIECES.items():
        hit = [message.note for message in mido.MidiFile(file=io.BytesIO(parts[piece].midi)) if message.type == "note_on"]
        assert len(hit) >= 12 and set(hit) <= set(notes), "of a drum kit also the pieces"
    noise = ambience("7/x")
    assert np.isfinite(noise).all() and 0.05 < noise.std() < 0.2


def test_a_part_has_the_fine_label_of_all_that_plays_in_it_or_none() -> None:
    for kind, labels in FINE.items():
        programs = [program for those in labels.values() for program in those]
        assert sorted(programs) == sorted(PROGRAMS.get(kind, DRUM_KITS)), kind
    assert fine_label("strings", [45, 46]) == "plucked strings" and fine_label("strings", [45, 40]) == ""
    assert fine_label("drums", [25]) == "electronic drums" and fine_label("drums", [25, -1]) == "", "a kit that is not named"
    assert fine_label("lead", [80]) == "", "a class without finer labels"
    parts = arranged(composed_song("7/songs/1001"), random.Random(1))
    assert parts["drums"].fine in FINE["drums"] and all(parts[piece].fine == "" for piece in DRUM_PIECES)
    for kind, part in parts.items():
        played = {message.program for message in mido.MidiFile(file=io.BytesIO(part.midi)) if message.type == "program_change"}
        assert part.fine == (fine_label(kind, played) if kind in FINE else "")


def test_between_two_points_lies_the_sphere() -> None:
    a, b = torch.tensor([2.0, 0.0]), torch.tensor([0.0, 1.0])
    assert torch.allclose(between(a, b, 0.0), a) and torch.allclose(between(a, b, 1.0), b, atol=1e-6)
    assert torch.allclose(between(a, b, 0.5), torch.tensor([1.0, 1.0]) * 1.5 / 2**0.5)
    assert torch.allclose(between(a, a, 0.3), a, atol=1e-5)
    many = between(torch.stack([a, b]), torch.stack([b, a]), torch.tensor([[0.25], [0.75]]))
    assert torch.allclose(many[0], between(a, b, 0.25)) and torch.allclose(many[0], many[1])


def test_on_the_way_between_two_things_as_much_of_what_is_found_at_either_is_asked_for_as_the_way_says() -> None:
    torch.manual_seed(5)
    points, music = torch.randn(40, 6), torch.randn(40, 200)
    mixture = (music[0::2] + music[1::2]).repeat_interleave(2, dim=0)
    found = torch.randn(40, 200)
    asked = some_halfway(points, music, mixture, 0.5, lambda which: found[which])
    assert 6 <= int(asked.is_way.sum()) <= 14 and torch.equal(asked.sounds, music.unflatten(0, (20, 2)))
    is_on_a_way = asked.is_way.repeat_interleave(2)
    assert asked.is_whole[~is_on_a_way].all(), "a mixture that is left alone"
    assert 0 < asked.is_whole[is_on_a_way].sum() < is_on_a_way.sum(), "some begin or end where a thing lies"
    assert torch.equal(asked.points[asked.is_whole], points[asked.is_whole]) and torch.equal(asked.wanted[asked.is_whole], music[asked.is_whole])
    places = []
    for number in range(40):
        ends = slice(number // 2 * 2, number // 2 * 2 + 2)
        lies_there = music if asked.is_whole[number] else found
        shares = torch.linalg.lstsq(lies_there[ends].t(), asked.wanted[number, :, None]).solution[:, 0]
        assert torch.allclose(shares.sum(), torch.tensor(1.0), atol=1e-4), "in proportion on all of the way"
        along = shares[1]
        assert torch.allclose(asked.points[number], between(*points[ends], along), atol=1e-3)
        places.append(along.item())
    assert all(second > first + 0.09 for first, second in zip(places[0::2], places[1::2]))


def test_of_two_mixtures_nothing_lies_between() -> None:
    points, music = torch.randn(4, 6), torch.randn(4, 200)
    same = torch.randn(200)
    asked = some_halfway(points, music, torch.stack([same, same + 1.0, same, same]), 1.0, lambda which: music[which])
    assert asked.is_way.tolist() == [False, True]
    assert torch.equal(asked.points[:2], points[:2]) and torch.equal(asked.wanted[:2], music[:2])


def test_who_turns_back_on_the_way_is_charged_by_how_many_db() -> None:
    # Two sounds in bands of their own, so that each has its level: on the way the first comes down by 3 dB, the other up by 3.
    sounds = torch.randn(2, 5, 8, dtype=torch.complex64)
    sounds[0, :, 4:], sounds[1, :, :4] = 0, 0
    levels_db = torch.tensor([[-1.0, -9.0], [-4.0, -6.0]])
    onward = torch.special.logit(10 ** (levels_db / 20)).repeat_interleave(4, dim=1)[:, None].expand(2, 5, 8)
    both_ways = torch.cat([onward, onward.flip(0)])

    def told(*is_way: bool) -> float:
        way = losses.Way(sounds.expand(2, 2, 5, 8), torch.tensor(is_way), torch.tensor([True, True]))
        return losses.turning_back(both_ways, way).item()

    back_db = 3 + losses.WAY_MARGIN_DB
    charge = 2 * back_db * (1 + back_db / losses.WAY_DOUBLED_DB)
    assert told(True, False) == told(False, False) == 0 and told(False, True) == pytest.approx(charge, rel=0.02)
    assert told(True, True) == pytest.approx(charge / 2, rel=0.02)


def test_a_sound_of_which_more_is_found_where_the_other_is_asked_for_is_charged_though_neither_turns_back() -> None:
    sounds = torch.randn(2, 5, 8, dtype=torch.complex64)
    sounds[0, :, 4:], sounds[1, :, :4] = 0, 0
    # In the first mixture the second sound comes up by 6 dB as the first comes down by 6; in the second one it is 2 dB softer at its own end.
    levels_db = torch.tensor([[[-1.0, -9.0], [-7.0, -3.0]], [[-1.0, -3.0], [-7.0, -5.0]]])
    logits = torch.special.logit(10 ** (levels_db / 20)).repeat_interleave(4, dim=2)[:, :, None].expand(2, 2, 5, 8).flatten(0, 1)

    def told(sounds: torch.Tensor, is_one: bool, with_ends: bool = True) -> float:
        way = losses.Way(sounds.expand(2, 2, 5, 8), torch.tensor([False, False]), torch.tensor([True, is_one]))
        return losses.turning_back(logits, way, with_ends).item()

    back_db = 2 + losses.ENDS_MARGIN_DB
    assert told(sounds, True) == pytest.approx(losses.ENDS_SHARE * back_db * (1 + back_db / losses.WAY_DOUBLED_DB), rel=0.02)
    assert told(sounds, True, with_ends=False) == 0
    absent = sounds.clone()
    absent[1] = 0
    assert told(sounds, False) == told(absent, True) == 0, "two mixtures, and what is not there, say nothing"


def test_what_is_found_too_softly_is_charged_by_how_many_db_whatever_else_is_found() -> None:
    music, rest = torch.randn(2, 4, 20, 1025, dtype=torch.complex64).unbind(0)
    gains = torch.tensor([1.0, 0.5, 2.0, 0.0])[:, None, None]

    def of(estimate: torch.Tensor) -> torch.Tensor:
        return losses.softening(Outcome(None, estimate, music, music + rest))

    as_loud, halved, doubled, lost = of(gains * music).tolist()
    assert as_loud == pytest.approx(0, abs=1e-4) and doubled == 0
    # The floor counts 3 % in.
    assert halved == pytest.approx(6.02, abs=0.3) and lost == pytest.approx(20 * math.log10(1.03 / 0.03), abs=0.01)
    assert of(gains * music + 0.3 * rest).tolist() == pytest.approx([as_loud, halved, doubled, lost], abs=0.5)


def test_what_is_not_there_is_not_charged_for_its_level() -> None:
    music, mixture = torch.zeros(2, 20, 1025, dtype=torch.complex64), torch.randn(2, 20, 1025, dtype=torch.complex64)
    points, named = torch.zeros(2, 4), torch.zeros(2, 3)

    def of(level_weight: float, monkeypatch: pytest.MonkeyPatch) -> float:
        monkeypatch.setattr(losses, "LEVEL_WEIGHT", level_weight)
        latent = losses.Latent(points, points, points, named, torch.tensor([-1, -1]))
        return float(losses.asked(Outcome(None, 0.1 * mixture, music, mixture, latent)))

    with pytest.MonkeyPatch.context() as patched:
        assert of(0.0, patched) == of(1.0, patched)


def test_a_class_is_asked_by_its_mean_once_enough_of_it_was_heard() -> None:
    torch.manual_seed(1)
    heard = ClassMeans(4, 6)
    kind = torch.tensor([0, 1, 2, 2, 3, -1])
    where = torch.tensor([1.0, 5.0, 0.0, 0.0, 7.0, 2.0])[:, None].expand(6, 6)
    points = torch.randn(6, 6)
    for _ in range(8):
        heard.listen(where, kind)
        assert torch.equal(heard.some(points, kind, 1.0), points)
    heard.listen(where.clone().index_fill_(0, torch.tensor([1]), torch.nan), kind)
    heard.listen(where, kind)
    asked = heard.some(points, kind, 1.0)
    assert (asked != points).any(dim=1).tolist() == [True, True, False, False, True, False], "not two of one class, and nothing of none"
    assert torch.allclose(asked[[0, 1, 4]], where[[0, 1, 4]])
    again = ClassMeans(4, 6)
    again.load(heard.state())
    assert torch.equal(again.some(points, kind, 1.0), asked) and torch.equal(again.some(points, kind, 0.0), points)
    half = (heard.some(points.repeat(100, 1), kind.repeat(100), 0.5) != points.repeat(100, 1)).any(dim=1)
    assert torch.equal(half[0::6], half[1::6]) and 30 < half[0::6].sum() < 70, "both questions of a mixture, or neither"
    heard.listen(torch.full((60, 6), 3.0), torch.zeros(60, dtype=torch.long))
    assert 1.8 < heard.some(points, kind, 1.0)[0, 0] < 3.0, "what was heard long ago counts less"


def test_processes_that_share_a_batch_know_the_same_means(monkeypatch: pytest.MonkeyPatch) -> None:
    where, kind = torch.randn(8, 6), torch.tensor([0, 1, 0, 2, 0, 1, -1, 2])
    alone = ClassMeans(3, 6)
    alone.listen(where, kind)
    sent: list[Tensor] = []
    monkeypatch.setattr(together, "add_up", lambda values: sent.append(values.clone()))
    ClassMeans(3, 6).listen(where[4:], kind[4:])
    first = ClassMeans(3, 6)
    monkeypatch.setattr(together, "add_up", lambda values: values.add_(sent[0]))
    first.listen(where[:4], kind[:4])
    assert torch.allclose(first.sums, alone.sums) and torch.equal(first.counts, alone.counts)


@pytest.mark.parametrize(("share", "recipe_name", "reason"), [(0.5, "deployed", "does not ask each mixture twice"), (1.5, "asked", "expected 0 to 1")])
@pytest.mark.parametrize("name", ["halfway_share", "class_mean_share"])
def test_a_share_that_nothing_can_be_taken_of_is_refused(name: str, share: float, recipe_name: str, reason: str) -> None:
    values = {"system": {"name": "asked"}, "optimiser": {"steps": 1}, "data": {"recipe": recipe_name, name: share}}
    with pytest.raises(config.ConfigError, match=f"{name} is {share}.*{reason}"):
        config.from_dict(values, "test")


def test_a_run_asks_for_what_lies_between_for_voices_over_pieces_and_for_pieces_of_kits(tiny_stems: Path, tmp_path: Path) -> None:
    values = {"system": {"name": "asked", "options": SMALL}, "optimiser": {"steps": 4}, "loss": "asked", "precision": "float32"}
    values["data"] = {"recipe": "asked_of_kits", "batch": 8, "halfway_share": 1.0, "class_mean_share": 1.0}
    num_kinds = len(recipe.KINDS) + len(recipe.PIECES)
    with pytest.raises(config.ConfigError, match=f"num_kinds is {NUM_KINDS}, expected {num_kinds}"):
        Run(config.from_dict(values, "test"))
    values["system"]["options"] = {**SMALL, "num_kinds": num_kinds}
    run, again = (Run(config.from_dict(values, "test")) for _ in range(2))
    batches = MixtureBatches(tiny_stems, "train", "asked_of_kits", run.sample_rate_hz, 2.0, 8, 3, 16)
    kinds = torch.cat([batches[idx][3] for idx in range(16)])
    assert (kinds == recipe.KINDS.index("speech")).any() and (kinds == -1).any(), "a piece that was recorded has no class"
    assert {int(kind) - len(recipe.KINDS) for kind in kinds} >= {0, 1, 2}, "the drums piece by piece"
    assert np.isfinite([run.step(*batches[idx]) for idx in range(3)]).all()
    assert 0 < run.class_means.counts.sum() <= 24
    run.save(tmp_path / "latest.pt")
    again.load(tmp_path / "latest.pt")
    assert torch.equal(again.class_means.sums, run.class_means.sums), "a run that is gone on with has heard what it heard"
    assert again.step(*batches[3]) == run.step(*batches[3])


def test_what_is_wanted_on_a_way_is_what_the_averaged_network_finds(tiny_stems: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"system": {"name": "asked", "options": SMALL}, "optimiser": {"steps": 4}, "loss": "asked", "precision": "float32"}
    values["data"] = {"recipe": "asked", "batch": 8, "halfway_share": 1.0}
    run = Run(config.from_dict(values, "test"))
    seen = []

    def watched(points: torch.Tensor, sounds: torch.Tensor, mixture: torch.Tensor, share: float, found: Callable) -> Questions:
        seen.append(found)
        return some_halfway(points, sounds, mixture, share, found)

    monkeypatch.setattr("underscore_training.train.run.some_halfway", watched)
    run.step(*MixtureBatches(tiny_stems, "train", "asked", run.sample_rate_hz, 2.0, 8, 3, 1)[0])
    which = torch.tensor([True, True] + [False] * 6)
    before = seen[0](which)
    assert before.shape[0] == 2 and not before.requires_grad
    with torch.no_grad():
        for weight in run.net.parameters():
            weight.add_(0.1)
    assert torch.equal(seen[0](which), before), "it is the average that is asked"
    with torch.no_grad():
        for weight in run.average.parameters():
            weight.add_(0.1)
    assert not torch.equal(seen[0](which), before)


def test_more_outputs_have_only_layers_that_may_have_them() -> None:
    few, many = (AskedCRN(**SMALL, num_kinds=num_kinds) for num_kinds in (5, 7))
    untouched = many.named.bias[5:].clone()
    many.load_state_dict(grown(many, few.state_dict()))
    asked = torch.randn(3, few.embedding_size)
    assert torch.allclose(many.named(asked)[:, :5], few.named(asked)) and torch.equal(many.named.bias[5:], untouched)
    # The gates of a memory lie one after the other.
    with pytest.raises(DoesNotGrow, match="over_time"):
        grown(AskedCRN(**{**SMALL, "time_memory": 20}), few.state_dict())


def test_a_mean_has_the_names_of_the_network_that_has_most(tmp_path: Path) -> None:
    values = {"optimiser": {"steps": 1}, "loss": "asked", "data": {"recipe": "asked"}}
    paths = [tmp_path / str(num_kinds) / "latest.pt" for num_kinds in (NUM_KINDS, NUM_KINDS + 2)]
    for path, num_kinds in zip(paths, (NUM_KINDS, NUM_KINDS + 2)):
        run = Run(config.from_dict({**values, "system": {"name": "asked", "options": {**SMALL, "num_kinds": num_kinds}}}, "test"))
        run.begin(set())
        run.save(path)
    few, many = (checkpoint.read(path)["average"] for path in paths)
    for order in (paths, paths[::-1]):
        found = mean(order)
        assert found["config"]["system"]["options"]["num_kinds"] == NUM_KINDS + 2
        torch.testing.assert_close(found["average"]["named.weight"][:NUM_KINDS], (few["named.weight"] + many["named.weight"][:NUM_KINDS]) / 2)
        assert torch.equal(found["average"]["named.bias"][NUM_KINDS:], many["named.bias"][NUM_KINDS:])
        torch.testing.assert_close(found["average"]["last.weight"], (few["last.weight"] + many["last.weight"]) / 2)


def test_the_example_is_the_loudest_stretch_and_a_short_one_comes_round_again() -> None:
    signal = np.concatenate([np.zeros(100), np.ones(20), np.zeros(100)])
    assert examples.loudest(signal, 40).sum() == 20
    assert np.array_equal(examples.loudest(np.arange(3.0), 7), [0, 1, 2, 0, 1, 2, 0])


def test_every_mixture_is_asked_for_two_different_things(tiny_stems: Path) -> None:
    target, mixture, query, _ = MixtureBatches(tiny_stems, "train", "asked", 16_000, 1.0, 8, 3, 1)[0]
    for first, second in zip(range(0, 8, 2), range(1, 8, 2)):
        both = target[first] + target[second]
        assert torch.equal(mixture[first], mixture[second]), "only the question differs"
        assert not torch.allclose(target[first], target[second]) and not torch.allclose(query[first], query[second])
        assert torch.linalg.norm(mixture[first] - both) <= torch.linalg.norm(mixture[first]) * 1.5


def test_a_listener_learns_from_examples_alone(tiny_stems: Path) -> None:
    values = {"system": {"name": "asked", "options": SMALL}, "optimiser": {"steps": 4}, "loss": "listening", "precision": "float32"}
    run = Run(config.from_dict({**values, "data": {"recipe": "examples", "batch": 4}}, "test"))
    batch = MixtureBatches(tiny_stems, "train", "examples", run.sample_rate_hz, 3.0, 4, 3, 1)[0]
    before = {name: weight.clone() for name, weight in run.net.state_dict().items()}
    assert np.isfinite(run.step(*batch))
    changed = {name.split(".")[0] for name, weight in run.net.state_dict().items() if not torch.equal(weight, before[name])}
    assert changed == {"query", "named"}
    assert 0.0 <= run.validate([batch])["named_share"] <= 1.0
