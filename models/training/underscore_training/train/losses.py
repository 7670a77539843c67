"""What a network is trained for. All are free of level: a loud clip counts as a quiet one.

Estimates and references are spectra and signals of the music; the dialogue is what the
music leaves of the mixture, so that its error is the music's error with the sign turned.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Latent:
    """Where a network put an example, `[batch, embedding]` each."""

    mean: Tensor
    log_var: Tensor
    again: Tensor
    """Mean of the estimate that it led to, listened to as an example."""
    kind_logits: Tensor
    """What it seems to be of, `[batch, kind]`."""
    kind: Tensor
    """What it is of, `[batch]`; -1: several kinds."""
    is_whole: Tensor | None = None
    """Whether the network was asked for just what the example is of, `[batch]`; none: always."""
    way: "Way | None" = None
    """Where some questions are points on the way from one sound to another."""


@dataclass(frozen=True)
class Way:
    """From one sound of a mixture to another: of a batch whose mixtures are asked twice, side by side, the second time further along."""

    sounds: Tensor
    """Complex `[mixture, 2, frame, bin]`: what lies at its ends."""
    is_way: Tensor
    """Whether the mixture's questions lie on one, `[mixture]`."""
    is_one: Tensor
    """Whether it is the same mixture for both questions, `[mixture]`."""


@dataclass(frozen=True)
class Outcome:
    """What a network made of a batch, beside what it should have made."""

    logits: Tensor | None
    """Of the mask, `[batch, frame, bin]`; none for a network of waveforms."""
    estimate: Tensor
    """Complex `[batch, frame, bin]`: the music that was found."""
    music: Tensor
    mixture: Tensor
    latent: Latent | None = None
    """Where a network was asked."""


def paper_l1(outcome: Outcome) -> Tensor:
    """The paper's loss: mean of `| |Y| - |X| M |`, relative to the mixture's mean magnitude."""
    magnitude = outcome.mixture.abs()
    scale = magnitude.mean(dim=(1, 2), keepdim=True) + 1e-6
    return ((outcome.estimate.abs() - outcome.music.abs()).abs() / scale).mean()


RATIO_WEIGHT = 0.02
RATIO_FLOOR = 1e-4
"""Error to mixture energy below which a clip is good enough: -40 dB."""
SOURCE_WEIGHT = 0.01
SOURCE_FLOOR = 1e-3
COMPRESSED_WEIGHT = 1.0
COMPRESSION = 0.5
LOGIT_LIMIT = 9.0
"""A mask of 1e-4 or 0.9999 is as good as 0 or 1; beyond it a sigmoid has no gradient left to come back by."""
LOGIT_WEIGHT = 1e-2
WIDE_FROM_BIN = 512
WIDE_WEIGHT = 0.5


def separation(outcome: Outcome) -> Tensor:
    """The deployed model's loss, a sum of terms that each mend what another leaves.

    - Log of the error's energy relative to the mixture's: the signal-to-distortion ratio
      of both stems at once, with a floor at -40 dB.
    - Log of the error's energy relative to each stem's own, floored far below: a stem that
      is soft in the mixture counts as much as a loud one, and where it is absent the
      other's leakage is what is left to lower.
    - L1 on square-root magnitudes of both stems: quiet bins are where artefacts are heard,
      and speech that fills the music's gaps is a bin too loud, not an error in phase.
    - A wall for logits beyond +-9. Without it one unlucky step early on sent every mask to
      exactly 0, where no gradient leads back: a whole run was lost so.
    """
    error = outcome.estimate - outcome.music
    dialogue = outcome.mixture - outcome.music
    found_dialogue = outcome.mixture - outcome.estimate
    error_energy = energy(error)
    mixture_energy = energy(outcome.mixture) + 1e-9
    ratio_db = 10 * torch.log10(error_energy / mixture_energy + RATIO_FLOOR)
    loss = RATIO_WEIGHT * ratio_db.mean()
    for stem in (outcome.music, dialogue):
        relative = error_energy / (energy(stem) + 1e-3 * mixture_energy)
        loss = loss + SOURCE_WEIGHT * (10 * torch.log10(relative + SOURCE_FLOOR)).mean()
    scale = outcome.mixture.abs().mean(dim=(1, 2), keepdim=True) + 1e-6
    for stem, found in ((outcome.music, outcome.estimate), (dialogue, found_dialogue)):
        difference = compressed(found / scale) - compressed(stem / scale)
        loss = loss + COMPRESSED_WEIGHT * difference.abs().mean()
    wide = error[..., WIDE_FROM_BIN:]
    if wide.shape[-1] > 1:
        # The treble holds a hundredth of the energy; without a term of its own it would not be learnt.
        wide_mixture = energy(outcome.mixture[..., WIDE_FROM_BIN:])
        wide_db = 10 * torch.log10((energy(wide) + 1e-7 * mixture_energy) / (wide_mixture + 1e-7 * mixture_energy) + 1e-3)
        loss = loss + WIDE_WEIGHT * RATIO_WEIGHT * wide_db.mean()
    if outcome.logits is not None:
        loss = loss + LOGIT_WEIGHT * (outcome.logits.abs() - LOGIT_LIMIT).clamp_min(0).square().mean()
    return loss


def energy(spectrum: Tensor) -> Tensor:
    """Complex `[batch, frame, bin]` -> `[batch]`."""
    return torch.view_as_real(spectrum).square().sum(dim=(1, 2, 3))


def compressed(spectrum: Tensor) -> Tensor:
    """Square root of the magnitude; the small number keeps its gradient finite."""
    return (torch.view_as_real(spectrum).square().sum(dim=3) + 1e-6) ** (COMPRESSION / 2)


DIVERGENCE_WEIGHT = 2e-4
REGRESSION_WEIGHT = 0.02
NAMING_WEIGHT = 0.03
PRESENT = 1e-3
"""Of the mixture's energy: what is softer is not there, and an estimate of it is no example."""


def divergence(latent: Latent) -> Tensor:
    """Of the points from a normal distribution, nats per dimension."""
    return 0.5 * (latent.mean.square() + latent.log_var.exp() - 1.0 - latent.log_var).mean()


LEVEL_WEIGHT = 0.012
LEVEL_FLOOR = 0.03
"""Of the amplitude: what is found at -30 dB is as good as lost, and has a gradient still."""


def softening(outcome: Outcome) -> Tensor:
    """By how many dB what was asked for is softer in what was found than it was, `[batch]`; 0 where it is not.

    In doubt the smallest error is a soft estimate, and a network that doubts often plays all that it finds some dB too soft.
    """
    found = torch.view_as_real(outcome.estimate) * torch.view_as_real(outcome.music)
    share = found.sum(dim=(1, 2, 3)) / (energy(outcome.music) + 1e-9)
    level_db = 20 * torch.log10((share.clamp_min(0.0) + LEVEL_FLOOR) / (1 + LEVEL_FLOOR))
    return (-level_db).clamp_min(0.0)


WAY_WEIGHT = 0.12
WAY_FLOOR = 1e-4
"""Of a sound's energy: what is softer than -40 dB may come and go."""
WAY_MARGIN_DB = 0.5
"""By which a sound is to be softer, or louder, further along."""
WAY_DOUBLED_DB = 2.0
"""Turning back by as much is charged twice what it would be in proportion: a few mixtures turn back by much, and most hardly at all."""


ENDS_MARGIN_DB = 3.0
"""By which a sound is to be louder where it is asked for than where the other one is."""
ENDS_SHARE = 0.2
"""Of the charge for a way: two of a class that are taken for one another would outweigh all else."""


def turning_back(logits: Tensor, way: Way, with_ends: bool = False) -> Tensor:
    """By how many dB, and the margin, either sound comes back on the way to the other, in the mean over all ways; more than in proportion
    where it is much, and 0 where there are no ways.

    Near either end the margin is more than what is asked for there: it keeps both sounds moving where little is to move.

    `with_ends`: of mixtures that are asked for both of their sounds, too, as the longest of ways. A sound of which more is found where the other
    one is asked for falls evenly all along the way between them, and by too little on any part of it to be charged.
    """
    power = torch.view_as_real(way.sounds).square().sum(dim=4)
    mask = torch.sigmoid(logits).unflatten(0, (-1, 2))
    # `[mixture, question, sound]`.
    found = (mask.square()[:, :, None] * power[:, None]).sum(dim=(3, 4))
    levels_db = 10 * torch.log10(found / (power.sum(dim=(2, 3))[:, None] + 1e-9) + WAY_FLOOR)
    further = levels_db[:, 1] - levels_db[:, 0]
    sign = torch.tensor([1.0, -1.0], device=levels_db.device)
    share, margin_db = way.is_way.float(), torch.full_like(further, WAY_MARGIN_DB)
    if with_ends:
        # What is asked for and is not there says nothing, nor do two mixtures.
        is_both = (power.sum(dim=(2, 3)) > 0).all(dim=1) & way.is_one
        share = torch.where(way.is_way, 1.0, ENDS_SHARE * is_both)
        margin_db = torch.where(way.is_way[:, None], WAY_MARGIN_DB, ENDS_MARGIN_DB)
    back_db = (sign * further + margin_db).clamp_min(0)
    charge = (back_db * (1 + back_db / WAY_DOUBLED_DB)).sum(dim=1)
    return (charge * share).sum() / way.is_way.sum().clamp_min(1)


def asked(outcome: Outcome, with_ends: bool = False) -> Tensor:
    """`separation`, and what makes a space of the examples (Lee, Choi and Lee 2019).

    The divergence from a normal distribution, per dimension, so that the space has no holes; and the distance between
    an example and the estimate that it led to, so that what was found may be asked for again. The example stays where it is for
    that: the shortest distance is between points that are all one. And, which the thesis does without, that a plain layer can name
    what an example is of: from the masks alone it took hundreds of steps until examples lay apart, and nothing was found till then.
    And that what is there is found as loud as it is; and, on the way from one sound to another, that neither turns back; `with_ends`, as
    `turning_back` says.
    """
    latent = outcome.latent
    if latent is None:
        raise ValueError("the loss 'asked' needs a network that is asked, and a recipe that asks")
    is_present = energy(outcome.music) > PRESENT * energy(outcome.mixture)
    loss = separation(outcome) + LEVEL_WEIGHT * (softening(outcome) * is_present).sum() / is_present.sum().clamp_min(1)
    distance = (latent.again - latent.mean.detach()).abs().mean(dim=1)
    if latent.is_whole is not None:
        is_present = is_present & latent.is_whole
    regression = (distance * is_present).sum() / is_present.sum().clamp_min(1)
    naming = nn.functional.cross_entropy(latent.kind_logits, latent.kind, ignore_index=-1, reduction="sum")
    naming = naming / (latent.kind >= 0).sum().clamp_min(1)
    loss = loss + DIVERGENCE_WEIGHT * divergence(latent) + REGRESSION_WEIGHT * regression + NAMING_WEIGHT * naming
    return loss if latent.way is None else loss + WAY_WEIGHT * turning_back(outcome.logits, latent.way, with_ends)


LIKENESS_WEIGHT = 0.3
LIKENESS_TEMPERATURE = 0.1
SPACE_WEIGHT = 0.01


def listening(outcome: Outcome) -> Tensor:
    """What an example is of can be named, and two of one recording lie nearer to each other than to all others of the batch.

    The second is the contrastive loss of van den Oord, Li and Vinyals (2018) on cosines: classes alone would not tell one piano from
    another. The divergence keeps the points about as far from the middle as those of a normal distribution.
    """
    latent = outcome.latent
    if latent is None:
        raise ValueError("the loss 'listening' needs a network that is asked, and a recipe that asks")
    cosines = nn.functional.normalize(latent.mean, dim=1) @ nn.functional.normalize(latent.again, dim=1).T
    likeness = nn.functional.cross_entropy(cosines / LIKENESS_TEMPERATURE, torch.arange(len(cosines), device=cosines.device))
    naming = nn.functional.cross_entropy(latent.kind_logits, latent.kind)
    return naming + LIKENESS_WEIGHT * likeness + SPACE_WEIGHT * divergence(latent)


LOSSES: dict[str, Callable[[Outcome], Tensor]] = {
    "paper_l1": paper_l1, "separation": separation, "asked": asked, "asked_with_ends": partial(asked, with_ends=True), "listening": listening
}
WITHOUT_ESTIMATE = {"listening"}
"""Losses that judge embeddings alone: nothing is separated for them."""
