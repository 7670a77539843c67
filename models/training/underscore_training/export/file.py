"""Write a model file, and prove that it still is the network before it takes its place."""

import json
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from . import contract, manifest
from .contract import ExportError

NUM_CHECK_FRAMES = 192
"""Three seconds: memories are well filled."""
NUM_CALLS_BEFORE = 3
NUM_CALLS_BESIDE = 4
"""Of a stream that is alone, and then beside another one."""


LAST_INDEX = 2**63 - 1
"""TorchScript's end of a slice that names none."""
KEPT_METHODS = ("recurrent_weights", "use_packed", "flatten_recurrent_weights", "encode")
"""Besides `forward`, where a network has them; see `nets.streaming.recurrent` and `.crn`."""


def scripted(module: nn.Module) -> torch.jit.ScriptModule:
    """TorchScript, frozen: weights become constants, normalisations fold, unused methods go."""
    with warnings.catch_warnings():
        # TorchScript is deprecated upstream, but it is what libtorch loads without Python.
        warnings.simplefilter("ignore", DeprecationWarning)
        script = torch.jit.script(module.eval())
        frozen = torch.jit.freeze(script, preserved_attrs=[name for name in KEPT_METHODS if hasattr(script, name)])
    leave_out_whole_slices(frozen.graph)
    return frozen


def leave_out_whole_slices(graph: torch.Graph) -> None:
    """TorchScript writes `x[:, 1:]` as two slices, the first of which takes all there is and costs an operation all the same."""
    for node in graph.findAllNodes("aten::slice"):
        inputs = list(node.inputs())
        if len(inputs) != 5 or not isinstance(inputs[0].type(), torch.TensorType):
            continue
        constants = [value.toIValue() if value.node().kind() == "prim::Constant" else ... for value in inputs[2:]]
        start, end, step = constants
        if start in (None, 0) and end in (None, LAST_INDEX) and step == 1:
            node.output().replaceAllUsesWith(inputs[0])
            node.destroy()


def check_against_whole_clip(path: Path, net: nn.Module) -> float:
    """Largest difference between the file run in calls and the network run at once: two channels, one channel, and, of a model that is
    asked, one channel asked for each of its presets. Of such a model what it makes of an example, too."""
    script, meta, _ = contract.load(path)
    embedding = contract.test_embedding(meta)
    cases = [("two channels", 2, embedding), ("one channel", 1, embedding)]
    cases += [(f"preset {preset['id']!r}", 1, torch.tensor([preset["embedding"]])) for preset in meta.get("presets", [])]
    worst = 0.0
    for case, num_channels, asked_for in cases:
        difference = _against_whole_clip(script, meta, net, num_channels, asked_for)
        if not difference <= contract.TOLERANCE:
            raise ExportError(f"{path}: {case}: calls and whole clip differ by {difference:.2e}, allowed {contract.TOLERANCE:.0e}")
        worst = max(worst, difference)
    return worst if embedding is None else max(worst, check_encode(path, script, meta, net))


def _against_whole_clip(script: torch.jit.ScriptModule, meta: dict, net: nn.Module, num_channels: int, embedding: Tensor | None) -> float:
    """`embedding` `[1, embedding]`: what is asked for, if anything."""
    ahead = meta["look_ahead_frames"]
    # The clip of a network that takes nothing to follow it is long enough for its end not to be seen.
    needed = NUM_CHECK_FRAMES + max(ahead, net.ahead_frames)
    needed += -needed % meta["frames_per_call"]
    flushed = contract.test_spectrum(contract.grid_of(meta), needed, num_channels, seed=2)
    if net.silence_follows:
        flushed[:, NUM_CHECK_FRAMES:] = 0
    asked = () if embedding is None else (embedding.expand(num_channels, -1),)
    with torch.no_grad():
        given = flushed[:, :NUM_CHECK_FRAMES] if net.silence_follows else flushed
        whole = torch.sigmoid(net.logits(torch.view_as_complex(given.contiguous()).abs(), *asked))[None, :, :NUM_CHECK_FRAMES]
    state = contract.zero_state(meta["state_shapes"], num_channels)
    called = contract.run_calls(script, flushed, state, meta["frames_per_call"], embedding)
    called: Tensor = called[:, :, ahead : ahead + NUM_CHECK_FRAMES]
    return float((called - whole).abs().max())


def check_side_by_side(path: Path) -> float:
    """Largest difference between what streams are given by themselves and beside another one, which began later and is asked for something else where
    they are asked: the plugin runs streams side by side."""
    script, meta, _ = contract.load(path)
    embedding = contract.test_embedding(meta)
    asked = None if embedding is None else torch.cat([embedding, -embedding])
    shapes, per_call = meta["state_shapes"], meta["frames_per_call"]
    num_before = NUM_CALLS_BEFORE * per_call
    # What a look-ahead leaves out is heard, too.
    num_frames = num_before + NUM_CALLS_BESIDE * per_call + meta["look_ahead_frames"]
    num_frames += -num_frames % per_call
    spectrum = contract.test_spectrum(contract.grid_of(meta), num_frames, 2, seed=4)
    # Not alike in anything.
    spectrum[1] = 0.1 * spectrum[1].flip(0)

    def of_one(channel: int) -> Tensor | None:
        return None if asked is None else asked[channel : channel + 1]

    elder, younger = spectrum[:1], spectrum[1:, num_before:]
    alone = [contract.run_calls(script, given, contract.zero_state(shapes, 1), per_call, of_one(idx)) for idx, given in enumerate((elder, younger))]
    _, state = contract.run_on(script, elder[:, :num_before], contract.zero_state(shapes, 1), per_call, of_one(0))
    side_by_side = [torch.cat(pair) for pair in zip(state, contract.zero_state(shapes, 1))]
    together = contract.run_calls(script, spectrum[:, num_before:], side_by_side, per_call, asked)
    worst = float((together - torch.cat([alone[0][:, :, num_before:], alone[1]], dim=1)).abs().max())
    if not worst <= contract.TOLERANCE:
        raise ExportError(f"{path}: a stream beside another one differs by {worst:.2e} from what it is alone, allowed {contract.TOLERANCE:.0e}")
    return worst


def check_encode(path: Path, script: torch.jit.ScriptModule, meta: dict, net: nn.Module) -> float:
    """Largest difference between what the file's `encode` and the network's query make of an example, mean and log-variance."""
    example = contract.test_spectrum(contract.grid_of(meta), meta["query_frames"], seed=3)
    with torch.no_grad():
        pairs = zip(script.encode(example), net.query(torch.view_as_complex(example).abs()))
        worst = max(float((encoded - told).abs().max()) for encoded, told in pairs)
    if not worst <= contract.TOLERANCE:
        raise ExportError(f"{path}: `encode` and the network's query differ by {worst:.2e}, allowed {contract.TOLERANCE:.0e}")
    return worst


def listens_alike(path: Path, net: nn.Module) -> bool:
    """Whether the file at `path` makes of an example what `net` makes of it."""
    script, meta, _ = contract.load(path)
    try:
        check_encode(path, script, meta, net)
    except (ExportError, RuntimeError, AttributeError):
        return False
    return True


def write(model: nn.Module, meta: dict, path: Path, manifest_path: Path, net: nn.Module | None) -> float:
    """Save to a temporary name, check, draft the manifest, move both into place. Returns the largest difference.

    `net` is the whole-clip network that the file must agree with; none where there is nothing to compare.
    """
    draft = path.with_suffix(".draft")
    script = scripted(model)
    extra = {
        "underscore.json": json.dumps(meta, indent=1).encode(),
        "test_vector.f32": contract.vector_bytes(script, meta),
    }
    try:
        contract.save(script, draft, extra)
        worst = contract.check_vector(draft)
        if all(shape[:1] == [-1] for shape in meta["state_shapes"]):
            worst = max(worst, check_side_by_side(draft))
        if net is not None:
            worst = max(worst, check_against_whole_clip(draft, net))
    except (OSError, RuntimeError) as error:
        draft.unlink(missing_ok=True)
        raise ExportError(f"{path}: cannot be written ({error}); what was there is kept") from error
    except ExportError:
        draft.unlink(missing_ok=True)
        raise
    try:
        # Before the weights are replaced: the engine refuses weights that the manifest does not know.
        manifest_draft = manifest.drafted(manifest_path, manifest.entry(draft, meta, path.name))
    except (OSError, ValueError, KeyError, TypeError) as error:
        draft.unlink(missing_ok=True)
        raise ExportError(
            f"{manifest_path}: cannot be read or written again ({error}); expected a list of `[[model]]` tables in a folder with room. "
            "Weights and manifest are as they were"
        ) from error
    try:
        draft.replace(path)
        manifest_draft.replace(manifest_path)
    except OSError as error:
        for left in (draft, manifest_draft):
            left.unlink(missing_ok=True)
        raise ExportError(f"{path} or {manifest_path}: cannot be replaced ({error}): run the same command again when it can be") from error
    return worst
