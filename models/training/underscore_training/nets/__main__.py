"""Size, arithmetic and look-ahead of the systems, as a Markdown table."""

import argparse
import sys

from .complexity import gmac_per_s, look_ahead_ms, num_parameters
from .systems import SYSTEMS, UnknownSystem, build


def table(systems: list[str]) -> str:
    lines = ["| System | Parameters | GMAC per second | Look-ahead |", "|---|---|---|---|"]
    for system in systems:
        net = build(system)
        lines.append(f"| {system} | {num_parameters(net):,} | {gmac_per_s(net):.2f} | {look_ahead_ms(net):.0f} ms |")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m underscore_training.nets", description=__doc__)
    parser.add_argument("systems", nargs="*", metavar="system", help=f"one of {', '.join(SYSTEMS)}; without any, all")
    args = parser.parse_args(argv)
    try:
        print(table(args.systems or list(SYSTEMS)))
    except UnknownSystem as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
