"""The recipes by name."""

from . import asked
from .recipe import Recipe, deployed, paper

RECIPES: dict[str, Recipe] = {"paper": Recipe(paper), "deployed": Recipe(deployed), "asked": Recipe(asked.asked, asked.KINDS)}
