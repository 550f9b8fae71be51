"""The suite: its runs, tables and pictures."""

import csv
import pathlib

import helpers
import jax
import numpy as np
import pytest
from PIL import Image

from buresgan_jax import builders, metrics, suite
from buresgan_jax import config as config_lib
from buresgan_jax.config import METHODS, PAPER_METHODS
from buresgan_jax.divergences import DIVERGENCES
from buresgan_jax.errors import UserError
from buresgan_jax.evaluation import classifier_training, tables
from buresgan_jax.launch import perfect, processes, scheduler
from buresgan_jax.launch.processes import Outcome

# ml_collections loads config files in a way that Python 3.12 deprecates louder.
pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")

SUITE = "--config=configs/suites/synthetic.py"


def call(monkeypatch, *arguments):
    return helpers.call(monkeypatch, ["benchmark", SUITE, *map(str, arguments)], suite.main)


def test_a_small_suite_ends_in_tables_and_a_picture(monkeypatch, tmp_path, capfd):
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- results -->\nold\n<!-- /results -->\nafter\n")
    shrink = ["training.num_steps=2", "training.steps_per_call=1", "evaluation.num_samples=300"]
    shrink += ["training.batch_size=8", "training.sample_every_steps=0", "generator.hidden=(4,)"]
    shrink += ["evaluation.metrics=wasserstein,two_sample", "evaluation.every_steps=0"]
    arguments = ["--config.data=ring", "--config.methods=gan,bures", "--config.seeds=4", "--together=vmap"]
    arguments += [f"--config.overrides={' '.join(shrink)}", f"--workdir={tmp_path}", f"--update={readme}"]
    assert call(monkeypatch, *arguments) == 0
    with (tmp_path / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["method"], row["seed"], row["status"]) for row in rows] == [
        (method, "4", "done") for method in ("gan", "bures")
    ]
    text = readme.read_text()
    assert "old" not in text
    assert "| ring | bures | 1 | " in text
    ceiling = next(line for line in text.splitlines() if "(perfect samples)" in line)
    assert "| 10 | 8 (0) | 0.9" in ceiling
    header = next(line for line in text.splitlines() if line.startswith("| data | method | "))
    of_column = dict(zip(header.split(" | "), ceiling.split(" | "), strict=True))
    assert float(of_column["mode_spread"].split()[0]) == pytest.approx(1, abs=0.03)
    assert 0.1 < float(of_column["wasserstein"].split()[0]) < 0.3
    assert of_column["two_sample_passed"] in ("9/10", "10/10")  # one draw is near the level
    assert " ema_two_sample_passed " in text
    assert "`two_sample_passed`: runs that" in (tmp_path / "results.md").read_text()
    assert all(0 < float(row["two_sample_p"]) < 0.01 for row in rows)
    assert text.split("\n\n")[1] in (tmp_path / "results.md").read_text()
    with Image.open(tmp_path / "samples.png") as picture:
        assert picture.size[0] > 300
    capfd.readouterr()
    monkeypatch.setattr(metrics, "kernel_two_sample_test", None)  # perfect samples are not evaluated again
    assert call(monkeypatch, *arguments) == 0  # everything is done
    assert readme.read_text() == text
    assert "2 of 2 runs are already done" in capfd.readouterr().err


ROW = "ring,{},{},{},{},0.5,1.5,8,{}\n"  # data, method, seed, status, step, seconds, seconds_per_step, modes, overrides


def _elsewhere(folder, rows):
    file = folder / "elsewhere.csv"
    header = "data,method,seed,status,step,seconds,seconds_per_step,modes,overrides\n"
    file.write_text(header + "".join(ROW.format(*row) for row in rows))
    return file


def test_runs_of_other_machines_count_as_done(monkeypatch, tmp_path, capfd):
    trained = []

    def run_cells(all_cells, **_):
        trained.extend(cell.name for cell in all_cells)
        return [Outcome("done", {"step": 25_000, "seconds": 3.0, "modes": 6}) for _ in all_cells]

    monkeypatch.setattr(processes, "run_cells", run_cells)
    rows = [("gan", 0, "done", 25_000, ""), ("gan", 1, "diverged", "", ""), ("bures", 0, "done", 25_000, "")]
    arguments = ["--config.data=ring", "--config.methods=gan", "--config.seeds=0:2", f"--workdir={tmp_path / 'here'}"]
    arguments += [f"--results={_elsewhere(tmp_path, rows)}", "--together=processes"]
    assert call(monkeypatch, *arguments) == 0
    assert trained == ["data=ring method=gan seed=1"]
    assert "| ring | gan | 2 | 7 (1) |" in capfd.readouterr().out
    merged = tables.from_csv((tmp_path / "here" / "results.csv").read_text())
    assert [row["modes"] for row in merged] == [8, 6]
    assert merged[0]["seconds_per_step"] == 1.5


def test_runs_without_some_numbers_still_make_the_table(monkeypatch, tmp_path, capfd):
    """Of an older version, or with other metrics: the perfect samples have no number that no run has."""
    arguments = ["--config.data=ring", "--config.methods=gan", "--config.seeds=0:1", f"--workdir={tmp_path / 'here'}"]
    file = _elsewhere(tmp_path, [("gan", 0, "done", 25_000, "evaluation.metrics= evaluation.best_by=ema_modes")])
    monkeypatch.setattr(metrics, "kernel_two_sample_test", None)
    assert call(monkeypatch, *arguments, "--notrain", f"--results={file}") == 0
    said = capfd.readouterr().out
    assert "| data | method | runs | modes | high_quality_share | reverse_kl | mode_spread | seconds_per_step |" in said
    assert "| ring | gan | 1 | 8 | - | - | - | 1.5 |" in said
    assert "| ring | (perfect samples) | 10 | 8 (0) | 0.99" in said


@pytest.mark.parametrize(
    "damage",
    [str.upper, lambda text: text[: len(text) // 2], lambda text: "\0" + text, lambda text: text.replace("8", "x")],
)
def test_damaged_numbers_of_perfect_samples_are_computed_again(tmp_path, damage):
    config = helpers.make_config(evaluation__num_samples=50)
    cells = [processes.Cell({"data": "ring", "method": "gan", "seed": 0}, tmp_path, (), config)]
    rows = perfect.rows(cells, ["ema_modes"], tmp_path)
    assert [row["seed"] for row in rows] == list(range(10))
    file = tmp_path / perfect.FILE
    file.write_text(damage(file.read_text()))
    assert perfect.rows(cells, ["modes"], tmp_path) == rows
    assert perfect.rows(cells, ["wasserstein"], tmp_path) == []


@pytest.mark.parametrize("row", [("gan", 0, "done", 100, ""), ("gan", 0, "done", 25_000, "bures.weight=2")])
def test_runs_of_another_suite_are_refused(monkeypatch, tmp_path, capfd, row):
    arguments = ["--config.data=ring", "--config.methods=gan", f"--workdir={tmp_path / 'here'}"]
    assert call(monkeypatch, *arguments, f"--results={_elsewhere(tmp_path, [row])}") == 2
    said = capfd.readouterr().err
    assert f"had {row[3]} steps and the overrides {row[4]!r}; this suite has 25000 and 'evaluation.metrics" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "No such file"),
        ("a,b\n1,2\n", "not the results.csv of a suite"),
        ("data,method,seed,status,step,modes\nring,gan,0,done,25000,many\n", "has values that are no numbers"),
    ],
)
def test_results_that_are_none_are_told(monkeypatch, tmp_path, capfd, text, said):
    file = tmp_path / "results.csv"
    if text:
        file.write_text(text)
    assert call(monkeypatch, f"--workdir={tmp_path / 'here'}", f"--results={file}") == 2
    assert said in capfd.readouterr().err


def test_what_is_missing_or_failed_is_in_the_table(monkeypatch, tmp_path, capfd):
    def run_cells(all_cells, **_):
        return [Outcome("diverged", {}, "Training diverged at step 3"), Outcome("stopped", {})]

    monkeypatch.setattr(processes, "run_cells", run_cells)
    arguments = ["--config.data=grid", "--config.methods=gan", "--config.seeds=0:2", f"--workdir={tmp_path}"]
    assert call(monkeypatch, *arguments, "--together=processes") == 1
    assert "| grid | gan | 2 (1 diverged, 1 stopped) | - |" in capfd.readouterr().out
    assert "Training diverged at step 3" in (tmp_path / "results.csv").read_text()
    assert call(monkeypatch, *arguments, "--notrain") == 1
    assert "| grid | gan | 2 (2 missing) | - |" in capfd.readouterr().out


MISTAKES = {
    "--config.methods=gna": "Unknown method 'gna'. Did you mean 'gan'?",
    "--config.methods=gan,gan": "config.methods='gan,gan': give different names",
    "--config.data=rign": "Unknown data 'rign'",
    "--config.seeds=x": "give different seeds",
    "--config.overrides=training.num_step=3": "--config.overrides: Unknown config key 'training.num_step'. Did",
    "--config.overrides=training.num_steps=x": "--config.overrides: training.num_steps=x does not fit",
    "--config.overrides=training.num_steps": "'training.num_steps' is not KEY=VALUE, such as",
    "--config.overrides='": "--config.overrides=': No closing quotation.",
    "--config.overrides=loss.name=None": "--config.overrides: config.loss.name must be text, got None.",
    "--config.methods=None": "config.methods=None: give different names",
}


@pytest.mark.parametrize("argument", MISTAKES)
def test_mistakes_end_in_one_line_before_anything_runs(monkeypatch, tmp_path, capfd, argument):
    assert call(monkeypatch, f"--workdir={tmp_path / 'new'}", argument) == 2
    said = capfd.readouterr().err
    assert MISTAKES[argument] in said
    assert said.count("\n") == 1
    assert not (tmp_path / "new").exists()


BEST_VARIANTS = (
    *("no_adversary", "no_mmd", "no_supervision", "distances", "normal_latent", "fewer_points", "short_noise"),
    *("half_the_noise", "constant_rates", "higher_rate", "equal_rates", "wider"),
    *("twice_the_batch", "twice_the_steps", "with_bures"),
)


@pytest.mark.parametrize("name", BEST_VARIANTS)
def test_every_variant_of_the_best_method_differs_from_it_in_one_part(name):
    best, variant = (
        helpers.load_config("grid", method) for method in ("best", f"buresgan_jax.configs.suites.best:{name}")
    )
    builders.algorithm(variant)
    flat_best, flat = (config_lib.flatten(each) for each in (best, variant))
    changed = {key for key in flat_best.keys() & flat.keys() if flat_best[key] != flat[key]} - {"method"}
    allowed = {"normal_latent": 4, "fewer_points": 2, "constant_rates": 2, "twice_the_steps": 3}.get(name, 1)
    assert 1 <= len(changed) <= allowed, changed


@pytest.mark.parametrize("name", DIVERGENCES)
def test_the_variants_of_the_divergences_differ_in_the_generators_one_alone(name):
    variant, other = (
        helpers.load_config("ring", f"buresgan_jax.configs.suites.divergences:{each}") for each in (name, "kl")
    )
    builders.algorithm(variant)
    flat, expected = (config_lib.flatten(each) for each in (variant, other))
    assert variant.loss.generator == name
    assert {key for key in flat if flat[key] != expected[key]} <= {"method", "loss.generator"}


PAIRING_VARIANTS = {  # loss, gamma
    **{"pairing_tenth": ("pairing", 0.1), "pairing_one": ("pairing", 1), "pairing_ten": ("pairing", 10)},
    **{"gan_tenth": ("non_saturating", 0.1), "gan_one": ("non_saturating", 1), "gan_ten": ("non_saturating", 10)},
}


@pytest.mark.parametrize("name", PAIRING_VARIANTS)
def test_the_variants_of_pairing_differ_from_it_in_what_their_names_say(name):
    pairing, variant = (
        helpers.load_config("grid", method) for method in ("pairing", f"buresgan_jax.configs.suites.pairing:{name}")
    )
    builders.algorithm(variant)
    loss, gamma = PAIRING_VARIANTS[name]
    assert variant.loss.name == loss
    assert variant.terms == (("r1", "r2") if loss == "pairing" else ("r1",))
    assert {variant[term].weight for term in variant.terms} == {gamma}
    whole, flat = (config_lib.flatten(each) for each in (pairing, variant))
    changed = {key for key in flat if flat[key] != whole[key]}
    assert changed <= {"method", "terms", "loss.name", "r1.weight", "r2.weight"}


MAEM_VARIANTS = {  # what it lacks of the terms, and the formula of the entropy
    "loss_alone": ({"entropy", "real_entropy", "dlle", "disomap"}, None),
    "with_disomap": ({"entropy", "real_entropy", "dlle"}, None),
    "with_dlle": ({"entropy", "real_entropy"}, None),
    "with_entropy": ({"dlle"}, "mean_log"),
    "log_mean": (set(), "log_mean"),
    "cosine": (set(), "cosine"),
}


@pytest.mark.parametrize("data", ["ring", "stacked_mnist_quarter"])
@pytest.mark.parametrize("name", MAEM_VARIANTS)
def test_the_variants_of_maem_lack_what_they_say_and_nothing_else(name, data):
    whole, variant = (
        helpers.load_config(data, method) for method in ("maem", f"buresgan_jax.configs.suites.maem:{name}")
    )
    builders.algorithm(variant)
    missing, formula = MAEM_VARIANTS[name]
    assert set(whole.terms) - set(variant.terms) == missing
    flat_whole, flat = (config_lib.flatten(each) for each in (whole, variant))
    changed = {key for key in flat if flat[key] != flat_whole[key]} - {"method", "terms"}
    modes = {"entropy.mode", "real_entropy.mode"} if formula not in (None, "mean_log") else set()
    assert changed == modes
    assert {flat[key] for key in modes} <= {formula}


@pytest.mark.parametrize("file", sorted(pathlib.Path("configs/suites").glob("*.py")), ids=lambda file: file.stem)
def test_every_suite_makes_its_runs_and_says_how(file, tmp_path):
    names = suite._load(file).get_config()
    names.seeds = "0:1"
    made = suite.make_cells(names, pathlib.Path("configs").resolve(), tmp_path)
    of_mmd = {name for name in METHODS if name.startswith("mmd_")}
    own = {
        "mmd": of_mmd | {"gan", "hinge", "bures", "mmd_repulsive+bures"},
        "weak_discriminator": {"gan", "pacgan", "bures", "mmd_repulsive", "bourgan", "pairing"},
        "best": {"best", *(f"buresgan_jax.configs.suites.best:{name}" for name in BEST_VARIANTS)},
        "divergences": {f"buresgan_jax.configs.suites.divergences:{name}" for name in DIVERGENCES},
        "maem": {"maem", *(f"buresgan_jax.configs.suites.maem:{name}" for name in MAEM_VARIANTS)},
        "pairing": {f"buresgan_jax.configs.suites.pairing:{name}" for name in PAIRING_VARIANTS},
    }
    expected = own.get(file.stem, set(PAPER_METHODS))
    assert {cell.labels["method"] for cell in made} == expected
    assert f"--config=configs/suites/{file.stem}.py --workdir=" in file.read_text()


def test_a_weak_discriminator_has_its_share_of_the_generators_width_with_every_method(tmp_path):
    names = suite._load(pathlib.Path("configs/suites/weak_discriminator.py")).get_config()
    names.seeds = "0:1"
    for cell in suite.make_cells(names, pathlib.Path("configs").resolve(), tmp_path):
        parts = {"stacked_mnist_half": 2, "stacked_mnist_quarter": 4}[cell.labels["data"]]
        assert cell.config.generator.base_filters == 64
        algorithm, example = builders.algorithm(cell.config), np.zeros((28, 28, 3), np.float32)
        state = jax.eval_shape(algorithm.init, jax.random.key(0), example, algorithm.prepared_like)
        kernels = [leaf for leaf in jax.tree.leaves(state.discriminator.params) if leaf.ndim == 4]
        assert min(leaf.shape[-1] for leaf in kernels) == 64 // parts


def test_runs_share_one_classifier(monkeypatch, tmp_path):
    trained = []
    monkeypatch.setattr(
        classifier_training, "classifier_when_needed", lambda *args, **_: lambda: trained.append(args[:2])
    )
    config = suite._load(pathlib.Path("configs/stacked_mnist.py")).get_config()
    made = [processes.Cell({"data": "stacked_mnist", "seed": i}, tmp_path, ("--x",), config) for i in range(2)]
    shared = scheduler.share(made, tmp_path)
    assert trained == [("mnist", tmp_path / "classifier_mnist.npz")]
    assert all(
        cell.arguments == ("--x", f"--config.evaluation.classifier={tmp_path}/classifier_mnist.npz") for cell in shared
    )


def test_runs_of_the_first_seed_come_first(tmp_path):
    from configs.suites import synthetic

    names = synthetic.get_config()
    names.seeds, names.data, names.methods = "3,5", "ring,grid", "gan,bures"
    names.overrides = "bures.weight=2 training.num_steps=7"
    made = suite.make_cells(names, pathlib.Path("configs").resolve(), tmp_path)
    assert [cell.labels["seed"] for cell in made] == [3] * 4 + [5] * 4
    last = made[-1]
    assert last.name == "data=grid method=bures seed=5"
    assert last.workdir == tmp_path / "grid" / "bures" / "seed_5"
    assert (last.config.seed, last.config.bures.weight, last.config.training.num_steps) == (5, 2.0, 7)
    assert last.arguments[0].endswith("configs/grid.py:bures")
    assert np.all([f"--config.{word}" in last.arguments for word in (*names.overrides.split(), "seed=5")])
    assert made[0].arguments[1:] == ("--config.training.num_steps=7", "--config.seed=3")  # gan has no such term
    names.overrides = "bures.wieght=2"
    with pytest.raises(UserError, match="Unknown config key 'bures.wieght'"):
        suite.make_cells(names, pathlib.Path("configs").resolve(), tmp_path)
