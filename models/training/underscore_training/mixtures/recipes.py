"""The recipes by name."""

from functools import partial

from . import asked
from .recipe import Recipe, deployed, paper

RECIPES: dict[str, Recipe] = {
    "paper": Recipe(paper),
    "deployed": Recipe(deployed),
    "asked": Recipe(asked.asked, asked.KINDS),
    "asked_or_absent": Recipe(partial(asked.asked, absent_share=asked.ABSENT_SHARE), asked.KINDS),
}
