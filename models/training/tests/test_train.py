"""Runs: one in sittings is one in a piece, and what is refused is refused in words."""

import json
import os
from pathlib import Path

import pytest
import torch

from underscore_training.corpus.store import rows
from underscore_training.corpus.track import KINDS, SPLITS
from underscore_training.grid import grid_at, stft
from underscore_training.nets.systems import SYSTEMS
from underscore_training.train import checkpoint, config, together
from underscore_training.train.__main__ import main
from underscore_training.train.checkpoint import CheckpointError, load_network
from underscore_training.train.config import ConfigError
from underscore_training.train.losses import LOSSES, Outcome
from underscore_training.train.mean import main as make_mean
from underscore_training.train.run import Run, rate_at

CONFIGS = Path(__file__).parents[1] / "configs"
TINY = """
loss = "separation"
precision = "{precision}"
[system]
name = "{system}"
options = {options}
[data]
recipe = "deployed"
clip_s = 0.6
batch = 2
[optimiser]
steps = 4
warm_up_steps = 2
"""
SMALL_CRN = "{ features = [4, 4, 6, 8], time_memory = 8, band_memory = 6, num_blocks = 1, look_ahead_frames = 3 }"


@pytest.fixture
def tiny_config(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(TINY.format(system="crn", options=SMALL_CRN, precision="float32"))
    return path


def sit(tiny_config: Path, corpus: Path, out: Path, *arguments: str) -> None:
    main(["--config", str(tiny_config), "--corpus", str(corpus), "--out", str(out), "--threads", "1",
          "--validation-batches", "1", *arguments])


@pytest.fixture(autouse=True)
def stay_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("underscore_training.train.__main__.with_environment", lambda argv: None)


def test_three_sittings_give_the_weights_of_one(tiny_config: Path, tiny_corpus: Path, tmp_path: Path) -> None:
    sit(tiny_config, tiny_corpus, tmp_path / "one")
    sit(tiny_config, tiny_corpus, tmp_path / "three", "--until-step", "1")
    sit(tiny_config, tiny_corpus, tmp_path / "three", "--resume", "--until-step", "3", "--workers", "1")
    sit(tiny_config, tiny_corpus, tmp_path / "three", "--resume")
    one, three = (checkpoint.read(tmp_path / name / "latest.pt") for name in ("one", "three"))
    assert one["steps"] == three["steps"] == 4
    for part in ("net", "average"):
        for name, value in one[part].items():
            assert torch.equal(value, three[part][name]), name


def test_two_processes_that_share_the_batches_learn_what_one_does(tiny_config: Path, tiny_corpus: Path, tmp_path: Path) -> None:
    sit(tiny_config, tiny_corpus, tmp_path / "one")
    sit(tiny_config, tiny_corpus, tmp_path / "two", "--processes", "2", "--until-step", "2")
    sit(tiny_config, tiny_corpus, tmp_path / "two", "--processes", "2", "--resume", "--workers", "1")
    one, two = (checkpoint.read(tmp_path / name / "latest.pt") for name in ("one", "two"))
    assert one["steps"] == two["steps"] == 4
    worst = max(float((value - two["net"][name]).abs().max()) for name, value in one["net"].items())
    moved = max(float((value - Run(config.read(tiny_config)).net.state_dict()[name]).abs().max()) for name, value in one["net"].items())
    print(f"weights differ by {worst:.1e} after moving by {moved:.1e}")
    assert worst < 0.02 * moved, "sums in another order, nothing else"


def die(place: str) -> None:
    """What a helper does that is lost."""
    if place == "at a step":
        torch.distributed.all_reduce(torch.zeros(1))
    os._exit(3)


@pytest.mark.parametrize("place", ["at once", "at a step"])
def test_a_helper_that_is_lost_is_told_with_what_to_do(place: str) -> None:
    with pytest.raises(together.HelperLost, match="ended with status 3; the run goes on .* with --resume"):
        with together.processes(2, die, place):
            for _ in range(3):
                torch.distributed.all_reduce(torch.zeros(1))
    assert together.num_processes() == 1


def test_a_batch_that_processes_cannot_share_equally_is_refused(tiny_config: Path, tiny_corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="--processes 3: a batch of 2 clips cannot be shared equally"):
        sit(tiny_config, tiny_corpus, tmp_path / "run", "--processes", "3")


def test_beside_a_checkpoint_lie_its_losses_its_configuration_and_its_commit(
    tiny_config: Path, tiny_corpus: Path, tmp_path: Path
) -> None:
    sit(tiny_config, tiny_corpus, tmp_path / "run", "--until-step", "1")
    losses = json.loads((tmp_path / "run" / "losses.json").read_text())
    assert losses[0]["step"] == 1 and {"train", "valid", "music_gain_db", "dialogue_gain_db"} <= losses[0].keys()
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    assert about["config"]["system"]["name"] == "crn" and about["commit"]
    assert list((tmp_path / "run" / "log").iterdir())


def test_a_run_is_not_overwritten_without_being_told(tiny_config: Path, tiny_corpus: Path, tmp_path: Path) -> None:
    sit(tiny_config, tiny_corpus, tmp_path / "run", "--until-step", "1")
    with pytest.raises(SystemExit, match="pass --resume"):
        sit(tiny_config, tiny_corpus, tmp_path / "run")


def test_a_checkpoint_of_another_configuration_is_refused(tiny_config: Path, tiny_corpus: Path, tmp_path: Path) -> None:
    sit(tiny_config, tiny_corpus, tmp_path / "run", "--until-step", "1")
    tiny_config.write_text(tiny_config.read_text().replace("batch = 2", "batch = 3"))
    with pytest.raises(SystemExit, match=r"another configuration: data.batch was 2 and is now 3"):
        sit(tiny_config, tiny_corpus, tmp_path / "run", "--resume")


def test_a_run_that_was_begun_before_a_setting_existed_is_gone_on_from(tiny_config: Path, tiny_corpus: Path, tmp_path: Path) -> None:
    sit(tiny_config, tiny_corpus, tmp_path / "run", "--until-step", "1")
    path = tmp_path / "run" / "latest.pt"
    state = checkpoint.read(path)
    del state["config"]["judged"]
    checkpoint.save(path, state)
    sit(tiny_config, tiny_corpus, tmp_path / "run", "--resume", "--until-step", "2")
    assert checkpoint.read(path)["steps"] == 2
    tiny_config.write_text('judged = "heard"\n' + tiny_config.read_text())
    with pytest.raises(SystemExit, match="judged was 'spectra' and is now 'heard'"):
        sit(tiny_config, tiny_corpus, tmp_path / "run", "--resume")


def test_kept_averages_are_loaded_and_begun_from_but_not_gone_on_from(
    tiny_config: Path, tiny_corpus: Path, tmp_path: Path
) -> None:
    sit(tiny_config, tiny_corpus, tmp_path / "run", "--until-step", "1")
    whole, kept = tmp_path / "run" / "latest.pt", tmp_path / "kept" / "latest.pt"
    checkpoint.keep_average(whole, kept)
    assert kept.stat().st_size < whole.stat().st_size / 2
    for one, two in zip(load_network(whole).net.parameters(), load_network(kept).net.parameters()):
        assert torch.equal(one, two)
    with pytest.raises(SystemExit, match="averaged weights alone"):
        sit(tiny_config, tiny_corpus, tmp_path / "kept", "--resume")
    tiny_config.write_text(f'initial = "{kept}"\n' + tiny_config.read_text())
    begun = Run(config.read(tiny_config))
    begun.begin({"new"})
    assert torch.equal(begun.net.last.weight, load_network(kept).net.last.weight)
    assert begun.steps_before == 1 and begun.heard == load_network(kept).heard | {"new"}


def test_a_mean_lies_between_its_checkpoints_and_has_heard_what_either_heard(
    tiny_config: Path, tiny_corpus: Path, tmp_path: Path
) -> None:
    paths = [tmp_path / name / "latest.pt" for name in ("short", "long")]
    for path, last in zip(paths, ("1", "3"), strict=True):
        sit(tiny_config, tiny_corpus, path.parent, "--until-step", last)
    states = [checkpoint.read(path) for path in paths]
    states[0]["heard"].append("only the short one")
    torch.save(states[0], paths[0])
    out = tmp_path / "mean.pt"
    make_mean([*map(str, paths), "--out", str(out)])
    loaded = load_network(out)
    assert checkpoint.read(out)["mean_of"] == ["short", "long"]
    assert loaded.steps == 3 and loaded.heard == set(states[1]["heard"]) | {"only the short one"}
    for name, value in loaded.net.state_dict().items():
        torch.testing.assert_close(value, (states[0]["average"][name] + states[1]["average"][name]) / 2)
    assert not torch.equal(states[0]["average"]["last.weight"], states[1]["average"]["last.weight"])

    states[0]["config"]["system"]["options"]["time_memory"] = 6
    torch.save(states[0], paths[0])
    with pytest.raises(SystemExit, match="long/latest.pt is of system .* expected that of .*'time_memory': 6"):
        make_mean([*map(str, paths), "--out", str(out)])


def test_what_a_run_heard_is_kept_and_its_initial_is_needed_once(tiny_config: Path, tiny_corpus: Path, tmp_path: Path) -> None:
    sit(tiny_config, tiny_corpus, tmp_path / "start", "--until-step", "1")
    splits = {split: {row.name for kind in KINDS for row in rows(tiny_corpus, split, kind)} for split in SPLITS}
    heard = load_network(tmp_path / "start" / "latest.pt").heard
    assert heard == splits["train"] | splits["valid"] and not heard & splits["test"]

    tiny_config.write_text(f'initial = "{tmp_path / "start" / "latest.pt"}"\n' + tiny_config.read_text())
    sit(tiny_config, tiny_corpus, tmp_path / "run", "--until-step", "1")
    (tmp_path / "start" / "latest.pt").unlink()
    sit(tiny_config, tiny_corpus, tmp_path / "run", "--until-step", "2", "--resume")
    loaded = load_network(tmp_path / "run" / "latest.pt")
    assert (loaded.steps, loaded.heard) == (3, heard)
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    assert [sitting["first_step"] for sitting in about["sittings"]] == [0, 1]


def test_an_initial_of_another_network_is_refused(tiny_config: Path, tiny_corpus: Path, tmp_path: Path) -> None:
    sit(tiny_config, tiny_corpus, tmp_path / "start", "--until-step", "1")
    text = tiny_config.read_text().replace("time_memory = 8", "time_memory = 6")
    tiny_config.write_text(f'initial = "{tmp_path / "start" / "latest.pt"}"\n' + text)
    with pytest.raises(SystemExit, match="is of another network"):
        sit(tiny_config, tiny_corpus, tmp_path / "run")


def test_options_that_a_network_does_not_know_and_a_card_that_is_not_there_are_refused(
    tiny_config: Path, tiny_corpus: Path, tmp_path: Path
) -> None:
    if not torch.cuda.is_available():
        with pytest.raises(SystemExit, match="finds no CUDA card"):
            sit(tiny_config, tiny_corpus, tmp_path / "run", "--device", "cuda")
    tiny_config.write_text(tiny_config.read_text().replace("time_memory", "time_memories"))
    with pytest.raises(SystemExit, match="options: .*time_memories"):
        sit(tiny_config, tiny_corpus, tmp_path / "run")


def test_a_torn_checkpoint_is_refused_and_named(tiny_config: Path, tiny_corpus: Path, tmp_path: Path) -> None:
    sit(tiny_config, tiny_corpus, tmp_path / "run", "--until-step", "1")
    latest = tmp_path / "run" / "latest.pt"
    latest.write_bytes(latest.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="latest.pt: cannot be read"):
        load_network(latest)


def test_a_full_disk_keeps_the_last_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "latest.pt"
    path.write_bytes(b"the last whole one")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(CheckpointError, match="last whole checkpoint is kept"):
        checkpoint.save(path, {})
    assert path.read_bytes() == b"the last whole one" and len(list(tmp_path.iterdir())) == 1


def test_without_a_corpus_the_message_says_how_to_make_one(tiny_config: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="run `python -m underscore_training.corpus` first"):
        sit(tiny_config, tmp_path / "nowhere", tmp_path / "run")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("loss = 'x'", "missing 2 required positional arguments"),
        ("[system]\nname = 'crn'\nsize = 3\n[optimiser]\nsteps = 1", r"\[system\]: unknown field 'size'"),
        ("precision = 'int3'\n[system]\nname = 'crn'\n[optimiser]\nsteps = 1", "expected 'bfloat16' or 'float32'"),
        ("loss = 'l3'\n[system]\nname = 'crn'\n[optimiser]\nsteps = 1", "loss is 'l3', expected one of"),
        ("[system]\nname = 'crn'\n[data]\nrecipe = 'soup'\n[optimiser]\nsteps = 1", "recipe is 'soup', expected one of"),
        ("[system]\nname = 'crn'\n[optimiser]\nsteps = '400'", "steps is '400', expected int"),
        ("[system]\nname = 'crn'\n[optimiser]\nsteps = 0", "steps is 0, expected more than 0"),
        ("[system]\nname = 'asked'\n[data]\nrecipe = 'asked'\nbatch = 7\n[optimiser]\nsteps = 4", "batch is 7, expected a multiple of 2"),
        ("system = 3\n[optimiser]\nsteps = 1", r"expected a table \[system\]"),
        ("[system", "Expected"),
    ],
)
def test_a_wrong_configuration_is_refused_by_field(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        config.read(path)


def test_every_system_has_a_configuration_and_all_of_the_table_the_same_budget() -> None:
    budgets = set()
    for path in sorted(CONFIGS.glob("*.toml")):
        read = config.read(path)
        assert read.system.name in SYSTEMS and read.loss in LOSSES
        if path.parent == CONFIGS and read.data.recipe == "paper":
            budgets.add((read.optimiser.steps, read.data, read.loss))
    assert {config.read(path).system.name for path in CONFIGS.glob("*.toml")} == set(SYSTEMS)
    assert len(budgets) == 1


# What is asked wants examples beside the clips: test_asked.
PLAIN_SYSTEMS = sorted(SYSTEMS.keys() - {"asked"})
PLAIN_LOSSES = sorted(name for name in LOSSES if not name.startswith(("asked", "listening")))


@pytest.mark.parametrize("system", PLAIN_SYSTEMS)
@pytest.mark.parametrize("loss", PLAIN_LOSSES)
def test_every_system_learns_from_every_loss(tmp_path: Path, system: str, loss: str) -> None:
    options = SMALL_CRN if system in ("crn", "live") else "{}"
    path = tmp_path / "c.toml"
    path.write_text(TINY.format(system=system, options=options, precision="float32").replace("separation", loss))
    run = Run(config.read(path))
    generator = torch.Generator().manual_seed(0)
    music, speech = 0.1 * torch.randn(2, 1, round(0.3 * run.sample_rate_hz), generator=generator)
    before = [parameter.clone() for parameter in run.net.parameters()]
    assert torch.isfinite(torch.tensor(run.step(music, music + speech)))
    assert any(not torch.equal(a, b) for a, b in zip(before, run.net.parameters()))


def test_what_is_heard_of_a_network_is_judged_by_the_signal_that_it_separates(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text('judged = "heard"\n' + TINY.format(system="live", options=SMALL_CRN, precision="float32"))
    run = Run(config.read(path))
    generator = torch.Generator().manual_seed(0)
    music, speech = 0.1 * torch.randn(2, 1, run.sample_rate_hz, generator=generator)
    with torch.no_grad():
        outcome = run.outcome(run.average, music, music + speech)
        # The clip as it lies in the stream of `separate`, which puts silence before and after it.
        found = run.average.separate(music + speech)
    grid = grid_at(run.sample_rate_hz)
    first, num_frames = grid.window_samples // grid.hop_samples, outcome.estimate.shape[1]
    reference = stft(music, grid)[:, first : first + num_frames]
    assert torch.allclose(outcome.music, reference, atol=1e-5)
    assert torch.allclose(outcome.mixture, stft(music + speech, grid)[:, first : first + num_frames], atol=1e-5)
    error = (outcome.estimate - stft(found, grid)[:, first : first + num_frames]).abs().square().sum()
    # The memories of the one begin with the clip, those of the other a window earlier in silence.
    assert error < 1e-3 * outcome.estimate.abs().square().sum()


@pytest.mark.parametrize("loss", PLAIN_LOSSES)
def test_a_loss_falls_with_the_error_and_does_not_know_the_level(loss: str) -> None:
    torch.manual_seed(0)
    music, speech, noise = torch.randn(3, 2, 20, 1025, dtype=torch.complex64).unbind(0)

    def of(error: float, gain: float = 1.0) -> float:
        return float(LOSSES[loss](Outcome(None, gain * (music + error * noise), gain * music, gain * (music + speech))))

    values = [of(error) for error in (0.0, 0.03, 0.1, 0.3, 1.0)]
    assert values == sorted(values)
    assert of(0.3, gain=0.01) == pytest.approx(of(0.3), abs=0.02)


def test_a_clip_of_one_source_has_a_finite_gradient() -> None:
    spectrum = torch.randn(2, 20, 1025, dtype=torch.complex64)
    for music in (torch.zeros_like(spectrum), spectrum):
        logits = torch.zeros(2, 20, 1025, requires_grad=True)
        mask = torch.sigmoid(logits)
        LOSSES["separation"](Outcome(logits, mask * spectrum, music, spectrum)).backward()
        assert torch.isfinite(logits.grad).all() and logits.grad.abs().max() > 0


def test_a_mask_that_has_run_into_the_wall_is_led_back() -> None:
    spectrum = torch.randn(1, 20, 1025, dtype=torch.complex64)
    logits = torch.full((1, 20, 1025), -200.0, requires_grad=True)
    mask = torch.sigmoid(logits)
    LOSSES["separation"](Outcome(logits, mask * spectrum, spectrum, spectrum)).backward()
    assert (logits.grad < 0).all()


def test_the_rate_rises_falls_and_ends_where_it_is_told() -> None:
    optimiser = config.OptimiserConfig(steps=1000, peak_rate=1e-3, final_rate=1e-5, warm_up_steps=100)
    assert rate_at(99, optimiser) == pytest.approx(1e-3)
    assert rate_at(1000, optimiser) == pytest.approx(1e-5)
    rates = [rate_at(step, optimiser) for step in range(100, 1001)]
    assert rates == sorted(rates, reverse=True)
