"""Export a checkpoint as a model file of the plugin, and prove that it still is the network.

The file is written, loaded again, and run call by call beside the whole-clip network;
any mask value that differs by more than 1e-4 fails the export and removes the file.
"""

import argparse
import json
import sys
import warnings
from pathlib import Path

import torch
from torch import nn

from . import contract, manifest
from .contract import ExportError
from .nets import DMMDenseNet, IdentitySeparator, StreamingSeparator

NUM_CHECK_CALLS = 24
LICENCE = "CC-BY-SA-3.0"
TRAINING_DATA = (
    "Debian packages: asterisk-core-sounds-{fr,es,it}-g722, ktuberling-data, hedgewars-data, "
    "wesnoth-1.16-music, warzone2100-music, supertuxkart-data, xmoto-data; flite voices. See models/README.md"
)
LOOK_BACK_FRAMES = 376
"""Reach of the low band, the deepest: 2 frames of the first convolution, 16 per block
times 1+2+4+8+4+2+1 for the resolutions, 12 of the last block, 7 because pools are aligned
to calls; rounded up to calls. The running level (3 s) fades instead of ending."""


def scripted(module: nn.Module) -> torch.jit.ScriptModule:
    """TorchScript, frozen: weights become constants and unused methods go."""
    with warnings.catch_warnings():
        # TorchScript is deprecated upstream, but it is what libtorch loads without Python.
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.freeze(torch.jit.script(module.eval()))


def check_against_whole_clip(path: Path, net: DMMDenseNet) -> float:
    """Largest difference between the file run in calls and the network run at once, two channels."""
    script, meta, _ = contract.load(path)
    spectrum = contract.test_spectrum(NUM_CHECK_CALLS, num_channels=2, seed=2)
    with torch.no_grad():
        whole = net.music_mask(torch.view_as_complex(spectrum))[None]
    called = contract.run_calls(script, spectrum, contract.zero_state(meta["state_shapes"], 2))
    worst = float((called - whole).abs().max())
    if not worst <= contract.TOLERANCE:
        raise ExportError(f"{path}: calls and whole clip differ by {worst:.2e}, allowed {contract.TOLERANCE:.0e}")
    return worst


def export_music(net: DMMDenseNet, version: str, weights: Path, manifest_path: Path) -> Path:
    """Write `music-1.pt` into `weights` and its table into the manifest."""
    net.eval()
    model = StreamingSeparator(net).eval()
    shapes = model.state_shapes()
    script = scripted(model)
    meta = contract.metadata(
        "music-1", "Music & Dialogue", version, LICENCE, TRAINING_DATA, shapes, LOOK_BACK_FRAMES
    )
    return write(script, meta, weights / "music-1.pt", manifest_path, net)


def export_identity(weights: Path, manifest_path: Path) -> Path:
    """Write `identity.pt`: mask 1 everywhere, no state."""
    meta = contract.metadata("identity", "Identity (latency check)", "1.0.0", "CC0-1.0", "none", [], 0)
    return write(scripted(IdentitySeparator()), meta, weights / "identity.pt", manifest_path, None)


def write(
    script: torch.jit.ScriptModule,
    meta: dict,
    path: Path,
    manifest_path: Path,
    net: DMMDenseNet | None,
) -> Path:
    """Save to a temporary name, check, then move into place and update the manifest."""
    draft = path.with_suffix(".draft")
    extra = {
        "underscore.json": json.dumps(meta, indent=1).encode(),
        "test_vector.f32": contract.vector_bytes(script, meta["state_shapes"]),
    }
    contract.save(script, draft, extra)
    try:
        worst = contract.check_vector(draft)
        if net is not None:
            worst = max(worst, check_against_whole_clip(draft, net))
    except ExportError:
        draft.unlink()
        raise
    draft.replace(path)
    manifest.update(manifest_path, manifest.entry(path, meta))
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB, largest difference {worst:.1e}")
    return path


def load_net(checkpoint: Path | None) -> DMMDenseNet:
    """The averaged weights of a checkpoint, or fresh ones for `None`."""
    torch.manual_seed(0)
    net = DMMDenseNet()
    if checkpoint is not None:
        saved = torch.load(checkpoint, map_location="cpu", weights_only=True)
        net.load_state_dict(saved["average"])
    return net.eval()


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m underscore_training.export", description=__doc__.split("\n")[0])
    parser.add_argument("--checkpoint", type=Path, help="checkpoint of `train`; without it the weights are untrained")
    parser.add_argument("--version", default="1.0.0", help="version written into the metadata")
    parser.add_argument("--weights", type=Path, default=Path("../weights"), help="folder of the model files")
    parser.add_argument("--manifest", type=Path, default=Path("../manifest.toml"))
    args = parser.parse_args(argv)
    try:
        net = load_net(args.checkpoint)
        export_identity(args.weights, args.manifest)
        export_music(net, args.version, args.weights, args.manifest)
    except (ExportError, FileNotFoundError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
