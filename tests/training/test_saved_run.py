"""Metrics of images of a run: during training, afterwards, and when they fail."""

import json
import pathlib
import shutil

import helpers
import jax
import numpy as np
import pytest

from buresgan_jax import builders, metrics
from buresgan_jax.evaluation.image_evaluator import METRIC_OPTIONS, SHARED_OPTIONS
from buresgan_jax.extractors import pixels
from buresgan_jax.training import recorder, sampling, saved_run
from buresgan_jax.training import workdir as workdir_module
from buresgan_jax.training.workdir import read_final

BY = "ema_kernel_distance_pixels"
IMAGES = "--config=configs/mnist.py:gan,smoke"
RING = "--config=configs/ring.py:smoke"
METRICS = ["--config.evaluation.metrics=kernel_distance,precision_recall", f"--config.evaluation.best_by={BY}"]
STEPS = ["--config.training.checkpoint_every_steps=2", "--config.training.sample_every_steps=0"]

# ml_collections loads config files in a way that Python 3.12 deprecates louder.
pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")


@pytest.fixture
def run(monkeypatch, capfd, caches):
    """The command line in this process."""
    return lambda *arguments: helpers.run_here(monkeypatch, capfd, *arguments)


@pytest.fixture(scope="module")
def caches(tmp_path_factory):
    """The user's cache folder."""
    folder = tmp_path_factory.mktemp("caches")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory, caches):
    """A run of random gray pictures, evaluated at every step."""
    workdir = tmp_path_factory.mktemp("runs") / "gray"
    workdir.mkdir()
    (workdir / "config.json").write_text(helpers.make_config().to_json())
    (workdir / "evaluation.json").write_text("[]")  # of an earlier run
    (workdir / "best.json").write_text(json.dumps({"step": 1, "by": BY, "value": -1e9}))
    with pytest.MonkeyPatch.context() as monkeypatch:
        argv = ["main", IMAGES, f"--workdir={workdir}", *METRICS, *STEPS, "--config.training.num_steps=5"]
        assert helpers.call(monkeypatch, argv) == 0
    return workdir


def evaluations(workdir):
    """`{step: values}`."""
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line for line in lines if line["split"] == "eval"}


def test_training_evaluates_the_average_and_keeps_the_best(finished):
    found = evaluations(finished)
    assert list(found) == [1, 2, 3, 4, 5]
    names = {f"ema_{name}_pixels" for name in ("kernel_distance", "precision", "recall", "density", "coverage")}
    assert found[3].keys() == {"step", "split", *names}
    best = min(found, key=lambda step: found[step][BY])
    assert not (finished / "evaluation.json").exists()
    record = json.loads((finished / "best.json").read_text())
    assert record.items() >= {"step": best, "by": BY, "value": found[best][BY], "num_samples": 16}.items()
    assert int(saved_run.load(finished, "best")[2].step) == best
    assert [path.name for path in (finished / "best_checkpoint").iterdir() if path.name.isdigit()] == [str(best)]
    assert json.loads((finished / "final.json").read_text())[BY] == found[5][BY]


def test_evaluate_says_how_each_number_was_made(finished, run, tmp_path, monkeypatch, caplog):
    workdir = pathlib.Path(shutil.copytree(finished, tmp_path / "run"))
    result = run("--mode=evaluate", f"--workdir={workdir}", "--metrics=frechet_distance,kernel_distance")
    assert result.status == 0, result.err
    values = json.loads(result.out)
    (document,) = json.loads((workdir / "evaluation.json").read_text())
    entries = document.pop("metrics")
    options = {name: document.pop(name) for name in (*SHARED_OPTIONS, *METRIC_OPTIONS)}
    assert (options["subset_size"], options["split"]) == (8, None)
    assert document == {"step": 5, "num_samples": 16, "seed": 0}
    assert list(entries) == [f"{p}{name}_distance_pixels" for p in ("", "ema_") for name in ("frechet", "kernel")]
    assert values == {**document, **{name: entry["value"] for name, entry in entries.items()}}
    facts = {"n_real": 32, "n_fake": 16, "real": "random images", "subset_size": 8, "extractor": "pixels"}
    assert facts.items() <= entries[BY].items()
    assert f"| {BY} | {entries[BY]['value']:.6g} |" in result.err
    for flag in ("--metrics=vendi_score", "--metrics=ms_ssim,precision_recall", "--num_neighbors=2"):
        again = run("--mode=evaluate", f"--workdir={workdir}", flag)
        assert again.status == 0, again.err
    first, second = json.loads((workdir / "evaluation.json").read_text())  # what was there stays
    assert list(first["metrics"])[:6] == [*entries, "vendi_score_pixels", "ema_vendi_score_pixels"]
    assert "it needs images of at least 176x176 pixels" in first["metrics"]["ms_ssim"]["undefined"]
    found = [each["metrics"]["ema_recall_pixels"] for each in (first, second)]
    assert [each["num_neighbors"] for each in found] == [5, 2]
    (workdir / "evaluation.json").write_text("{")
    assert "evaluation.json is damaged. Move it away" in run("--mode=evaluate", f"--workdir={workdir}").err
    (workdir / "evaluation.json").unlink()

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(workdir_module, "replace_text", refuse)
        again = run("--mode=evaluate", f"--workdir={workdir}", "--metrics=frechet_distance")
    assert (again.status, json.loads(again.out)["step"]) == (0, 5)
    assert f"The numbers were not stored in {workdir}: [Errno 13] Permission denied." in caplog.text
    assert not (workdir / "evaluation.json").exists()

    config, algorithm, state = saved_run.load(workdir)
    key = jax.random.key(0)
    samples = sampling.make_sampler(algorithm)(state, key, 16, ema=True)
    images = builders.source(config).fetch(np.arange(32)), np.rint((samples + 1) * 127.5).astype(np.uint8)
    expected = metrics.frechet_distance(*(pixels().function(each)[0] for each in images))
    assert values["ema_frechet_distance_pixels"] == pytest.approx(expected, rel=1e-6)


def test_checkpoints_are_chosen(finished, run, tmp_path):
    workdir = pathlib.Path(shutil.copytree(finished, tmp_path / "run"))
    flags = ["--mode=evaluate", f"--workdir={workdir}", "--num_samples=8"]
    values = [json.loads(line) for line in run(*flags, "--checkpoint=all").out.splitlines()]
    assert [(each["step"], each["num_samples"]) for each in values] == [(4, 8), (5, 8)]
    assert [each["step"] for each in json.loads((workdir / "evaluation.json").read_text())] == [4, 5]
    assert json.loads(run(*flags, "--checkpoint=4").out) == values[0]
    best = json.loads((workdir / "best.json").read_text())["step"]
    assert json.loads(run(*flags, "--checkpoint=best").out)["step"] == best
    out = tmp_path / "x.npz"
    sample = ["--mode=sample", f"--workdir={workdir}", f"--out={out}", "--num_samples=2"]
    drawn = []
    for checkpoint in ("5", "newest", "4"):
        assert run(*sample, f"--checkpoint={checkpoint}").status == 0
        drawn.append(np.load(out)["samples"])
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])


def test_a_failed_evaluation_costs_no_training_and_the_best_outlives_a_restart(
    finished, run, tmp_path, monkeypatch, caplog
):
    workdir = pathlib.Path(shutil.copytree(finished, tmp_path / "run"))
    good = recorder.evaluate

    def fails_at_6(evaluators, draw, log_ratio, **options):
        if int(draw.args[0].step) == 6:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED:\nno space left")
        return good(evaluators, draw, log_ratio, **options)

    monkeypatch.setattr(recorder, "evaluate", fails_at_6)
    result = run(IMAGES, f"--workdir={workdir}", *METRICS, *STEPS, "--config.training.num_steps=7")
    assert result.status == 2
    assert "Training is done and saved in " in result.err.splitlines()[-1]
    assert "an evaluation failed at step 6: RESOURCE_EXHAUSTED: no space left. Evaluate" in result.err.splitlines()[-1]
    assert "The evaluation failed at step 6: RESOURCE_EXHAUSTED: no space left" in caplog.text
    found = evaluations(workdir)
    assert list(found) == [1, 2, 3, 4, 5, 7]
    assert read_final(workdir)[BY] == found[7][BY]
    assert json.loads((workdir / "best.json").read_text())["step"] == min(found, key=lambda step: found[step][BY])
    assert int(saved_run.load(workdir)[2].step) == 7


MISTAKES = {
    "metric": ([IMAGES, "--config.evaluation.metrics=kernel_distanse"], "Did you mean 'kernel_distance'?"),
    "extractor": ([IMAGES, METRICS[0], "--config.evaluation.extractor=pixel"], "Unknown extractor 'pixel'."),
    "few": ([IMAGES, METRICS[0], "--config.evaluation.num_samples=5"], "precision_recall: fake has too few samples"),
    "many": ([IMAGES, METRICS[0], "--config.evaluation.num_real=33"], "random images has 32 images, 33 are wanted."),
    "points": (
        [RING, METRICS[0]],
        "The metrics kernel_distance, precision_recall are of images, and 'ring' has points.",
    ),
    "best": ([IMAGES, METRICS[0], "--config.evaluation.best_by=kernel_distance_pixels"], f"Did you mean '{BY}'?"),
    "nothing": ([IMAGES, METRICS[1]], "but nothing is evaluated. Set evaluation.metrics."),
    "best of points": ([RING, "--config.evaluation.best_by=ema_mode"], "Did you mean 'ema_modes'?"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_before_training(run, tmp_path, name):
    arguments, message = MISTAKES[name]
    result = run(*arguments, f"--workdir={tmp_path / 'new'}")
    assert (result.status, result.err.count("\n")) == (2, 1), result.err
    assert message in result.err
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--checkpoint=last"], "--checkpoint must be newest, best, all or a step, got 'last'."),
        (["--checkpoint=\u00b2"], "--checkpoint must be newest, best, all or a step, got '\u00b2'."),
        ([f"--checkpoint={'9' * 5000}"], "--checkpoint must be newest, best, all or a step, got '999"),
        (["--checkpoint=3"], "There is no checkpoint 3 in "),
        (["--metrics=sliced"], "Unknown metric 'sliced'."),
        (["--resizer=clean"], "The extractor 'pixels' takes means over fields"),
        (["--mode=sample", "--checkpoint=all"], "--checkpoint=all is for --mode=evaluate."),
    ],
)
def test_a_mistake_in_evaluating_is_told(finished, run, arguments, message):
    result = run("--mode=evaluate", f"--workdir={finished}", *arguments)
    assert (result.status, result.out, result.err.count("\n")) == (2, "", 1), result.err
    assert message in result.err
