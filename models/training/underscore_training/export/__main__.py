"""Export a checkpoint as a model file of the plugin, and prove that it still is the network.

The file is written, loaded again, and run call by call beside the whole-clip network; any
mask value that differs by more than 1e-4 fails the export, and what was there stays.
"""

import argparse
import sys
from pathlib import Path

from ..corpus.errors import CorpusError
from ..nets.asked import AskedCRN
from ..nets.streaming import DoesNotStream, IdentitySeparator, streaming
from ..nets.systems import UnknownSystem
from ..train.checkpoint import CheckpointError, keep_average, load_network
from . import contract, file
from .contract import ExportError
from .provenance import LICENCE, provenance
from .space import Space


def space_of(parser: argparse.ArgumentParser, args: argparse.Namespace, net: AskedCRN) -> Space:
    if args.corpus:
        return Space.learnt(net, args.corpus)
    if not args.space:
        parser.error("a network that is asked needs --corpus, for its presets, or --space")
    try:
        meta = contract.load(args.space)[1]
    except contract.ExportError as error:
        parser.error(f"--space: expected a model file that `export` wrote: {str(error).splitlines()[0]}")
    if not file.listens_alike(args.space, net):
        parser.error(f"--space {args.space}: it listens otherwise than {args.checkpoint}; its presets would lie elsewhere: name --corpus")
    return Space.of_metadata(meta)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m underscore_training.export", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--checkpoint", type=Path, help="checkpoint of `train`; without it the identity is written")
    parser.add_argument("--id", help="permanent id, new for new weights: sessions are saved with it")
    parser.add_argument("--name", default="Music & Dialogue", help="the name that people see")
    parser.add_argument("--version", default="1.0.0", help="version written into the metadata")
    parser.add_argument("--licence", help=f"under which the file is given (of a network of the shipped corpus alone: {LICENCE}; else needed)")
    parser.add_argument("--training-data", help="what it was trained on, in words (of a network of the shipped corpus alone: that; else needed)")
    parser.add_argument("--weights", type=Path, default=Path("../weights"), help="folder of the model files")
    parser.add_argument("--manifest", type=Path, default=Path("../manifest.toml"))
    parser.add_argument("--keep", type=Path, metavar="FILE", help="also write the averaged weights alone, to go on from")
    parser.add_argument(
        "--frames-per-call", type=int, metavar="N",
        help="how many frames a call takes (default: what the network is made for); more cost latency and save work",
    )
    parser.add_argument("--corpus", type=Path, metavar="DIR", help="of a network that is asked: whose classes' means are its presets")
    parser.add_argument("--space", type=Path, metavar="FILE", help="the same, as the model file has them that was made of this checkpoint before")
    args = parser.parse_args(argv)
    if args.keep and not args.checkpoint:
        parser.error("--keep needs --checkpoint")
    if args.frames_per_call is not None and not args.checkpoint:
        parser.error("--frames-per-call needs --checkpoint")
    if args.checkpoint and not args.id:
        parser.error("--checkpoint needs --id: a name that no other weights had, like music-5")
    try:
        if args.checkpoint:
            loaded = load_network(args.checkpoint)
            net = loaded.net
            training_data, licence = provenance(loaded.heard, args.training_data, args.licence)
            space = None
            if isinstance(net, AskedCRN):
                space = space_of(parser, args, net)
            multiple = getattr(net, "frame_multiple", 1)
            if args.frames_per_call is not None and (args.frames_per_call < 1 or args.frames_per_call % multiple):
                parser.error(f"--frames-per-call: expected a multiple of {multiple}, got {args.frames_per_call}")
            job = (
                streaming(net, args.frames_per_call), net, args.id, args.name, args.version, licence, training_data, loaded.gmac_per_s, space
            )
        else:
            job = (IdentitySeparator(), None, "identity", "Identity (latency check)", "1.0.0", "CC0-1.0", "none")
        model, net, model_id, *about = job
        meta = contract.metadata(model, model_id, *about)
        path = args.weights / f"{model_id}.pt"
        worst = file.write(model, meta, path, args.manifest, net)
        print(f"{path}: {path.stat().st_size / 1e6:.2f} MB, largest difference {worst:.1e}")
        if args.keep:
            keep_average(args.checkpoint, args.keep)
            print(f"{args.keep}: {args.keep.stat().st_size / 1e6:.2f} MB, the averaged weights")
    except (CheckpointError, CorpusError, DoesNotStream, ExportError, UnknownSystem) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
