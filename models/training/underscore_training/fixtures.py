"""Model files that the plugin must refuse, for its tests."""

import argparse
import json
from pathlib import Path

from .export import contract
from .export.file import scripted
from .nets.streaming import IdentitySeparator


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m underscore_training.fixtures", description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("../../tests/fixtures/models"))
    args = parser.parse_args(argv)
    model = IdentitySeparator()
    script = scripted(model)
    meta = contract.metadata(model, "identity", "Identity (latency check)", "1.0.0", "CC0-1.0", "none")
    meta["schema_version"] = 99
    # No test vector: a reader must stop at the schema version, before it looks for one.
    contract.save(script, args.out / "wrong_schema.pt", {"underscore.json": json.dumps(meta, indent=1).encode()})
    contract.save(script, args.out / "no_metadata.pt", {})
    for path in sorted(args.out.iterdir()):
        print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
