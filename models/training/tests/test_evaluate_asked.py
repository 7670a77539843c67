"""What is told of a network that is asked: scores by query and class, ways, neighbours, and comparisons with another one."""

import copy
import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SMALL, magnitude, small_asked, sound

from underscore_training.corpus import store
from underscore_training.corpus.debian import SINGER
from underscore_training.corpus.stems import DRUM_PIECES, PATCHED, SINGING, SUNG
from underscore_training.corpus.track import Track
from underscore_training.evaluate import asked as evaluation
from underscore_training.evaluate import asked_told as told_of
from underscore_training.evaluate import query_protocols as protocols
from underscore_training.evaluate import songs as test_songs
from underscore_training.evaluate.asked_scores import sdr_and_level_db
from underscore_training.evaluate.errors import EvaluateError
from underscore_training.evaluate.metrics import level_db
from underscore_training.evaluate.ways import ripple_db, ways_told, wrong_way_db
from underscore_training.mixtures.shelf import Recording, Shelf
from underscore_training.nets.asked import AskedCRN
from underscore_training.train import config
from underscore_training.train.checkpoint import load_network
from underscore_training.train.run import Run


@pytest.fixture(scope="module")
def net() -> AskedCRN:
    return small_asked()


def test_neighbours_are_of_a_class_where_the_space_says_so() -> None:
    def sample(kind: str, piece: str, *place: float) -> protocols.Sample:
        return protocols.Sample(kind, piece, torch.tensor(place))

    apart = [sample("a", f"a{n}", 1.0, 0.01 * n) for n in range(6)] + [sample("b", f"b{n}", 0.01 * n, 1.0) for n in range(6)]
    assert protocols.neighbours_of_the_class(apart) == {"a": 1.0, "b": 1.0}
    one_piece = [sample("a", "a", 1.0, 0.01 * n) for n in range(6)] + apart[6:]
    assert "a" not in protocols.neighbours_of_the_class(one_piece), "its own piece is no neighbour"
    few = [*apart[:2], *apart[6:]]
    assert protocols.neighbours_of_the_class(few)["a"] == 1.0, "one of one is all"


def test_what_a_query_loses_is_set_against_its_distance() -> None:
    distances = (0.1, 0.5, 0.9, 1.3, 0.2, 0.6)
    rows = [
        {
            "GQ": 10.0, "RQ": 0.0, "group": f"score {number // 2}",
            "random": [{"SDR": 10.0 - 3 * far, "cosine distance": far} for far in (distance, distance + 0.05)],
        }
        for number, distance in enumerate(distances)
    ]
    found = protocols.distance_against_loss([*rows, {"GQ": 1.0, "group": "score 9"}])
    assert (found.mean, found.low, found.high) == pytest.approx((1.0, 1.0, 1.0))
    of_one_score = [row | {"group": "score"} for row in rows]
    assert protocols.distance_against_loss(of_one_score).low is None


def test_one_of_two_of_a_class_and_coarse_means_are_scored_for_every_class(
    net: AskedCRN, tiny_stems: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Shorter than the recordings by an example and more.
    monkeypatch.setattr(protocols, "CLIP_S", 1.0)
    by_class = {kind: Shelf(tiny_stems, "train", kind, net.sample_rate_hz) for kind in ("brass", "reed", "drums")}
    pulls = protocols.pulls(net, by_class, 1)
    assert {row["class"] for row in pulls} <= set(by_class) and all(np.isfinite([row["asked"], row["other"]]).all() for row in pulls)
    unheard = protocols.unheard(net, Shelf(tiny_stems, "train", "mallets", net.sample_rate_hz), by_class, 2)
    assert len(unheard) == 2 and all(np.isfinite(row["GQ"]) for row in unheard)
    over = protocols.over_recordings(net, by_class["drums"], by_class["brass"], torch.randn(net.embedding_size), 2)
    assert len(over) == 2 and np.isfinite([[row["mean"], row["GQ"]] for row in over]).all()
    means = {kind: torch.randn(net.embedding_size) for kind in by_class}
    rows = protocols.coarse_against_fine(net, by_class, means, 2)
    assert [row["class"] for row in rows] == ["brass", "brass", "reed", "reed"]
    assert {row["coarse class"] for row in rows} == {"winds"}


def test_two_of_a_class_are_of_as_many_pieces_as_there_are() -> None:
    class Shelved:
        recordings = [Recording(f"{piece}/{n}", piece, "source", True, np.zeros(1, np.int16)) for piece in "abcde" for n in range(6)]

    found = list(protocols.pairs(Shelved(), np.random.default_rng(1)))
    of_pieces = [frozenset(Shelved.recordings[place].piece for place in pair) for pair in found]
    assert len(set(of_pieces[:10])) == 10, "each two pieces once, before any twice"
    assert len(found) == len(set(found)) == 10 * 36 and all(len(pieces) == 2 for pieces in of_pieces)
    assert len({place for pair in found[:10] for place in pair}) > 10, "not the first recording of each"
    assert found == list(protocols.pairs(Shelved(), np.random.default_rng(1)))


def test_two_of_a_class_are_told_with_intervals_over_pieces() -> None:
    rows = [{"piece": piece, "asked": 3.0 + gain, "other": 1.0} for piece, gain in zip("aabbcc", (1, 1, 0, 0, -4, 1))]
    told = told_of.pulls(rows)
    assert told.startswith("One of two of a class, 6 times, 3 pieces: 2.8 dB of the one asked for, 1.0 dB of the other, 1.8 dB [")
    assert "; 83% [" in told and told.endswith("] the right one")
    assert "[" not in told_of.pulls(rows[:2]), "one piece has no interval"


def test_two_networks_are_compared_clip_by_clip_where_both_were_scored() -> None:
    def row(song: str, kind: str, **found: float) -> dict:
        return {"song": song, "group": song, "class": kind, "mixture": -5.0, **found}

    own = [row("a", "bass", mean=3.0, GQ=4.0), row("b", "bass", mean=1.0, GQ=2.0), row("b", "drums", GQ=7.0), row("c", "drums", GQ=9.0)]
    others = [row("a", "bass", mean=2.0, GQ=4.0), row("b", "bass", mean=0.5, GQ=1.0), row("b", "drums", GQ=7.5)]
    told = told_of.beside(own, others).splitlines()
    assert told[0] == "Against the other network, 3 clips of both:"
    assert told[1].startswith("mean +0.75 dB") and told[1].endswith("(bass +0.75)")
    assert told[2].startswith("GQ +0.17 dB") and told[2].endswith("(bass +0.50, drums -0.50)") and len(told) == 3
    with pytest.raises(EvaluateError, match="got none"):
        told_of.beside(own, [row("d", "bass", mean=1.0)])
    with pytest.raises(EvaluateError, match="a: its bass is -5.00 dB above the rest here and -4.00 dB"):
        told_of.beside(own, [others[0] | {"mixture": -4.0}])


def test_a_level_that_moves_one_way_alone_has_no_ripple() -> None:
    assert ripple_db(np.array([0.0, -3.0, -3.0, -20.0])) == 0.0
    assert ripple_db(np.array([-12.0, -11.0, -10.0])) == 0.0, "whichever way it is"
    assert ripple_db(np.array([-3.0, -6.0, -4.0, -9.0])) == 2.0
    assert ripple_db(np.array([-9.0, -4.0, -6.0, -3.0])) == 2.0
    assert ripple_db(np.array([-5.0, 0.0, -5.0])) == 5.0


def test_a_sound_that_grows_towards_the_other_one_goes_the_wrong_way() -> None:
    assert wrong_way_db(np.array([[0.0, -5.0, -20.0], [-20.0, -8.0, 0.0]])) == 0.0
    assert wrong_way_db(np.array([[-12.0, -11.0, -10.0], [-20.0, -8.0, 0.0]])) == 2.0
    assert wrong_way_db(np.array([[0.0, -5.0, -20.0], [-7.0, -9.0, -10.0]])) == 3.0


def test_ripples_and_what_goes_the_wrong_way_are_told_of_all_ways() -> None:
    rows = [{"ripple_db": ripple, "faded_ripple_db": ripple / 10, "wrong_way_db": 3 - ripple} for ripple in (0.2, 3.0, 0.9, 1.0)]
    assert ways_told(rows, "two sounds") == (
        "Between two sounds, 4 songs: 3 monotone within 1 dB, median ripple 0.95 dB, largest 3.00 dB (0.30 dB if what is found at the ends were faded); "
        "more of a sound where the other one is asked for in 3, by 2.80 dB at most"
    )


@pytest.fixture(scope="module")
def tiny_songs(tmp_path_factory: pytest.TempPathFactory, tiny_stems: Path) -> Path:
    """With two test songs whose kits come apart, in one of which the bass has a fine label, and every class to train on."""
    folder = tmp_path_factory.mktemp("songs") / "corpus"
    shutil.copytree(tiny_stems / "tracks" / "train", folder / "tracks" / "train")
    for number in range(2):
        for kind in ("speech", "music", "bass", "drums", "mallets", *DRUM_PIECES):
            name, group = (f"{kind}{number}", "") if kind in ("speech", "music") else (f"song{number}/0/{kind}", f"stems/song{number}")
            make = partial(sound, kind, 10 * number + len(kind))
            fine = "synth bass" if kind == "bass" and number == 0 else ""
            store.write_track(folder, Track(name, "synthetic", kind, "test", "CC0-1.0", 1.0, "1", make, group, fine), make())
        make = partial(sound, "bass", 50 + number)
        store.write_track(folder, Track(f"learnt{number}/0/bass", "synthetic", "bass", "train", "CC0-1.0", 1.0, "1", make, f"stems/learnt{number}", "synth bass"), make())
        for kind, of in ((SINGING, SUNG), ("bass", SUNG), ("drums", SUNG), ("bass", PATCHED), ("drums", PATCHED)):
            name, make = f"song{number}/{of}0/{kind}", partial(sound, kind, 20 * number + len(kind))
            store.write_track(folder, Track(name, "synthetic", kind, "test", "CC0-1.0", 1.0, "1", make, f"stems/song{number}"), make())
    make = partial(sound, "speech", 77)
    store.write_track(folder, Track(SINGER, "synthetic", SINGING, "test", "CC0-1.0", 1.0, "1", make), make())
    return folder


def test_one_command_scores_classes_pieces_ways_and_what_does_not_play(
    tiny_songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(test_songs, "CLIP_S", 2.0)
    monkeypatch.setattr(protocols, "CLIP_S", 2.0)
    values = {"system": {"name": "asked", "options": SMALL}, "optimiser": {"steps": 1}, "loss": "asked", "data": {"recipe": "asked"}}
    Run(config.from_dict(values, "test")).save(tmp_path / "latest.pt")
    found = tmp_path / "found.json"
    evaluation.main(["--checkpoint", str(tmp_path / "latest.pt"), "--corpus", str(tiny_songs), "--pairs", "1", "--out", str(found)])
    told = capsys.readouterr().out
    for line in ("2 songs, SDR in dB", "| drums | 2 |", "Kits apart, 2 songs", "| snare | 2 |", "Sung, 2 songs", "| singing | 2 |", "By instruments that share no sample with the training's, 2 songs", "A person who sings over recorded pieces, 4 clips", "the means of two classes, 2 songs", "own examples, 2 songs",
                 "does not play, 2 songs", "| synth bass | bass | 1 |", "Over 1 clips with a fine label", "all there is, 2 songs", "over recorded pieces, 4 clips", "mallets, never asked for in training"):
        assert line in told, line
    rows = json.loads(found.read_text())
    assert {row["class"] for row in rows["scores"]} == {"speech", "bass", "drums", "mallets"}
    assert [np.isfinite(row["fine mean"]) for row in rows["scores"] if "fine mean" in row] == [True], "the one with a fine label"
    assert {row["class"] for row in rows["piece_scores"]} == set(DRUM_PIECES), "of songs with kits apart only the pieces are asked for"
    assert {row["class"] for row in rows["singing_scores"]} == {SINGING}
    assert {row["class"] for row in rows["patch_scores"]} == {"speech", "bass", "drums"}
    for row in rows["scores"] + rows["piece_scores"] + rows["singing_scores"]:
        assert row["RQ"] == pytest.approx(np.mean([query["SDR"] for query in row["random"]])), "of all random queries the mean"
        assert len({query["cosine distance"] for query in row["random"]}) == len(row["random"]), "each recording is drawn once"
        assert np.isfinite([row["GQ"], row["RQ"], row["mixture"]]).all() and ("mean" in row) == (row["class"] != "mallets")
    assert "Level of what was asked for, median: mean" in told and "Streamed against in one window of 2 s, by GQ: " in told
    assert len(rows["alone"]) == 2 and np.isfinite(rows["alone"]).all()
    assert evaluation.figures(found, "test") == rows
    for name in ("distance", "absent_db", "unheard_mallets", "voices", "singer", "neighbours"):
        assert rows[name], f"{name}: what is printed is kept, too"
    by_two = tmp_path / "by_two.json"
    given = ["--checkpoint", str(tmp_path / "latest.pt"), "--corpus", str(tiny_songs), "--pairs", "1", "--jobs", "2", "--out", str(by_two)]
    evaluation.main(given)
    assert evaluation.figures(by_two, "test") == rows, "in however many processes"
    with pytest.raises(EvaluateError, match="expected scores of the split 'valid', got those of 'test'"):
        evaluation.figures(found, "valid")
    (tmp_path / "torn.json").write_text("[]")
    with pytest.raises(SystemExit, match="torn.json: expected what --out wrote"):
        evaluation.main(["--checkpoint", str(tmp_path / "latest.pt"), "--corpus", str(tiny_songs), "--beside", str(tmp_path / "torn.json")])
    for way, own in zip(rows["ways"], rows["own_ways"]):
        assert way["classes"] == own["classes"] and way["levels_db"] != own["levels_db"] and len(way["levels_db"][0]) == 11


def test_the_space_the_ways_and_the_losses_are_drawn(tmp_path: Path) -> None:
    plots = pytest.importorskip("underscore_training.evaluate.query_plots", exc_type=ImportError)
    rng = np.random.default_rng(5)
    found = [protocols.Sample(kind, f"{kind}{n}", torch.from_numpy(rng.standard_normal(32)).float()) for kind in ("bass", "drums") for n in range(8)]
    ways = {"means": [{"levels_db": [list(np.linspace(0, -20, 11)), list(np.linspace(-20, 0, 11))]}], "own examples": []}
    rows = [{"GQ": 10.0, "random": [{"SDR": 9.0, "cosine distance": 0.1}, {"SDR": 2.0, "cosine distance": 0.9}]}, {"GQ": 3.0}]
    for name in ("found.png", "found.svg"):
        plots.draw(found, ways, rows, tmp_path / name)
    assert (tmp_path / "found.png").read_bytes()[:4] == b"\x89PNG"
    for title in ("Examples by t-SNE", "On the way between means", "What a random query loses"):
        assert title in (tmp_path / "found.svg").read_text(), title


def test_a_network_that_does_not_say_what_it_heard_is_scored_and_told(
    tiny_songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(test_songs, "CLIP_S", 2.0)
    monkeypatch.setattr(evaluation, "findings", lambda asked, _, num_jobs: evaluation._scores(asked, num_jobs))
    values = {"system": {"name": "asked", "options": SMALL}, "optimiser": {"steps": 1}, "loss": "asked", "data": {"recipe": "asked"}}
    Run(config.from_dict(values, "test")).save(tmp_path / "latest.pt")
    state = torch.load(tmp_path / "latest.pt", weights_only=True)
    for heard in (None, []):
        torch.save({key: value for key, value in state.items() if key != "heard"} | ({} if heard is None else {"heard": heard}), tmp_path / "latest.pt")
        evaluation.main([
            "--checkpoint", str(tmp_path / "latest.pt"), "--corpus", str(tiny_songs), "--songs", "1", "--out", str(tmp_path / "found.json"),
        ])
        assert ("does not say what it was trained on" in capsys.readouterr().out) == (heard is None)
        assert json.loads((tmp_path / "found.json").read_text())["says_what_it_heard"] == (heard is not None)


def test_songs_that_it_learnt_are_no_test_and_may_be_scored_as_what_they_are(
    tiny_songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = tmp_path / "corpus"
    shutil.copytree(tiny_songs / "tracks" / "train", corpus / "tracks" / "train")
    shutil.copytree(tiny_songs / "tracks" / "test", corpus / "tracks" / "test")
    for kind in ("bass", "drums"):
        make = partial(sound, kind, len(kind))
        store.write_track(corpus, Track(f"learnt/0/{kind}", "synthetic", kind, "train", "CC0-1.0", 1.0, "1", make, "stems/learnt"), make())
    monkeypatch.setattr(test_songs, "CLIP_S", 2.0)
    monkeypatch.setattr(evaluation, "findings", lambda asked, _, num_jobs: evaluation._scores(asked, num_jobs))
    values = {"system": {"name": "asked", "options": SMALL}, "optimiser": {"steps": 1}, "loss": "asked", "data": {"recipe": "asked"}}
    run = Run(config.from_dict(values, "test"))
    run.heard = {"learnt/0/bass", "song0/0/bass"}
    run.save(tmp_path / "latest.pt")
    given = ["--checkpoint", str(tmp_path / "latest.pt"), "--corpus", str(corpus)]
    with pytest.raises(SystemExit, match="trained on song0/0/bass, which is of the test split"):
        evaluation.main(given)
    shutil.copytree(corpus / "tracks" / "train", corpus / "tracks" / "valid")
    for row in (corpus / "tracks" / "valid").rglob("*.json"):
        row.write_text(row.read_text().replace('"train"', '"valid"'))
    evaluation.main([*given, "--split", "valid"])
    assert "1 songs of the validation's, SDR in dB" in capsys.readouterr().out, "what it heard in validation it did not learn from"
    run.heard = {"learnt"}
    run.save(tmp_path / "whole.pt")
    with pytest.raises(SystemExit, match="has no songs in parts to be scored"):
        evaluation.main(["--checkpoint", str(tmp_path / "whole.pt"), "--corpus", str(corpus), "--split", "valid"])
    shutil.rmtree(corpus / "tracks" / "valid")
    evaluation.main([*given, "--split", "train"])
    told = capsys.readouterr().out
    assert "1 songs of the training's, SDR in dB" in told and "| bass | 1 |" in told


def test_a_place_that_nothing_can_be_written_to_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    asked = ["--checkpoint", "absent.pt", "--corpus", str(tmp_path)]
    for option in ("--out", "--figure"):
        with pytest.raises(SystemExit, match="file: cannot be written"):
            evaluation.main([*asked, option, str(tmp_path / "file" / "found.json")])
        with pytest.raises(SystemExit, match="expected the name of a file, got a folder"):
            evaluation.main([*asked, option, str(tmp_path)])


def test_all_logits_are_raised_alike(net: AskedCRN) -> None:
    given, asked, raised = magnitude(20), torch.randn(1, net.embedding_size), copy.deepcopy(net)
    evaluation.raise_logits(raised, 0.7)
    with torch.no_grad():
        assert torch.allclose(raised.logits(given, asked) - net.logits(given, asked), torch.tensor(0.7), atol=1e-4)


def test_a_few_songs_are_of_many_scores() -> None:
    found = [test_songs.Song(f"{score}/{arrangement}", score, {}, {}, {}) for score in "abcdefgh" for arrangement in range(6)]
    assert {song.group for song in test_songs.spread(found, 8)} == set("abcdefgh")
    assert test_songs.spread(found, 100) == found and test_songs.spread([], 3) == []


def test_what_is_heard_of_a_sound_is_its_own_energy_whatever_else_is_there(net: AskedCRN, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    part, other = (rng.standard_normal((2, 32000)) * 0.1).astype(np.float32)
    # Half of the bins, which is half of the energy of noise, and none of what else lies in them.
    monkeypatch.setattr(net, "music_mask", lambda spectrum, *_: (torch.arange(spectrum.shape[-1]) < spectrum.shape[-1] // 2).float().expand(spectrum.shape))
    sdr, level = sdr_and_level_db(net, part + 3 * other, part, torch.zeros(net.embedding_size))
    assert level == pytest.approx(-3.0, abs=0.2) and sdr < 0
    assert level_db(part, 0 * part) == pytest.approx(-60.0)


def test_what_is_heard_of_its_sounds_adds_up_to_what_is_found(net: AskedCRN) -> None:
    rng = np.random.default_rng(4)
    sounds = torch.from_numpy(rng.standard_normal((3, 20000)).astype(np.float32))
    asked = torch.randn(1, net.embedding_size)
    with torch.no_grad():
        parts = net.let_through(sounds.sum(dim=0, keepdim=True), sounds, asked)
        found = net.separate(sounds.sum(dim=0, keepdim=True), asked)
    assert torch.allclose(parts.sum(dim=0), found[0], atol=1e-4)


def test_the_order_of_queries_is_told_class_by_class() -> None:
    def rows(kind: str, own: float, mean: float, other: float) -> list[dict]:
        # Twice, around what they are in the mean.
        return [
            {"class": kind, "group": f"piece {d}", "mixture": -5.0, "GQ": own - 5 + d, "mean": mean - 5 - d, "RQ": other - 5} for d in (-1.0, 1.0)
        ]

    told = told_of.order([
        *rows("speech", 8.0, 7.0, 6.0), *rows("drums", 9.0, 8.9, 8.8), *rows("brass", 8.0, 6.0, 7.0),
        {"class": "mallets", "group": "piece 1", "mixture": 0.0, "GQ": 1.0, "RQ": 2.0},
    ])
    assert "brass 8.00, 6.00, 7.00 (RQ 1.00 [" in told and "] above mean)" in told and "above GQ" not in told
    assert told.startswith("GQ >= mean >= RQ in 2 of 3 classes, GQ - RQ >= 0.5 dB in 2;")
    assert "brass 8.00, 6.00, 7.00" in told and "drums 9.00, 8.90, 8.80" in told and "speech" not in told
    assert "Over 6 clips: mean +7.30 dB, GQ +8.33 dB, RQ +7.27 dB" in told and "RQ again" not in told, "of the same clips"


def test_means_may_be_the_presets_that_ship(net: AskedCRN, tmp_path: Path) -> None:
    weights = Path("../weights")
    query = load_network(Path("checkpoints/query-8.pt")).net
    space = evaluation.space_of(weights / "query-8.pt", query)
    asked = evaluation.Asked(query, tmp_path, "test", 1, frozenset(), space)
    assert torch.equal(asked._mean("speech"), space.presets["voice"]) and asked.fine_means == {}
    with pytest.raises(EvaluateError, match="query-8.pt: it listens otherwise"):
        evaluation.space_of(weights / "query-8.pt", net)
    with pytest.raises(EvaluateError, match="expected the model file of a network that is asked"):
        evaluation.space_of(weights / "music-5.pt", net)
    with pytest.raises(EvaluateError, match="cannot be read as a model file"):
        evaluation.space_of(tmp_path / "absent.pt", net)
