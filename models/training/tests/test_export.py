"""Model files: the contract's metadata, the round trip, and the refusals."""

import json
import tomllib
from pathlib import Path

import pytest
import torch

from underscore_training import contract, fixtures
from underscore_training.contract import ExportError
from underscore_training.export import export_identity, export_music
from underscore_training.nets import DMMDenseNet


def test_round_trip(net: DMMDenseNet, tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.toml"
    export_identity(tmp_path, manifest)
    path = export_music(net, "1.2.3", tmp_path, manifest)
    assert contract.check_vector(path) <= contract.TOLERANCE
    _, meta, vector = contract.load(path)
    assert meta["version"] == "1.2.3" and meta["schema_version"] == 1
    assert len(vector) == 4 * 3 * 8 * 513 * (2 + 1)
    models = {table["id"]: table for table in tomllib.loads(manifest.read_text())["model"]}
    assert set(models) == {"music-1", "identity"}
    assert models["music-1"]["stems"] == ["music", "dialogue"]
    # A second export replaces the table instead of adding one.
    export_identity(tmp_path, manifest)
    assert len(tomllib.loads(manifest.read_text())["model"]) == 2


def test_two_channels_are_two_single_ones(net: DMMDenseNet, tmp_path: Path) -> None:
    path = export_music(net, "1.0.0", tmp_path, tmp_path / "manifest.toml")
    script, meta, _ = contract.load(path)
    shapes = meta["state_shapes"]
    spectrum = contract.test_spectrum(3, num_channels=2)
    both = contract.run_calls(script, spectrum, contract.zero_state(shapes, 2))
    for channel in range(2):
        alone = contract.run_calls(script, spectrum[channel : channel + 1], contract.zero_state(shapes, 1))
        assert (both[:, channel : channel + 1] - alone).abs().max() < 1e-5


def test_a_wrong_vector_is_refused(net: DMMDenseNet, tmp_path: Path) -> None:
    path = export_identity(tmp_path, tmp_path / "manifest.toml")
    script, meta, vector = contract.load(path)
    broken = bytearray(vector)
    broken[-4:] = contract.little_endian(torch.tensor([0.5]))
    contract.save(script, path, {"underscore.json": json.dumps(meta).encode(), "test_vector.f32": bytes(broken)})
    with pytest.raises(ExportError, match="differs by"):
        contract.check_vector(path)


def test_fixture_models(tmp_path: Path) -> None:
    fixtures.main(["--out", str(tmp_path)])
    extra = {"underscore.json": ""}
    torch.jit.load(str(tmp_path / "wrong_schema.pt"), _extra_files=extra)
    assert json.loads(extra["underscore.json"])["schema_version"] == 99
    assert all(path.stat().st_size < 10_000 for path in tmp_path.iterdir())


def test_shipped_files_match_the_manifest() -> None:
    models = Path(__file__).parents[2]
    for table in tomllib.loads((models / "manifest.toml").read_text())["model"]:
        path = models / "weights" / table["file"]
        from underscore_training.manifest import entry

        _, meta, _ = contract.load(path)
        assert entry(path, meta) == table
        assert contract.check_vector(path) <= contract.TOLERANCE
