"""Write the file by which the plugin brings recurrent weights into oneDNN's order; see `nets.streaming.recurrent`."""

import argparse
import warnings
from pathlib import Path

import torch

from ..nets.streaming.recurrent import PackLSTM


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m underscore_training.export.packer", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("../../plugin/torch/src/pack_lstm.pt"))
    args = parser.parse_args(argv)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(PackLSTM()), str(args.out))
    print(f"{args.out}: {args.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
