"""Hosts the built VST3 bundle in pedalboard, a host that activates the main bus only, and checks what its user would hear.

    python check.py UNDERSCORE.vst3

Prints one line per check and, at the end, `N passed, N failed in N s`. Exit status 1 if one failed. Needs the packages of
requirements.txt beside this file.
"""

import pathlib
import sys
import time

import numpy as np
import pedalboard
from pedalboard.io import AudioFile

FIXTURE = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "programme"
BUFFER_SIZES = (64, 512, 1024, 8192)


def read(name: str) -> tuple[np.ndarray, float]:
    """A file of the fixture as [channel, sample], and its rate in Hz."""
    with AudioFile(str(FIXTURE / f"{name}.flac")) as file:
        return file.read(file.frames), file.samplerate


def sdr_db(target: np.ndarray, estimate: np.ndarray) -> float:
    """Energy of the target over energy of the error, dB."""
    return float(10 * np.log10(np.sum(target**2) / np.sum((target - estimate) ** 2)))


def peak_db(signal: np.ndarray) -> float:
    """Largest absolute sample, dBFS."""
    return float(20 * np.log10(np.max(np.abs(signal)) + 1e-20))


def main() -> int:
    began = time.monotonic()
    dialogue, rate_hz = read("dialogue")
    music, _ = read("music")
    mixture = dialogue + music
    plugin = pedalboard.load_plugin(sys.argv[1])
    results: list[bool] = []

    def check(what: str, passed: bool) -> None:
        results.append(bool(passed))
        print(f"{'ok    ' if passed else 'FAILED'} {what}")

    # pedalboard cuts the reported latency off, so what is left must line up with the input.
    for buffer_size in BUFFER_SIZES:
        error_db = peak_db(plugin(mixture, rate_hz, buffer_size=buffer_size) - mixture)
        check(f"blocks of {buffer_size}: faders at 0 dB give the delayed input to {error_db:.1f} dBFS", error_db < -120)

    plugin.bypass = True
    check("bypass gives the delayed input bit for bit", np.array_equal(plugin(mixture, rate_hz), mixture))
    plugin.bypass = False

    plugin.dialogue_mute = True
    estimates = [plugin(mixture, rate_hz, buffer_size=size) for size in BUFFER_SIZES]
    before_db, after_db = sdr_db(music, mixture), sdr_db(music, estimates[0])
    check(f"dialogue muted: music SDR {before_db:.2f} dB in, {after_db:.2f} dB out", after_db - before_db > 3)
    for buffer_size, estimate in zip(BUFFER_SIZES[1:], estimates[1:]):
        same = np.array_equal(estimate, estimates[0])
        check(f"a bounce in blocks of {buffer_size} has the same bits as in blocks of {BUFFER_SIZES[0]}", same)
    plugin.dialogue_mute = False

    # Another instance: a host asks for the channels that it has before it plays.
    on_mono = pedalboard.load_plugin(sys.argv[1])
    for mono in (mixture[:1], mixture[1:]):
        error_db = peak_db(on_mono(mono, rate_hz) - mono)
        check(f"on a mono track faders at 0 dB give the delayed input to {error_db:.1f} dBFS", error_db < -120)
    on_mono.dialogue_mute = True
    before_db, after_db = sdr_db(music[:1], mixture[:1]), sdr_db(music[:1], on_mono(mixture[:1], rate_hz))
    check(f"on a mono track: music SDR {before_db:.2f} dB in, {after_db:.2f} dB out", after_db - before_db > 3)
    on_mono.dialogue_mute = False
    error_db = peak_db(on_mono(mixture, rate_hz) - mixture)
    check(f"on a stereo track after that the delayed input to {error_db:.1f} dBFS", error_db < -120)

    print(f"{sum(results)} passed, {len(results) - sum(results)} failed in {time.monotonic() - began:.1f} s")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
