"""What may happen to a sound before it is mixed. Signals are float32 `[sample]`; levels are restored by the caller."""

import io

import numpy as np
import soundfile
from scipy import fft
from scipy.signal import resample_poly

TILT_DB = 11.0
"""Largest gain of the random equaliser at each of its nodes."""
OPUS_RATE_HZ = 48_000
ENVELOPE_HOP_S = 0.008


def stretched(signal: np.ndarray, num_samples: int) -> np.ndarray:
    """The signal played faster or slower so that it has `num_samples`: pitch and formants move with it.

    Exact for periodic signals; the ends ring into each other for a few samples.
    """
    spectrum = fft.rfft(signal)
    return fft.irfft(spectrum, num_samples) * np.float32(num_samples / signal.size)


def equalised(signal: np.ndarray, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """A smooth random gain over frequency: seven nodes, one and a half octaves apart, the top one at half the rate."""
    nodes_hz = rate_hz / 2 * 2.0 ** (-1.5 * np.arange(6, -1, -1))
    gains_db = rng.uniform(-TILT_DB, TILT_DB, nodes_hz.size)
    frequencies_hz = np.fft.rfftfreq(signal.size, 1 / rate_hz)
    curve_db = np.interp(np.log2(frequencies_hz + 1), np.log2(nodes_hz + 1), gains_db)
    return fft.irfft(fft.rfft(signal) * (10 ** (curve_db / 20)).astype(np.float32), signal.size)


def band_limited(signal: np.ndarray, rate_hz: int, low_hz: float, high_hz: float) -> np.ndarray:
    """Nothing below `low_hz` and above `high_hz`, with edges a tenth wide."""
    hz = np.fft.rfftfreq(signal.size, 1 / rate_hz)
    gain = np.clip((high_hz - hz) / (0.1 * high_hz), 0, 1)
    if low_hz > 0:
        gain = gain * np.clip((hz - low_hz) / (0.3 * low_hz) + 1, 0, 1)
    return fft.irfft(fft.rfft(signal) * gain.astype(np.float32), signal.size)


def telephone(signal: np.ndarray, rate_hz: int) -> np.ndarray:
    """300 to 3400 Hz and eight bits by the mu-law (ITU-T G.711)."""
    narrow = band_limited(signal, rate_hz, 300, 3400)
    peak = max(float(np.abs(narrow).max()), 1e-9)
    compressed = np.sign(narrow) * np.log1p(255 * np.abs(narrow) / peak) / np.log(256)
    rounded = np.round(compressed * 127) / 127
    return (np.sign(rounded) * np.expm1(np.abs(rounded) * np.log(256)) / 255 * peak).astype(np.float32)


def extended_upward(signal: np.ndarray, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Speech recorded at 16 kHz given a treble: its 4-7.5 kHz moved up to where nothing is, softer with each step.

    Above 7.5 kHz speech is noise whose loudness follows that of the band below, so that a
    copy teaches the right thing: treble comes and goes with the sibilants.
    """
    spectrum = fft.rfft(signal)
    per_hz = signal.size / rate_hz
    low, high = round(4000 * per_hz), round(7500 * per_hz)
    band = spectrum[low:high]
    gain_db = rng.uniform(-9, 0)
    start = high
    while start < spectrum.size:
        width = min(band.size, spectrum.size - start)
        # Falls by some 10 dB from copy to copy and within each.
        slope = (10 ** (np.linspace(gain_db, gain_db - 10, band.size)[:width] / 20)).astype(np.float32)
        spectrum[start : start + width] += band[:width] * slope
        start += band.size
        gain_db -= rng.uniform(6, 12)
    return fft.irfft(spectrum, signal.size)


def in_room(signal: np.ndarray, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """A room: the direct sound, some reflections, and a tail of decaying noise that loses its treble first."""
    reverberation_s = rng.uniform(0.12, 0.7)
    num_taps = int(reverberation_s * rate_hz)
    time_s = np.arange(num_taps) / rate_hz
    tail = rng.standard_normal(num_taps) * 10 ** (-3 * time_s / reverberation_s)
    smooth = rng.uniform(0, 0.8)
    tail[1:] = (1 - smooth) * tail[1:] + smooth * tail[:-1]
    tail[: int(0.002 * rate_hz)] = 0
    for _ in range(6):
        tail[int(rng.uniform(0.002, 0.03) * rate_hz)] += rng.uniform(-3, 3)
    tail *= 10 ** (rng.uniform(-14, -1) / 20) / max(float(np.sqrt(np.sum(tail**2))), 1e-9)
    tail[0] += 1
    tail = tail.astype(np.float32)
    size = fft.next_fast_len(signal.size + num_taps - 1, real=True)
    return fft.irfft(fft.rfft(signal, size) * fft.rfft(tail, size), size)[: signal.size]


def coded(signal: np.ndarray, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Through MP3 or Opus at a low or middling bit rate, aligned and of the same length."""
    peak = max(float(np.abs(signal).max()), 1e-9)
    form, rate = ("OPUS", OPUS_RATE_HZ) if rng.random() < 0.5 else ("MP3", rate_hz)
    scaled = (signal * (0.7 / peak)).astype(np.float32)
    if rate != rate_hz:
        scaled = resample_poly(scaled, rate // 1000, rate_hz // 1000)
    file = io.BytesIO()
    options = {"format": "OGG", "subtype": "OPUS"} if form == "OPUS" else {"format": "MP3", "subtype": "MPEG_LAYER_III"}
    level = float(rng.uniform(0.82, 0.93)) if form == "OPUS" else float(rng.uniform(0.3, 0.9))
    soundfile.write(file, scaled, rate, compression_level=level, **options)
    file.seek(0)
    decoded, _ = soundfile.read(file, dtype="float32")
    if rate != rate_hz:
        decoded = resample_poly(decoded, rate_hz // 1000, rate // 1000)
    out = np.zeros(signal.size, np.float32)
    used = min(out.size, decoded.size)
    out[:used] = decoded[:used]
    return out * (peak / 0.7)


def envelope_db(signal: np.ndarray, rate_hz: int, attack_s: float, release_s: float) -> np.ndarray:
    """Level `[hop]` every 8 ms, rising with one time constant and falling with another."""
    hop = int(ENVELOPE_HOP_S * rate_hz)
    num_hops = -(-signal.size // hop)
    padded = np.pad(signal, (0, num_hops * hop - signal.size)).reshape(num_hops, hop)
    raw_db = 10 * np.log10(np.mean(padded**2, axis=1) + 1e-9)
    rise, fall = (np.exp(-ENVELOPE_HOP_S / time_s) for time_s in (attack_s, release_s))
    level, out = float(raw_db[0]), np.empty(num_hops)
    for idx, target in enumerate(raw_db):
        keep = rise if target > level else fall
        level = keep * level + (1 - keep) * target
        out[idx] = level
    return out


def gain_curve(gain_db: np.ndarray, rate_hz: int, num_samples: int) -> np.ndarray:
    """Gains given every 8 ms, linear and interpolated to samples."""
    at = np.arange(gain_db.size) * int(ENVELOPE_HOP_S * rate_hz)
    return np.interp(np.arange(num_samples), at, 10 ** (gain_db / 20)).astype(np.float32)


def compression_gain(signal: np.ndarray, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """The gain `[sample]` of a broadcast compressor for this signal: ratio 2 to 6 above its mean level."""
    level_db = envelope_db(signal, rate_hz, rng.uniform(0.005, 0.04), rng.uniform(0.08, 0.5))
    threshold_db = float(np.percentile(level_db, rng.uniform(30, 70)))
    ratio = rng.uniform(2, 6)
    return gain_curve(-np.maximum(level_db - threshold_db, 0) * (1 - 1 / ratio), rate_hz, signal.size)


def ducking_gain(speech: np.ndarray, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """The gain `[sample]` of music that makes way for speech, as a broadcaster's desk does it."""
    level_db = envelope_db(speech, rate_hz, rng.uniform(0.05, 0.3), rng.uniform(0.3, 1.2))
    is_speech = np.clip((level_db + 30) / 12, 0, 1)
    return gain_curve(-rng.uniform(4, 14) * is_speech, rate_hz, speech.size)


def present_in_part(num_samples: int, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """A gain `[sample]` that leaves a part of a clip: it begins late, ends early, or pauses, with a short fade."""
    fade_s = 10 ** rng.uniform(-2, 0)
    begin, end = np.sort(rng.uniform(0, num_samples, 2))
    at = np.arange(num_samples)
    step = max(fade_s * rate_hz, 1.0)
    rising = np.clip((at - begin) / step, 0, 1)
    falling = np.clip((end - at) / step, 0, 1)
    kind = rng.integers(3)
    gain = rising if kind == 0 else falling if kind == 1 else 1 - rising * falling
    return gain.astype(np.float32)


def coloured_noise(num_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Stationary noise between white and brown, RMS 1."""
    spectrum = fft.rfft(rng.standard_normal(num_samples))
    spectrum *= np.maximum(np.arange(spectrum.size), 50.0) ** -rng.uniform(0, 1)
    noise = fft.irfft(spectrum, num_samples)
    return (noise / np.sqrt(np.mean(noise**2))).astype(np.float32)


POP_RISE_DB = 9.0
"""A syllable begins where the level rises by this much within three hops of the envelope."""


def close_to_the_microphone(signal: np.ndarray, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """A voice (RMS about 1) as a microphone without a filter before it hears it: plosives pop, air and stands rumble.

    Both lie below 150 Hz, where a mixture otherwise has kick drums and basses only: a network that was never
    told gives every pop to the music.
    """
    kind = rng.random()
    noise = np.zeros(signal.size, np.float32)
    if kind < 0.75:
        noise += pops(signal, rate_hz, rng)
    if kind > 0.55:
        noise += rumble(signal.size, rate_hz, rng) * np.float32(10 ** (rng.uniform(-30, -8) / 20))
    return signal + noise


def pops(signal: np.ndarray, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Bursts of air at the beginning of some syllables: a damped swing of 12 to 90 Hz, roughened, that falls by 26 dB in 30 to 250 ms."""
    level_db = envelope_db(signal, rate_hz, 0.004, 0.06)
    rises = np.flatnonzero((level_db[3:] - level_db[:-3] > POP_RISE_DB) & (level_db[3:] > -25))
    out = np.zeros(signal.size, np.float32)
    share, loudness_db = rng.uniform(0.1, 0.8), rng.uniform(-12, 6)
    last_s = -1.0
    for rise in rises:
        # Up to 60 ms before the voice, as air is ahead of it.
        begin_s = rise * ENVELOPE_HOP_S - rng.uniform(0, 0.06)
        if begin_s < last_s + 0.12 or rng.random() > share:
            continue
        last_s = begin_s
        begin = max(int(begin_s * rate_hz), 0)
        length_s = 0.03 * 8 ** rng.uniform(0, 1)
        time_s = np.arange(min(int(1.6 * length_s * rate_hz), out.size - begin)) / rate_hz
        swing_hz = 12 * 7.5 ** rng.uniform(0, 1)
        # Slows down as the air does, and no two swings are alike.
        wander = np.interp(time_s, np.linspace(0, 1.6 * length_s, 8), rng.standard_normal(8)) * rng.uniform(0, 1.2)
        phase = 2 * np.pi * swing_hz * time_s * (1 - 0.2 * time_s / length_s) + wander + rng.uniform(0, 2 * np.pi)
        envelope = np.minimum(time_s / rng.uniform(0.004, 0.025), 1) * np.exp(-3 * time_s / length_s)
        envelope *= np.clip((1.6 * length_s - time_s) / 0.01, 0, 1)
        gain = 10 ** ((loudness_db + rng.uniform(-8, 4)) / 20)
        out[begin : begin + time_s.size] += (2 * gain * envelope * np.sin(phase)).astype(np.float32)
    return out


def rumble(num_samples: int, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Noise below 40 to 150 Hz that swells and falls within tenths of a second to seconds, RMS 1."""
    hz = np.fft.rfftfreq(num_samples, 1 / rate_hz)
    edge_hz = rng.uniform(40, 150)
    spectrum = fft.rfft(rng.standard_normal(num_samples)) * (hz > 8) / (1 + (hz / edge_hz) ** 6)
    nodes = max(int(num_samples / rate_hz * 10 ** rng.uniform(-0.3, 0.8)), 2)
    swell = np.interp(np.arange(num_samples), np.linspace(0, num_samples, nodes), rng.uniform(0, 1, nodes) ** 2)
    noise = fft.irfft(spectrum, num_samples) * swell
    return (noise / max(float(np.sqrt(np.mean(noise**2))), 1e-9)).astype(np.float32)
