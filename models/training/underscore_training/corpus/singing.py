"""Sung voices: people who speak, made to sing the melody of a score.

Nobody who may be trained on sings in the sources. WORLD (Morise, Yokomori and Ozawa 2016) takes speech apart into pitch, spectral envelope and aperiodicity, frame by
frame; here each note of a melody is given the next syllable that was spoken: its consonants as they were, its vowel held for as long as the note
lasts, and the pitch of the score, which glides from note to note and trembles on long ones. What is left of the speaker is the voice.
"""

import random
from dataclasses import dataclass, replace
from pathlib import Path

import mido
import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks

from .decode import Undecodable, decode, joined_speech
from .errors import CorpusError
from .scores import DRUM_CHANNEL
from .track import TRACK_RATE_HZ

FRAME_S = 0.005
SPEECH_S = 20.0
"""Of a speaker, for one song: some seventy syllables, which come round again."""
FEWEST_NOTES = 12
LOWEST_PITCH = 52.0
"""A part whose mean pitch lies below is not sung."""
SHORTEST_NOTE_S = 0.1
SHORTEST_SONG_S = 8.0
"""Of notes in all."""
SYLLABLE_S = 0.12
"""Between two vowels at least."""
SOFTEST_DB = -20.0
"""Of a vowel, relative to the middle one: what is softer was taken for a voice by mistake."""
PROMINENCE_DB = 3.0
"""By which a vowel is louder than what lies between it and the next."""
ATTACK_S, RELEASE_S = 0.15, 0.12
"""Of a syllable, at most, before and after its vowel's loudest moment."""
HELD_S = 0.012
"""Of a vowel, through which a held note goes back and forth."""
HELD_HZ = 1.7
ABOVE_SPEECH = 4.0
"""Semitones from the middle of a speaker's pitch to that of the melody, before it is brought to the nearest octave."""
FARTHEST = 9.0
"""Semitones from the melody's middle, beyond which a note is sung an octave nearer."""
GLIDE_S = 0.025
"""Deviation of the smoothing of pitch."""
VIBRATO_AFTER_S = 0.25
SUNG_RMS = 0.08


@dataclass(frozen=True)
class Note:
    begin_s: float
    end_s: float
    pitch: int
    """MIDI's, semitones."""
    tick: int
    """Where it begins in its file."""


def melody_channel(song: mido.MidiFile) -> int | None:
    """The channel that would be sung: the highest one that has notes enough."""
    pitches: dict[int, list[int]] = {}
    for message in (message for track in song.tracks for message in track):
        if message.type == "note_on" and message.velocity > 0 and message.channel != DRUM_CHANNEL:
            pitches.setdefault(message.channel, []).append(message.note)
    means = {channel: float(np.mean(heard)) for channel, heard in pitches.items() if len(heard) >= FEWEST_NOTES}
    best = max(means, key=lambda channel: means[channel], default=None)
    return best if best is not None and means[best] >= LOWEST_PITCH else None


def melody(song: mido.MidiFile, length_s: float) -> list[Note]:
    """What is sung of a score: of the notes of `melody_channel` that begin together the highest, each until the next begins at the latest.
    Nothing where that is not worth a song."""
    channel = melody_channel(song)
    at_s, tick, tempo = 0.0, 0, 500_000
    begun: dict[int, tuple[float, int]] = {}
    found: list[Note] = []
    for message in mido.merge_tracks(song.tracks):
        at_s += mido.tick2second(message.time, song.ticks_per_beat, tempo)
        tick += message.time
        if message.type == "set_tempo":
            tempo = message.tempo
        elif message.type in ("note_on", "note_off") and message.channel == channel:
            if message.type == "note_on" and message.velocity > 0:
                begun.setdefault(message.note, (at_s, tick))
            elif message.note in begun:
                begin_s, begin = begun.pop(message.note)
                found.append(Note(begin_s, at_s, message.note, begin))
    found = sorted((note for note in found if note.begin_s < length_s), key=lambda note: (note.begin_s, -note.pitch))
    sung: list[Note] = []
    for note in found:
        if sung and note.begin_s < sung[-1].begin_s + SHORTEST_NOTE_S:
            continue
        if sung and note.begin_s < sung[-1].end_s:
            sung[-1] = replace(sung[-1], end_s=note.begin_s)
        sung.append(replace(note, end_s=min(note.end_s, length_s)))
    sung = [note for note in sung if note.end_s - note.begin_s >= SHORTEST_NOTE_S]
    return sung if len(sung) >= FEWEST_NOTES and sum(note.end_s - note.begin_s for note in sung) >= SHORTEST_SONG_S else []


def accompaniment(song: mido.MidiFile, channel: int | None, notes: list[Note]) -> mido.MidiFile:
    """A score without those notes of a channel. They are given, because of a part of a score another channel may be the highest."""
    sung = {(note.tick, note.pitch) for note in notes}
    rest = mido.MidiFile(ticks_per_beat=song.ticks_per_beat, type=song.type)
    for track in song.tracks:
        kept, tick, waited = mido.MidiTrack(), 0, 0
        silent: set[int] = set()
        for message in track:
            tick += message.time
            waited += message.time
            if message.type in ("note_on", "note_off") and message.channel == channel:
                is_begin = message.type == "note_on" and message.velocity > 0
                if is_begin and (tick, message.note) in sung:
                    silent.add(message.note)
                    continue
                if not is_begin and message.note in silent:
                    silent.discard(message.note)
                    continue
            kept.append(message.copy(time=waited))
            waited = 0
        rest.tracks.append(kept)
    return rest


def some_speech(paths: list[Path], rng: random.Random) -> np.ndarray:
    """About `SPEECH_S` of a speaker's recordings, joined; float32 `[sample]` at 48 kHz."""
    found, num_samples = [], 0
    for path in rng.sample(paths, len(paths)):
        try:
            found.append(decode(path, SPEECH_S))
        except Undecodable:
            # The speaker's own track says so.
            continue
        num_samples += found[-1].size
        if num_samples >= SPEECH_S * TRACK_RATE_HZ:
            break
    return joined_speech(found, rng)[: round(SPEECH_S * TRACK_RATE_HZ)]


@dataclass(frozen=True)
class Syllable:
    """Frames of speech."""

    begin: int
    vowel: int
    """Where it is loudest."""
    end: int


def syllables(level_db: np.ndarray, is_voiced: np.ndarray) -> list[Syllable]:
    """Of speech, by the level of each frame and whether it has a pitch, both `[frame]`."""
    voiced_db = np.where(is_voiced, level_db, level_db.min() - PROMINENCE_DB)
    vowels, _ = find_peaks(voiced_db, distance=round(SYLLABLE_S / FRAME_S), prominence=PROMINENCE_DB)
    vowels = [vowel for vowel in vowels if is_voiced[vowel]]
    middle_db = float(np.median(level_db[vowels])) if vowels else 0.0
    vowels = [vowel for vowel in vowels if level_db[vowel] > middle_db + SOFTEST_DB]
    between = [first + int(np.argmin(level_db[first:second])) for first, second in zip(vowels, vowels[1:])]
    edges = [0, *between, len(level_db)]
    return [
        Syllable(
            max(begin, vowel - round(ATTACK_S / FRAME_S)), int(vowel), min(end, vowel + round(RELEASE_S / FRAME_S))
        )
        for begin, vowel, end in zip(edges, vowels, edges[1:])
    ]


def places(syllable: Syllable, num_frames: int) -> np.ndarray:
    """Which frame of speech is heard in each of a note's frames, `[num_frames]`: consonants as they were, the vowel for as long as it takes."""
    before, after = syllable.vowel - syllable.begin, syllable.end - syllable.vowel
    if before + after >= num_frames:
        return np.linspace(syllable.begin, syllable.end - 1, num_frames)
    held = np.arange(num_frames - before - after)
    reach = min(HELD_S / FRAME_S, before, after)
    return np.concatenate([
        np.arange(syllable.begin, syllable.vowel),
        # Back and forth: a spectrum that stands still is no voice.
        syllable.vowel + reach * np.sin(2 * np.pi * HELD_HZ * FRAME_S * held),
        np.arange(syllable.vowel, syllable.end),
    ])


def pitch_line(notes: list[Note], num_frames: int, middle: float, rng: np.random.Generator) -> np.ndarray:
    """Semitones of each frame, `[frame]`: of the last note that began, around `middle`, gliding, trembling and drifting."""
    octave = 12 * round((middle + ABOVE_SPEECH - float(np.median([note.pitch for note in notes]))) / 12)
    centre = float(np.median([note.pitch for note in notes])) + octave
    line = np.full(num_frames, np.nan)
    tremble = np.zeros(num_frames)
    seconds = np.arange(num_frames) * FRAME_S
    rate_hz, depth = rng.uniform(4.8, 6.6), rng.uniform(0.15, 0.7)
    for note in notes:
        pitch = note.pitch + octave
        if abs(pitch - centre) > FARTHEST:
            pitch -= 12 * np.sign(pitch - centre)
        begin, end = round(note.begin_s / FRAME_S), round(note.end_s / FRAME_S)
        line[begin:] = pitch
        tremble[begin:end] = np.clip((seconds[begin:end] - note.begin_s - VIBRATO_AFTER_S) / 0.3, 0, 1)
    line = np.where(np.isnan(line), line[np.flatnonzero(~np.isnan(line))[0]], line)
    line = gaussian_filter1d(line, GLIDE_S / FRAME_S)
    drift = gaussian_filter1d(rng.standard_normal(num_frames), 0.2 / FRAME_S)
    drift *= rng.uniform(0.05, 0.2) / max(float(drift.std()), 1e-9)
    return line + depth * tremble * np.sin(2 * np.pi * rate_hz * seconds) + drift


def sung(notes: list[Note], speech: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A melody in the voice of `speech`, float `[sample]` at 48 kHz; float32 `[sample]` at 48 kHz."""
    try:
        import pyworld
    except ModuleNotFoundError as error:
        raise CorpusError("singing needs pyworld: `pip install -e '.[singing]'`, or pass --no-singing") from error
    speech = speech.astype(np.float64)
    rough_hz, at_s = pyworld.dio(speech, TRACK_RATE_HZ, frame_period=1e3 * FRAME_S)
    spoken_hz = pyworld.stonemask(speech, rough_hz, at_s, TRACK_RATE_HZ)
    envelope = pyworld.cheaptrick(speech, spoken_hz, at_s, TRACK_RATE_HZ)
    aperiodicity = pyworld.d4c(speech, spoken_hz, at_s, TRACK_RATE_HZ)
    is_voiced = spoken_hz > 0
    level_db = 10 * np.log10(envelope.mean(axis=1) + 1e-12)
    spoken = syllables(gaussian_filter1d(level_db, 2), is_voiced)
    if not spoken or not notes:
        raise Undecodable(f"{len(spoken)} syllables were found for {len(notes)} notes: nothing to sing")
    middle = 69 + 12 * np.log2(float(np.median(spoken_hz[is_voiced])) / 440)

    num_frames = round(notes[-1].end_s / FRAME_S) + 1
    place = np.zeros(num_frames)
    is_sung = np.zeros(num_frames, bool)
    gain_db = np.zeros(num_frames)
    loud_db = float(np.median([level_db[syllable.begin : syllable.end].max() for syllable in spoken]))
    first = int(rng.integers(len(spoken)))
    for idx, note in enumerate(notes):
        syllable = spoken[(first + idx) % len(spoken)]
        begin, end = round(note.begin_s / FRAME_S), round(note.end_s / FRAME_S)
        place[begin:end] = places(syllable, end - begin)
        is_sung[begin:end] = True
        # Singers are more even than speech, and not even.
        gain_db[begin:end] = loud_db - level_db[syllable.begin : syllable.end].max() + rng.normal(0, 1.5)
    low = np.clip(place.astype(int), 0, len(spoken_hz) - 2)
    share = np.clip(place - low, 0, 1)[:, None]
    log_envelope = np.log(envelope + 1e-16)
    heard = (1 - share) * log_envelope[low] + share * log_envelope[low + 1]
    heard += np.log(10) / 10 * _timbre_db(envelope.shape[1], rng)
    heard += np.log(10) / 10 * gaussian_filter1d(np.where(is_sung, gain_db, -120.0), 1.5)[:, None]
    noise = (1 - share) * aperiodicity[low] + share * aperiodicity[low + 1]
    hz = 440 * 2 ** ((pitch_line(notes, num_frames, middle, rng) - 69) / 12)
    hz = np.where(is_sung & is_voiced[np.round(place).astype(int).clip(0, len(is_voiced) - 1)], hz, 0.0)
    signal = pyworld.synthesize(hz, np.exp(heard), np.clip(noise, 1e-3, 1 - 1e-3), TRACK_RATE_HZ, frame_period=1e3 * FRAME_S)
    signal = np.clip(np.nan_to_num(signal), -1e3, 1e3)
    return (SUNG_RMS * signal / max(float(np.sqrt(np.mean(signal**2))), 1e-9)).astype(np.float32)


def _timbre_db(num_bins: int, rng: np.random.Generator) -> np.ndarray:
    """What singing adds to a voice, `[bin]` from 0 to half the rate: a tilt, and the singer's formant about 3 kHz (Sundberg 1974)."""
    hz = np.linspace(0, TRACK_RATE_HZ / 2, num_bins)
    octaves = np.log2(np.maximum(hz, 200) / 200)
    formant = rng.uniform(0, 9) * np.exp(-0.5 * ((hz - rng.uniform(2_600, 3_400)) / 500) ** 2)
    return rng.uniform(-0.5, 1.5) * octaves + formant
