"""Samples that are those of others."""

import struct
from pathlib import Path

import numpy as np
import pytest

from underscore_training.corpus import likeness
from underscore_training.corpus.errors import CorpusError


def soundfont(path: Path, samples: dict[str, np.ndarray]) -> Path:
    """With what of one is read: values, and headers that end with one of their own."""
    values, headers, at = b"", b"", 0
    for name, sample in [*samples.items(), ("EOS", np.zeros(0, np.int16))]:
        values += sample.astype("<i2").tobytes()
        headers += struct.pack("<20s5I2B2H", name.encode(), at, at + sample.size, 0, 0, 44_100, 60, 0, 0, 1)
        at += sample.size
    path.write_bytes(b"".join(name + struct.pack("<I", len(chunk)) + chunk for name, chunk in ((b"smpl", values), (b"shdr", headers))))
    return path


def patch(path: Path, sample: np.ndarray, is_unsigned: bool) -> Path:
    header = bytearray(96)
    header[8:12], header[55] = struct.pack("<I", 2 * sample.size), 1 | 2 * is_unsigned
    layer = bytearray(47)
    layer[6] = 1
    values = (sample ^ np.int16(-32768)) if is_unsigned else sample
    path.write_bytes(bytes(129 + 63) + bytes(layer) + bytes(header) + values.astype("<i2").tobytes())
    return path


@pytest.mark.parametrize("is_unsigned", [False, True])
def test_a_copy_is_found_wherever_it_lies_and_however_loud_and_what_is_none_is_not(tmp_path: Path, is_unsigned: bool) -> None:
    rng = np.random.default_rng(3)
    noise, other, own = (rng.integers(-9000, 9000, 20_000).astype(np.int16) for _ in range(3))
    beside = {"other.sf2": likeness.Shelf(likeness.samples(soundfont(tmp_path / "other.sf2", {"a": other, "b": noise})))}
    copied = soundfont(tmp_path / "own.sf2", {"copy": noise[700:] // 2, "own": own, "short": own[:100], "silent": np.zeros(9000, np.int16)})
    (best, name, of), (next_best, next_name, _) = likeness.likeness(likeness.samples(copied), beside)
    assert name == "copy" and of == "other.sf2: b" and best > 0.999 and next_name == "own" and next_best < 0.2
    (tmp_path / "patches").mkdir()
    patch(tmp_path / "patches" / "001_Copy.pat", noise[700:] // 2, is_unsigned)
    assert likeness.likeness(likeness.samples(tmp_path / "patches"), beside)[0][:2] == (pytest.approx(1.0, abs=1e-3), "001_Copy:0")


def test_what_is_no_soundfont_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "x.sf2").write_bytes(b"nothing")
    with pytest.raises(CorpusError, match="x.sf2: expected a soundfont"):
        likeness.samples(tmp_path / "x.sf2")
