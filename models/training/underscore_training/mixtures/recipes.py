"""The recipes by name."""

from functools import partial

from . import asked
from .recipe import Recipe, alone, deployed, paper

RECIPES: dict[str, Recipe] = {
    "paper": Recipe(partial(alone, paper)),
    "deployed": Recipe(partial(alone, deployed)),
    "examples": Recipe(partial(alone, asked.examples), asked.KINDS),
    "asked": Recipe(asked.asked, asked.KINDS, asked.NUM_ASKS),
    "asked_or_absent": Recipe(partial(asked.asked, absent_share=asked.ABSENT_SHARE), asked.KINDS, asked.NUM_ASKS),
    "asked_of_recordings": Recipe(
        partial(asked.asked, absent_share=asked.ABSENT_SHARE, recorded_share=asked.RECORDED_SHARE),
        (*asked.KINDS, asked.RECORDED),
        asked.NUM_ASKS,
    ),
    "asked_of_kits": Recipe(
        partial(
            asked.asked, absent_share=asked.ABSENT_SHARE, recorded_share=asked.RECORDED_SHARE, kit_share=asked.KIT_SHARE,
            rivals_share=asked.MORE_RIVALS_SHARE,
        ),
        (*asked.ASKED_FOR, asked.RECORDED),
        asked.NUM_ASKS,
    ),
    "asked_by_their_own": Recipe(
        partial(
            asked.asked, absent_share=asked.ABSENT_SHARE, recorded_share=asked.RECORDED_SHARE, kit_share=asked.KIT_SHARE,
            rivals_share=asked.MORE_RIVALS_SHARE, same_recording_share=asked.MORE_SAME_RECORDING_SHARE,
            same_stretch_share=asked.MORE_SAME_STRETCH_SHARE,
        ),
        (*asked.ASKED_FOR, asked.RECORDED),
        asked.NUM_ASKS,
    ),
}
