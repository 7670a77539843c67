"""Model files: the contract's metadata, the round trip, and the refusals."""

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import unsettled
from torch import nn

from underscore_training import fixtures
from underscore_training.corpus import debian, voices
from underscore_training.export import __main__ as export
from underscore_training.export import contract, file, manifest, provenance
from underscore_training.export.contract import ExportError
from underscore_training.nets.axes import BentAxis
from underscore_training.nets.crn import CRN
from underscore_training.nets.streaming import DoesNotStream, IdentitySeparator, streaming
from underscore_training.nets.systems import build
from underscore_training.train.checkpoint import load_network


@pytest.fixture(scope="module")
def crn() -> CRN:
    torch.manual_seed(1)
    net = CRN((6, 8, 8, 12), time_memory=16, band_memory=10, num_blocks=2, look_ahead_frames=3)
    net.last.weight.data.mul_(20)
    return net.eval()


def exported(net: nn.Module, folder: Path, version: str = "1.0.0") -> Path:
    model = streaming(net)
    meta = contract.metadata(model, "model", "Model", version, "CC0-1.0", "none")
    file.write(model, meta, folder / "model.pt", folder / "manifest.toml", net)
    return folder / "model.pt"


def identity(folder: Path) -> Path:
    model = IdentitySeparator()
    meta = contract.metadata(model, "identity", "Identity", "1.0.0", "CC0-1.0", "none")
    file.write(model, meta, folder / "identity.pt", folder / "manifest.toml", None)
    return folder / "identity.pt"


@pytest.fixture(scope="module")
def live() -> nn.Module:
    torch.manual_seed(1)
    net = build("live", features=(6, 8, 8, 12), time_memory=16, band_memory=10, num_blocks=2)
    net.last.weight.data.mul_(20)
    return net.eval()


@pytest.fixture(scope="module")
def fine() -> nn.Module:
    """Half of Table 1's branches are absent in it."""
    torch.manual_seed(1)
    return unsettled(build("mdensenet", look_ahead="fine", axis="bent"))


@pytest.fixture(scope="module")
def exact() -> nn.Module:
    torch.manual_seed(1)
    return unsettled(build("mmdensenet"))


@pytest.mark.parametrize("which", ["crn", "live", "net", "fine", "exact"])
def test_a_written_file_is_the_network_call_by_call(which: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    net = request.getfixturevalue(which)
    path = exported(net, tmp_path, "1.2.3")
    worst = file.check_against_whole_clip(path, net)
    print(f"{which}: file and network differ by {worst:.1e}")
    assert worst <= contract.TOLERANCE and contract.check_vector(path) <= contract.TOLERANCE
    _, meta, vector = contract.load(path)
    assert meta["version"] == "1.2.3" and meta["schema_version"] == 2
    assert meta["look_ahead_frames"] == streaming(net).look_ahead_frames
    assert (meta["frames_per_call"], meta["synthesis_s"]) == {"live": (1, 0.032)}.get(which, (8, 0.064))
    heard_frames = meta["test_vector"]["num_calls"] * meta["frames_per_call"] - meta["look_ahead_frames"]
    assert heard_frames >= contract.NUM_TEST_FRAMES, "a vector that ends before the first mask would prove nothing"
    assert len(vector) == 4 * meta["test_vector"]["num_calls"] * meta["frames_per_call"] * meta["num_bins"] * (2 + 1)


def test_the_manifest_has_a_table_per_model_and_replaces_it(crn: CRN, tmp_path: Path) -> None:
    exported(crn, tmp_path)
    for _ in range(2):
        identity(tmp_path)
    models = {table["id"]: table for table in tomllib.loads((tmp_path / "manifest.toml").read_text())["model"]}
    assert set(models) == {"model", "identity"} and models["model"]["stems"] == ["music", "dialogue"]


@pytest.mark.parametrize("broken", ["no table", "no room"])
def test_weights_are_not_replaced_without_their_manifest(broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, listed = identity(tmp_path), tmp_path / "manifest.toml"
    before = path.read_bytes(), listed.read_text()
    if broken == "no table":
        listed.write_text("half a [[")
        before = path.read_bytes(), listed.read_text()
    else:
        def full(self: Path, *_: object) -> None:
            # As a disk that fills does: something is there.
            with self.open("w") as half:
                half.write("[[mod")
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Path, "write_text", full)
    model = IdentitySeparator()
    meta = contract.metadata(model, "identity", "Identity", "2.0.0", "CC0-1.0", "none")
    with pytest.raises(ExportError, match="manifest.toml: cannot be read or written again .*Weights and manifest are as they were"):
        file.write(model, meta, path, listed, None)
    assert (path.read_bytes(), listed.read_text()) == before
    assert {left.name for left in tmp_path.iterdir()} == {"identity.pt", "manifest.toml"}


def test_two_channels_are_two_single_ones(crn: CRN, tmp_path: Path) -> None:
    script, meta, _ = contract.load(exported(crn, tmp_path))
    per_call, shapes = meta["frames_per_call"], meta["state_shapes"]
    spectrum = contract.test_spectrum(BentAxis.grid, 3 * per_call, num_channels=2)
    both = contract.run_calls(script, spectrum, contract.zero_state(shapes, 2), per_call)
    for channel in range(2):
        alone = contract.run_calls(script, spectrum[channel : channel + 1], contract.zero_state(shapes, 1), per_call)
        assert (both[:, channel : channel + 1] - alone).abs().max() < 1e-5


def test_a_network_whose_channels_know_of_each_other_is_not_written(tmp_path: Path) -> None:
    class Louder(IdentitySeparator):
        def forward(self, spectrum: torch.Tensor, state: list[torch.Tensor]) -> tuple[torch.Tensor, list[torch.Tensor]]:
            power = spectrum.square().sum(dim=3)
            return (power / power.amax(dim=0, keepdim=True).clamp_min(1e-9))[None], state

    model = Louder()
    meta = contract.metadata(model, "louder", "Louder", "1.0.0", "CC0-1.0", "none")
    with pytest.raises(ExportError, match="a stream beside another one differs"):
        file.write(model, meta, tmp_path / "louder.pt", tmp_path / "manifest.toml", None)
    assert not list(tmp_path.iterdir())


def test_another_network_than_the_file_s_is_noticed_and_what_was_there_stays(crn: CRN, tmp_path: Path) -> None:
    path = exported(crn, tmp_path)
    before = path.read_bytes()
    other = CRN((6, 8, 8, 12), time_memory=16, band_memory=10, num_blocks=2, look_ahead_frames=3).eval()
    other.last.weight.data.mul_(20)
    model = streaming(crn)
    meta = contract.metadata(model, "model", "Model", "2.0.0", "CC0-1.0", "none")
    with pytest.raises(ExportError, match="calls and whole clip differ by"):
        file.write(model, meta, path, tmp_path / "manifest.toml", other)
    assert path.read_bytes() == before and not list(tmp_path.glob("*.draft"))


def test_a_wrong_vector_is_refused(tmp_path: Path) -> None:
    path = identity(tmp_path)
    script, meta, vector = contract.load(path)
    broken = bytearray(vector)
    broken[-4:] = contract.little_endian(torch.tensor([0.5]))
    contract.save(script, path, {"underscore.json": json.dumps(meta).encode(), "test_vector.f32": bytes(broken)})
    with pytest.raises(ExportError, match="differs by"):
        contract.check_vector(path)


@pytest.mark.parametrize("system", ["unet", "waveunet"])
def test_what_has_no_streaming_form_is_refused(system: str) -> None:
    with pytest.raises(DoesNotStream, match="has no streaming form"):
        streaming(build(system))


def test_fixture_models_are_those_that_the_rust_tests_read(tmp_path: Path) -> None:
    fixtures.main(["--out", str(tmp_path)])
    committed = Path(__file__).parents[3] / "tests" / "fixtures" / "models"
    names = sorted(path.name for path in committed.iterdir())
    assert names == sorted(path.name for path in tmp_path.iterdir())
    for name in names:
        (made, made_extra), (kept, kept_extra) = (loaded(folder / name) for folder in (tmp_path, committed))
        # The files themselves have names in them that torch makes by what it scripted before.
        (made_code, made_weights), (kept_code, kept_weights) = made.code_with_constants, kept.code_with_constants
        assert made_code == kept_code, name
        # Frozen, it has them as constants.
        torch.testing.assert_close(made_weights.const_mapping, kept_weights.const_mapping, msg=name)
        assert made_extra["underscore.json"] == kept_extra["underscore.json"], name
        made_vector, kept_vector = (np.frombuffer(extra["test_vector.f32"], "<f4") for extra in (made_extra, kept_extra))
        np.testing.assert_allclose(made_vector, kept_vector, rtol=1e-5, atol=1e-5, err_msg=name)
    assert all(path.stat().st_size < 100_000 for path in tmp_path.iterdir())


def loaded(path: Path) -> tuple[torch.jit.ScriptModule, dict[str, bytes]]:
    """The module, and the files beside it."""
    extra = {"underscore.json": b"", "test_vector.f32": b""}
    return torch.jit.load(str(path), _extra_files=extra), extra


def test_shipped_files_match_the_manifest_and_what_they_heard() -> None:
    models = Path(__file__).parents[2]
    for table in tomllib.loads((models / "manifest.toml").read_text())["model"]:
        path = models / "weights" / table["file"]
        _, meta, _ = contract.load(path)
        assert manifest.entry(path, meta) == table
        checkpoint = Path("checkpoints") / f"{meta['id']}.pt"
        if checkpoint.exists():
            assert meta["training_data"] == provenance.training_data_of(load_network(checkpoint).heard), meta["id"]
        assert contract.check_vector(path) <= contract.TOLERANCE


def test_only_a_network_of_the_shipped_corpus_has_its_provenance_without_being_told() -> None:
    shipped = load_network(Path("checkpoints/music-5.pt")).heard
    assert shipped is not None
    _, meta, _ = contract.load(Path("../weights/music-5.pt"))
    assert provenance.provenance(shipped, None, None) == (meta["training_data"], meta["licence"])
    recorded = frozenset(name for name in shipped if name.split("/")[0] not in {"songs", "music21", "openttd-openmsx"})
    assert "scores" not in provenance.provenance(recorded, None, None)[0], "what it did not hear is not named"
    assert "voices" not in provenance.provenance(frozenset({"xmoto-data/a"}), None, None)[0]
    asked = load_network(Path("checkpoints/query-8.pt")).heard
    assert asked is not None
    assert "FluidR3, TimGM6mb and csound-soundfont," in provenance.provenance(asked, None, None)[0], "parts are played with three"
    of_two = frozenset(name for name in asked if "/2/" not in name)
    assert "FluidR3, TimGM6mb, and ambience" in provenance.provenance(of_two, None, None)[0]
    sung = provenance.provenance(asked | {"songs/1002/sung0/singing"}, None, None)[0]
    assert "by rule; melodies sung with these voices by WORLD. See" in sung
    assert "sung" not in provenance.provenance(frozenset(name for name in asked if "/sung" not in name), None, None)[0]
    for own in ("musdb18/A song", "songs/my tune.wav", "ambience/rain.flac", "speech/anna"):
        with pytest.raises(ExportError, match=f"heard 1 recordings of {own.split('/')[0]}, .*--training-data and --licence"):
            provenance.provenance(shipped | {own}, None, "CC0-1.0")
        assert provenance.provenance(shipped | {own}, "mine", "CC0-1.0") == ("mine", "CC0-1.0")
    with pytest.raises(ExportError, match="does not say what it was trained on.*--training-data and --licence"):
        provenance.provenance(None, "mine", None)
    assert provenance.provenance(shipped, None, "CC-BY-SA-4.0")[1] == "CC-BY-SA-4.0"


def test_every_name_that_the_shipped_corpus_makes_is_known_as_its_own() -> None:
    made = [track.name for track in voices.tracks(7)] + ["songs/003", "songs/1002/0/bass", "songs/1002/sung0/singing", "ambience/031", "music21/bach/bwv413"]
    made += [f"{source.package}/x" for source in debian.SOURCES]
    assert {provenance.source_of(name) for name in made} == {None}


def test_calls_may_be_longer_than_in_training_and_say_the_same(tmp_path: Path) -> None:
    arguments = ["--checkpoint", "checkpoints/music-5.pt", "--id", "longer", "--weights", str(tmp_path), "--manifest", str(tmp_path / "manifest.toml")]
    export.main([*arguments, "--frames-per-call", "12"])
    _, meta, _ = contract.load(tmp_path / "longer.pt")
    assert meta["frames_per_call"] == 12 and meta["look_ahead_frames"] == 8
    with pytest.raises(SystemExit):
        export.main([*arguments, "--frames-per-call", "0"])
