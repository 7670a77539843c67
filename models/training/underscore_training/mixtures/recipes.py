"""The recipes by name."""

from functools import partial

from . import asked
from .recipe import Recipe, alone, deployed, paper

# What mixtures that are asked twice are made with; each builds on the one before.
OR_ABSENT = {"absent_share": asked.ABSENT_SHARE}
OF_RECORDINGS = OR_ABSENT | {"recorded_share": asked.RECORDED_SHARE}
OF_KITS = OF_RECORDINGS | {"kit_share": asked.KIT_SHARE, "rivals_share": asked.MORE_RIVALS_SHARE}
BY_THEIR_OWN = OF_KITS | {
    "same_recording_share": asked.MORE_SAME_RECORDING_SHARE, "same_stretch_share": asked.MORE_SAME_STRETCH_SHARE
}
AND_OFTEN_ABSENT = BY_THEIR_OWN | {"absent_share": asked.MORE_ABSENT_SHARE}
AND_OFTEN_ALONE = AND_OFTEN_ABSENT | {"alone_share": asked.ALONE_SHARE, "recorded_share": asked.MORE_RECORDED_SHARE}
FOR_THIS_ONE = AND_OFTEN_ALONE | {"same_recording_share": asked.MOST_SAME_RECORDING_SHARE}
AMONG_ALIKE = FOR_THIS_ONE | {"alike_share": asked.ALIKE_SHARE}
AND_SUNG = AMONG_ALIKE | {"sung_share": asked.SUNG_SHARE}
FOR_THE_VERY_SOUND = AND_SUNG | {
    "alike_share": asked.FEWER_ALIKE_SHARE, "sung_share": asked.FEWER_SUNG_SHARE, "same_stretch_share": asked.MOST_SAME_STRETCH_SHARE
}
OF_SONGS = FOR_THE_VERY_SOUND | {"song_share": asked.SONG_SHARE}
OF_SONGS_EVENLY = AND_SUNG | {"same_stretch_share": asked.MOST_SAME_STRETCH_SHARE, "song_share": asked.SONG_SHARE, "is_even": True}
OF_KINDS_AND_PIECES = (*asked.KINDS, *asked.PIECES, asked.RECORDED)


def _asked(kinds: tuple[str, ...] = asked.KINDS, **shares: float | bool) -> Recipe:
    return Recipe(partial(asked.asked, **shares), kinds, asked.NUM_ASKS)


RECIPES: dict[str, Recipe] = {
    "paper": Recipe(partial(alone, paper)),
    "deployed": Recipe(partial(alone, deployed)),
    "examples": Recipe(partial(alone, asked.examples), asked.KINDS),
    "asked": _asked(),
    "asked_or_absent": _asked(**OR_ABSENT),
    "asked_of_recordings": _asked((*asked.KINDS, asked.RECORDED), **OF_RECORDINGS),
    "asked_of_kits": _asked(OF_KINDS_AND_PIECES, **OF_KITS),
    "asked_by_their_own": _asked(OF_KINDS_AND_PIECES, **BY_THEIR_OWN),
    "asked_and_often_absent": _asked(OF_KINDS_AND_PIECES, **AND_OFTEN_ABSENT),
    "asked_and_often_alone": _asked(OF_KINDS_AND_PIECES, **AND_OFTEN_ALONE),
    "asked_for_this_one": _asked(OF_KINDS_AND_PIECES, **FOR_THIS_ONE),
    "asked_among_alike": _asked(OF_KINDS_AND_PIECES, **AMONG_ALIKE),
    "asked_and_sung": _asked((*asked.ASKED_FOR, asked.RECORDED), **AND_SUNG),
    "asked_for_the_very_sound": _asked((*asked.ASKED_FOR, asked.RECORDED), **FOR_THE_VERY_SOUND),
    "asked_of_songs": _asked((*asked.ASKED_FOR, asked.RECORDED), **OF_SONGS),
    "asked_of_songs_evenly": _asked((*asked.ASKED_FOR, asked.RECORDED), **OF_SONGS_EVENLY),
}
