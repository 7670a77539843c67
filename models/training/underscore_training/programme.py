"""The demo programme: real speech and real music, both held out from training.

48 kHz, stereo, 16 bit, 12 s each, equal RMS, their sum below full scale. The music is
cut off gently above 12 kHz and both are 27 dB below full scale in RMS, which keeps
the files small.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile

RATE_HZ = 48_000
LENGTH_S = 12
RMS_DB = -27.0
MUSIC = ("warzone2100-music", "usr/share/games/warzone2100/music/albums/aftermath_soundtrack/track27.opus")
MUSIC_START_S = 324
SPEECH = ("asterisk-core-sounds-ru-g722", "usr/share/asterisk/sounds/ru_RU_f_IvrvoiceRU")
PROMPTS = ("vm-intro", "conf-adminmenu", "vm-options", "queue-callswaiting", "invalid")
GAP_S = 0.35
FADE_S = 0.05

ATTRIBUTION = """\
# Programme: where it comes from

| File | Source | Author | Licence |
|---|---|---|---|
| `dialogue.flac` | Debian package `asterisk-core-sounds-ru-g722` 1.6.1-1, prompts {prompts} of `ru_RU_f_IvrvoiceRU`, joined with pauses of {gap} s | Maxim Topal, ivrvoice.ru | [CC-BY-3.0](https://creativecommons.org/licenses/by/3.0/) |
| `music.flac` | Debian package `warzone2100-music` 4.3.3-3, "Launch Codes" (`aftermath_soundtrack/track27.opus`) from {start} s, low-passed at 12 kHz | LupusMechanicus, 2021-2022 | [CC-BY-SA-3.0](https://creativecommons.org/licenses/by-sa/3.0/) or later, or GPL-2+ |

Changes: resampled to 48 kHz stereo, cut to {length} s, faded at both ends, both set to
{rms:g} dB RMS. The mixture is the sum of the two files. `music.flac` keeps its licence:
CC-BY-SA-3.0. Neither the speaker nor the piece is in the training corpus.

Made by `python -m underscore_training.programme` in `models/training`.
"""


def decode(path: Path, *options: str) -> np.ndarray:
    """An audio file -> float64 `[sample, 2]` at 48 kHz."""
    form = ["-f", "g722"] if path.suffix == ".g722" else []
    command = ["ffmpeg", "-v", "error", "-nostdin", *form, "-i", str(path), *options]
    command += ["-ac", "2", "-ar", str(RATE_HZ), "-f", "f32le", "-"]
    done = subprocess.run(command, capture_output=True, check=True)
    return np.frombuffer(done.stdout, np.float32).reshape(-1, 2).astype(np.float64)


def faded(signal: np.ndarray) -> np.ndarray:
    ramp = np.sin(np.linspace(0, np.pi / 2, int(FADE_S * RATE_HZ))) ** 2
    signal[: ramp.size] *= ramp[:, None]
    signal[-ramp.size :] *= ramp[::-1, None]
    return signal


def levelled(signal: np.ndarray) -> np.ndarray:
    return signal * 10 ** (RMS_DB / 20) / np.sqrt(np.mean(signal**2))


def dialogue(packages: Path) -> np.ndarray:
    """The prompts in order, with pauses, cut to the length."""
    gap = np.zeros((int(GAP_S * RATE_HZ), 2))
    parts = [gap]
    for prompt in PROMPTS:
        signal = decode(packages / SPEECH[0] / SPEECH[1] / f"{prompt}.g722")
        loud = np.flatnonzero(np.abs(signal[:, 0]) > 0.01)
        parts += [signal[loud[0] : loud[-1]], gap]
    joined = np.concatenate(parts)
    if joined.shape[0] < LENGTH_S * RATE_HZ:
        raise ValueError(f"the prompts last {joined.shape[0] / RATE_HZ:.1f} s, {LENGTH_S} s are needed")
    return joined[: LENGTH_S * RATE_HZ]


def music(packages: Path) -> np.ndarray:
    cut = ("-ss", str(MUSIC_START_S), "-t", str(LENGTH_S), "-af", "lowpass=f=12000,lowpass=f=12000")
    return decode(packages / MUSIC[0] / MUSIC[1], *cut)[: LENGTH_S * RATE_HZ]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m underscore_training.programme", description=__doc__.split("\n")[0])
    parser.add_argument("--packages", type=Path, default=Path("packages"), help="folder of unpacked packages")
    parser.add_argument("--out", type=Path, default=Path("../../tests/fixtures/programme"))
    args = parser.parse_args(argv)
    try:
        stems = {"dialogue": dialogue(args.packages), "music": music(args.packages)}
    except (FileNotFoundError, subprocess.CalledProcessError, ValueError) as error:
        sys.exit(f"error: {error}; is ffmpeg installed, and are the packages unpacked in {args.packages}?")
    stems = {name: levelled(faded(np.array(signal))) for name, signal in stems.items()}
    peak = np.abs(sum(stems.values())).max()
    if peak >= 1:
        sys.exit(f"error: the mixture peaks at {peak:.2f}; lower RMS_DB")
    args.out.mkdir(parents=True, exist_ok=True)
    for name, signal in stems.items():
        path = args.out / f"{name}.flac"
        soundfile.write(path, signal, RATE_HZ, subtype="PCM_16", format="FLAC", compression_level=1.0)
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB, peak {np.abs(signal).max():.2f}")
    text = ATTRIBUTION.format(
        prompts=", ".join(f"`{name}`" for name in PROMPTS),
        gap=GAP_S, start=MUSIC_START_S, length=LENGTH_S, rms=RMS_DB,
    )
    (args.out / "ATTRIBUTION.md").write_text(text)


if __name__ == "__main__":
    main()
