"""One run: the network, its average, the optimiser, and how a step is made."""

import copy
import math
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from ..grid import Grid, grid_at, istft, stft
from ..mixtures.asked import RECORDED
from ..mixtures.recipes import RECIPES
from ..nets.asked import AskedCRN
from ..nets.growth import DoesNotGrow, grown
from ..nets.mask_separator import MaskSeparator
from ..nets.systems import build
from . import checkpoint, together
from .class_means import ClassMeans
from .config import Config, ConfigError, OptimiserConfig
from .halfway import some_halfway
from .losses import LOSSES, WITHOUT_ESTIMATE, Latent, Outcome, Way


def rate_at(step: int, config: OptimiserConfig) -> float:
    """Learning rate: linear warm-up, then a cosine that ends at `final_rate` with the last step."""
    if step < config.warm_up_steps:
        return config.peak_rate * (step + 1) / config.warm_up_steps
    along = min((step - config.warm_up_steps) / max(config.steps - config.warm_up_steps, 1), 1.0)
    return config.final_rate + (config.peak_rate - config.final_rate) * 0.5 * (1 + math.cos(math.pi * along))


def heard_spectra(estimate: Tensor, music: Tensor, mixture: Tensor, grid: Grid) -> tuple[Tensor, ...]:
    """What is heard of `estimate`, `[batch, frame, bin]` of `grid`, beside signals `[batch, sample]`: three spectra by Hann windows.

    Both ends, which not all of their frames reach, are left out.
    """
    num_frames = estimate.shape[1]
    reached = slice(grid.window_samples, num_frames * grid.hop_samples)
    heard = istft(estimate, grid, reached.stop)
    signals = torch.cat([signal[:, reached] for signal in (heard, music, mixture)])
    return stft(signals, grid_at(grid.sample_rate_hz)).chunk(3)


class Run:
    """Everything that a checkpoint saves.

    Same configuration, same steps, same numbers, in however many sittings. Among several processes each draws noise, dropout, and
    which of its own mixtures become ways and are asked by means, and normalisations and terms of the loss know its own share only: another
    number of processes is another run. A sitting says how many there were.
    """

    def __init__(self, config: Config, device: str = "cpu", compiled: bool = False):
        torch.manual_seed(config.seed)
        checkpoint.commit()
        self.config = config
        self.device = torch.device(device)
        if self.device.type == "cuda" and not torch.cuda.is_available():
            raise ConfigError("--device cuda: torch finds no CUDA card here; leave it away to train on the processor")
        try:
            self.net = build(config.system.name, **config.system.options).to(self.device)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"[system] options: {error}") from error
        if device == "cpu":
            # oneDNN convolves several times faster in this order.
            self.net = self.net.to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.net).eval()
        optimiser = config.optimiser
        self.optimiser = torch.optim.AdamW(
            self.net.parameters(), lr=optimiser.peak_rate, weight_decay=optimiser.weight_decay, betas=(0.9, 0.98)
        )
        self.loss = LOSSES[config.loss]
        if compiled and not isinstance(self.net, MaskSeparator):
            raise ConfigError("--compile: a network of waveforms cannot be compiled; leave it away")
        self.logits = torch.compile(self.net.logits, dynamic=False) if compiled else None
        self.class_means = self._class_means()
        self.steps = 0
        self.steps_before = 0
        self.heard: set[str] | None = set()
        self.sittings: list[dict[str, int | str]] = []
        self.spent_s = 0.0
        self.losses: list[dict[str, float]] = []

    def _class_means(self) -> ClassMeans | None:
        """Of the classes that the recipe asks for, which the network is to have names for."""
        if not isinstance(self.net, AskedCRN):
            return None
        num_kinds, data = self.net.named.out_features, self.config.data
        num_asked = sum(kind != RECORDED for kind in RECIPES[data.recipe].kinds)
        if num_kinds < num_asked:
            raise ConfigError(f"[system] options: num_kinds is {num_kinds}, expected {num_asked}: recipe {data.recipe!r} asks for as many classes")
        return ClassMeans(num_kinds, self.net.embedding_size, self.device) if data.class_mean_share > 0 else None

    def begin(self, heard: set[str]) -> None:
        """A sitting begins, from the configuration's `initial` where nothing was learnt yet; `heard`: names of tracks."""
        initial = self.config.initial
        if self.steps == 0 and initial is not None:
            state = checkpoint.read(Path(initial))
            try:
                weights = grown(self.net, state["average"])
            except DoesNotGrow as error:
                raise checkpoint.CheckpointError(f"{initial} is of another network ({error}): name another `initial`") from error
            self.net.load_state_dict(weights)
            self.average.load_state_dict(weights)
            self.steps_before = state["steps"] + state.get("steps_before", 0)
            self.heard = checkpoint.heard(state)
        if self.heard is not None:
            self.heard |= heard
        sitting = {"first_step": self.steps, "commit": checkpoint.commit(), "num_processes": together.num_processes()}
        self.sittings.append(sitting)

    @property
    def sample_rate_hz(self) -> int:
        return self.net.sample_rate_hz

    def outcome(self, net: nn.Module, music: Tensor, mixture: Tensor, query: Tensor | None = None, kind: Tensor | None = None) -> Outcome:
        """What `net` makes of signals `[batch, sample]`, asked by `query` of `kind` where it is a network that is asked."""
        amp = torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bfloat16")
        if isinstance(net, AskedCRN):
            if query is None or kind is None:
                raise ConfigError("a network that is asked needs a recipe that asks: set [data] recipe = \"asked\"")
            mixed, example = stft(mixture, net.grid), stft(query, net.grid)
            with amp:
                mean, log_var = (value.float() for value in net.query(example.abs()))
                drawn = mean + torch.exp(0.5 * log_var) * torch.randn_like(mean) if net.training else mean
                is_whole = way = None
                if net.training and self.class_means is not None:
                    self.class_means.listen(mean.detach(), kind)
                    drawn = self.class_means.some(drawn, kind, self.config.data.class_mean_share)
                wanted = stft(music, net.grid)
                if net.training and self.config.data.halfway_share > 0:
                    questions = some_halfway(drawn, wanted, mixture, self.config.data.halfway_share, partial(self._found, mixed, drawn))
                    drawn, wanted, is_whole = questions.points, questions.wanted, questions.is_whole
                    way = Way(questions.sounds, questions.is_way, questions.is_one)
                    kind = torch.where(is_whole, kind, -1)
                of_whole_clip = self.logits if self.logits is not None and net is self.net else net.logits
                logits = None if self.config.loss in WITHOUT_ESTIMATE else of_whole_clip(mixed.abs(), drawn).float()
                estimate = wanted if logits is None else torch.sigmoid(logits) * mixed
                again, _ = net.query((estimate.abs().square() + 1e-12).sqrt())
            return Outcome(logits, estimate, wanted, mixed, Latent(mean, log_var, again.float(), net.named(drawn).float(), kind, is_whole, way))
        if isinstance(net, MaskSeparator):
            mixed = stft(mixture, net.grid)
            with amp:
                logits = self.logits if self.logits is not None and net is self.net else net.logits
                logits = logits(mixed.abs())
            logits = logits.float()
            estimate = torch.sigmoid(logits) * mixed
            if self.config.judged == "spectra":
                return Outcome(logits, estimate, stft(music, net.grid), mixed)
            return Outcome(logits, *heard_spectra(estimate, music, mixture, net.grid))
        with amp:
            estimate = net(mixture)
        spectra = stft(torch.cat([estimate.float(), music, mixture]), grid_at(net.sample_rate_hz))
        return Outcome(None, *spectra.chunk(3))

    @torch.no_grad()
    def _found(self, mixed: Tensor, asked: Tensor, which: Tensor) -> Tensor:
        """Spectra of what the averaged network finds in some of `mixed`, `[batch, frame, bin]`, asked by some of `asked`, `[batch, embedding]`."""
        return torch.sigmoid(self.average.logits(mixed[which].abs(), asked[which]).float()) * mixed[which]

    def step(self, *signals: Tensor) -> float:
        """One update, with this process' share of the batch; returns the loss. Dropout's draws are those of the step's number."""
        torch.manual_seed(self.config.seed * 1_000_003 + self.steps + together.rank() * 500_009)
        for group in self.optimiser.param_groups:
            group["lr"] = rate_at(self.steps, self.config.optimiser)
        self.net.train()
        loss = self.loss(self.outcome(self.net, *(signal.to(self.device) for signal in signals)))
        self.optimiser.zero_grad()
        loss.backward()
        loss = together.average(self.net, loss)
        norm = nn.utils.clip_grad_norm_(self.net.parameters(), self.config.optimiser.clip_norm)
        if torch.isfinite(norm):
            self.optimiser.step()
        self.steps += 1
        self._update_average()
        return loss.item()

    @torch.no_grad()
    def _update_average(self) -> None:
        """Exponential average of weights and statistics; while it is young, of about the last eleventh of all steps."""
        keep = min(self.config.optimiser.average_keep, self.steps / (self.steps + 10))
        fresh = self.net.state_dict()
        for name, value in self.average.state_dict().items():
            if value.dtype.is_floating_point:
                value.lerp_(fresh[name], 1 - keep)
            else:
                value.copy_(fresh[name])

    @torch.no_grad()
    def validate(self, batches: list[tuple[Tensor, ...]]) -> dict[str, float]:
        """Mean loss of the averaged network, the music's and dialogue's gain in SDR, dB, over clips with both, and which share of
        examples was named right."""
        total, gains, named = 0.0, {"music": [], "dialogue": []}, []
        for signals in batches:
            outcome = self.outcome(self.average, *(signal.to(self.device) for signal in signals))
            total += self.loss(outcome).item()
            if outcome.latent is not None:
                is_right = outcome.latent.kind_logits.argmax(dim=1) == outcome.latent.kind
                named += is_right[outcome.latent.kind >= 0].float().tolist()
            error = (outcome.estimate - outcome.music).abs().square().sum(dim=(1, 2))
            stems = {"music": outcome.music, "dialogue": outcome.mixture - outcome.music}
            energies = {stem: spectrum.abs().square().sum(dim=(1, 2)) for stem, spectrum in stems.items()}
            has_both = torch.minimum(*energies.values()) > 1e-3 * torch.maximum(*energies.values())
            for stem, other in (("music", "dialogue"), ("dialogue", "music")):
                # The mixture taken as the estimate has the other stem as its error.
                gains[stem] += (10 * torch.log10(energies[other] / error))[has_both].tolist()
        means = {f"{stem}_gain_db": sum(values) / max(len(values), 1) for stem, values in gains.items()}
        if named:
            means["named_share"] = sum(named) / len(named)
        return {"valid": total / len(batches), **means}

    def save(self, path: Path) -> None:
        checkpoint.save(
            path,
            {
                "net": self.net.state_dict(),
                "average": self.average.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "class_means": None if self.class_means is None else self.class_means.state(),
                "steps": self.steps,
                "steps_before": self.steps_before,
                "heard": None if self.heard is None else sorted(self.heard),
                "sittings": self.sittings,
                "spent_s": self.spent_s,
                "losses": self.losses,
                "commit": checkpoint.commit(),
                "config": asdict(self.config),
            },
        )

    def load(self, path: Path) -> None:
        """Go on from a checkpoint of the same configuration."""
        state = checkpoint.read(path)
        checkpoint.require_same(path, state["config"], self.config)
        if "optimiser" not in state:
            raise checkpoint.CheckpointError(
                f"{path} holds averaged weights alone: name it as `initial` in a configuration to begin from it"
            )
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        if self.class_means is not None:
            self.class_means.load(state["class_means"])
        self.steps, self.spent_s, self.losses = state["steps"], state["spent_s"], state["losses"]
        self.steps_before, self.sittings = state.get("steps_before", 0), state.get("sittings", [])
        self.heard = checkpoint.heard(state)
