"""A user's own components in an empty folder: files and commands of docs/your_own.md and docs/divergences.md."""

import json
import pathlib
import re
import shlex
import sys

import helpers
import numpy as np
import pytest

import buresgan_jax
from buresgan_jax import sweep
from buresgan_jax.config import catalog
from buresgan_jax.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")
PAGE = (helpers.ROOT / "docs" / "your_own.md").read_text(encoding="utf-8")
TINY = ["--config.training.num_steps=4", "--config.training.steps_per_call=2", "--config.evaluation.every_steps=0"]


FILES = ("my_gan", "my_data")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the page's files, from which the user runs the commands."""
    for name, text in zip(FILES, re.findall(r"```python\n(.*?)```", PAGE, flags=re.S), strict=True):
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)  # as `python -m` has the current folder
    yield tmp_path
    for name in FILES:
        sys.modules.pop(name, None)


def commands():
    """Program and arguments of each of the page's commands."""
    for line in "".join(re.findall(r"```bash\n(.*?)```", PAGE, flags=re.S)).splitlines():
        _, _, program, *arguments = shlex.split(line)
        yield program.rpartition(".")[2], [re.sub("=(ring|my_data.py):", r"=\1:smoke,", each) for each in arguments]


def test_the_commands_of_the_page_work(folder, monkeypatch):
    for program, arguments in commands():
        tiny = [] if "--mode=evaluate" in arguments else TINY
        more = ["--together=vmap"] if program == "sweep" else []
        main = sweep.main if program == "sweep" else None
        assert helpers.call(monkeypatch, [program, *arguments, *tiny, *more], main, cwd=folder) == 0
    final = json.loads((folder / "runs" / "ball" / "final.json").read_text())
    assert final["step"] == 4
    (document,) = json.loads((folder / "runs" / "ball" / "evaluation.json").read_text())
    assert document["metrics"]["ema_mean_radius"]["value"] > 0
    assert len((folder / "runs" / "radii" / "results.csv").read_text().splitlines()) == 3
    config = json.loads((folder / "runs" / "twice" / "config.json").read_text())
    assert config["algorithm"]["name"] == "my_gan:twice"
    assert config["loss"]["sharpness"] == 4
    config = json.loads((folder / "runs" / "narrow" / "config.json").read_text())
    assert (config["terms"], config["ball"]["radius"]) == (["gradient_penalty", "my_gan:ball"], 2.8)
    assert config["algorithm"]["discriminator_steps"] == 10  # of WGAN-GP on points
    for name in ("moon", "like_ring"):
        config = json.loads((folder / "runs" / name / "config.json").read_text())
        assert (config["data"]["name"], config["generator"]["name"]) == ("my_data:moon", "my_data:residual")
        assert json.loads((folder / "runs" / name / "final.json").read_text())["step"] == 4


def test_own_parts_resume_and_are_sampled_from_the_workdir(folder, monkeypatch):
    run = ["main", "--config=ring:smoke,my_gan:twice+my_gan:on_data", f"--workdir={folder / 'run'}", *TINY]
    assert helpers.call(monkeypatch, run, cwd=folder) == 0
    assert helpers.call(monkeypatch, [*run, "--config.training.num_steps=6"], cwd=folder) == 0
    assert json.loads((folder / "run" / "final.json").read_text())["step"] == 6
    out = pathlib.Path(folder / "samples.npz")
    sample = ["main", "--mode=sample", f"--workdir={folder / 'run'}", f"--out={out}"]
    assert helpers.call(monkeypatch, sample, cwd=folder) == 0
    generator = buresgan_jax.load_generator(folder / "run")
    np.testing.assert_allclose(generator.sample(64), np.load(out)["samples"], rtol=1e-5, atol=1e-5)
    z = np.ones((3, generator.latent_dim), np.float32)
    assert generator.generate(z).shape == (3, 2)


def test_the_runs_of_the_page_of_divergences_work(tmp_path, monkeypatch):
    page = (helpers.ROOT / "docs" / "divergences.md").read_text(encoding="utf-8")
    (tmp_path / "my_divergence.py").write_text(re.findall(r"```python\n(.*?)```", page, flags=re.S)[-1])
    monkeypatch.syspath_prepend(tmp_path)
    runs = re.findall(r"^python -m buresgan_jax\.main (.*)$", page, flags=re.M)
    assert len(runs) == 4
    for number, line in enumerate(runs):
        arguments = [each.replace("=ring:", "=ring:smoke,") for each in shlex.split(line)]
        arguments = [each for each in arguments if not each.startswith("--workdir=")] + [f"--workdir={number}"]
        assert helpers.call(monkeypatch, ["main", *arguments, *TINY], cwd=tmp_path) == 0
        final = json.loads((tmp_path / str(number) / "final.json").read_text())
        assert final["bound_jensen_shannon"] < np.inf
    config = json.loads((tmp_path / "3" / "config.json").read_text())
    assert config["loss"].items() >= {"name": "my_divergence:two_tails", "right": 1.8, "clip": 5.0}.items()
    sys.modules.pop("my_divergence", None)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("gan+my_gan:bal", "'my_gan' has no 'bal'. Did you mean 'ball'?"),
        ("gan+nowhere:ball", "Cannot import 'nowhere'"),
        ("gan+my_gan:np", "is a module, no component"),
    ],
)
def test_a_wrong_name_is_one_line(folder, monkeypatch, capfd, argument, message):
    arguments = ["main", f"--config=ring:{argument}", f"--workdir={folder / 'new'}"]
    assert helpers.call(monkeypatch, arguments, cwd=folder) == 2
    said = capfd.readouterr().err
    assert message in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\ndef f(:\n", "line 2: SyntaxError: invalid syntax"),
        ("import math\n\nx = math.sqrt('a')\n", "line 3: TypeError: must be real number, not str"),
        ("import json\n\n\nx = json.loads('{')\n", "line 4: JSONDecodeError: Expecting property name"),
    ],
)
def test_an_error_in_an_own_module_names_its_own_line(tmp_path, monkeypatch, text, message):
    file = tmp_path / "mistaken" / "__init__.py"  # which the import of mistaken.gan runs first
    file.parent.mkdir()
    file.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError) as raised:
        catalog.load("mistaken.gan:x")
    assert str(raised.value).startswith(f"Cannot import 'mistaken.gan' of 'mistaken.gan:x': {file}, {message}")


def test_a_config_file_of_the_users_names_own_parts_by_assignment(folder, monkeypatch):
    (folder / "mine.py").write_text(
        "from buresgan_jax import config as defaults\n\n\n"
        "def get_config(argument='gan'):\n"
        "    config = defaults.default(argument)\n"
        "    config.data.name, config.data.num_examples = 'ring', 64\n"
        "    config.latent.name = 'my_gan:on_data'\n"
        "    config.evaluation.metrics = 'my_gan:mean_radius'\n"
        "    defaults.add_component(config, 'my_gan:ball')\n"
        "    return defaults.finish(config)\n"
    )
    flags = ["--config.latent.num_centers=8", "--config.ball.weight=0.5", *TINY]
    assert helpers.call(monkeypatch, ["main", "--config=mine.py:smoke", "--workdir=run", *flags], cwd=folder) == 0
    final = json.loads((folder / "run" / "final.json").read_text())
    assert final["ema_mean_radius"] > 0
    config = json.loads((folder / "run" / "config.json").read_text())
    assert (config["latent"]["num_centers"], config["ball"]["weight"]) == (8, 0.5)
