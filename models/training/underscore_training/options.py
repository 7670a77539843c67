"""Values on the command line that more than one command takes."""

import argparse


def whole(text: str) -> int:
    """A number of things: at least one."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not at least 1")
    return value


def seconds(text: str) -> float:
    """The length of a clip."""
    value = float(text)
    if not 1 <= value <= 60:
        raise argparse.ArgumentTypeError(f"{value:g} is not between 1 and 60")
    return value
