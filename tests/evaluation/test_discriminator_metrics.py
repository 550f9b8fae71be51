"""Bounds of divergences by the discriminator of a run."""

import jax
import numpy as np
import pytest
from helpers import make_config, read_metrics

from buresgan_jax import builders, data
from buresgan_jax.divergences import DIVERGENCES
from buresgan_jax.errors import UserError
from buresgan_jax.evaluation import discriminator_metrics, evaluators
from buresgan_jax.launch import perfect, processes
from buresgan_jax.training import loop, sampling, saved_run

MIXTURE = data.ring_mixture()
BOUNDS = {f"bound_{name}" for name in DIVERGENCES}


def points(mean, n=20_000):
    return mean + np.random.default_rng(round(mean * 10)).normal(size=(n, 1))


def test_bounds_of_the_true_log_ratio_are_the_divergences():
    evaluator = discriminator_metrics.discriminator_evaluator(points(0.0), "a normal law")
    entries = evaluator(points(0.5), lambda x: 0.125 - x / 2)  # log N(x; 0, 1) - log N(x; 0.5, 1)
    assert entries.keys() == BOUNDS
    for name in ("kl", "reverse_kl", "jeffreys"):
        assert entries[f"bound_{name}"]["value"] == pytest.approx(0.125, abs=0.01)
    facts = {"n_real": 20_000, "n_fake": 20_000, "clipped_share": 0.0}
    assert facts.items() <= entries["bound_kl"].items()
    assert entries["bound_kl"]["made_from"] == "the discriminator and a normal law"


def test_bounds_are_of_the_raw_generator_and_choose_no_checkpoint():
    evaluator = discriminator_metrics.discriminator_evaluator(points(0.0, 10), "a normal law")
    found = dict(evaluators.evaluate([evaluator], lambda *, ema: points(0.5, 10), lambda x: -x))
    assert found.keys() == BOUNDS
    with pytest.raises(UserError, match="no number that is evaluated tells the better"):
        evaluators.best_choice([evaluator], "bound_kl", 10)


@pytest.mark.parametrize(("method", "data_set"), [("f_gan", "ring"), ("unrolled", "ring"), ("bures", "mnist")])
def test_a_run_logs_the_bounds_and_a_saved_one_evaluates_them(method, data_set, tmp_path):
    metrics = {"evaluation.metrics": "divergence_bounds"}
    loop.train_and_evaluate(make_config(method, data_set, evaluation__metrics="divergence_bounds"), tmp_path)
    (line,) = (line for line in read_metrics(tmp_path) if line["split"] == "eval")
    assert line.keys() >= BOUNDS
    (values,) = saved_run.run_evaluation(tmp_path, changes=metrics)
    assert values.keys() >= BOUNDS
    assert np.isfinite([values[name] for name in BOUNDS]).all()


def test_the_log_ratio_is_that_of_the_discriminator():
    algorithm = builders.algorithm(make_config("f_gan", "ring", loss__real_share=0.75))
    state = algorithm.init(jax.random.key(0), np.zeros(2, np.float32), {})
    examples = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    ratio = algorithm.log_ratio(state, examples)
    plain = builders.algorithm(make_config("gan", "ring"))
    np.testing.assert_allclose(ratio, plain.log_ratio(state, examples) - np.log(3), rtol=1e-5)
    assert ratio.shape == (5, 1)
    on_host = sampling.make_log_ratio(algorithm)
    for n in (1, 256, 300):
        many = np.random.default_rng(n).normal(size=(n, 2)).astype(np.float32)
        np.testing.assert_allclose(on_host(state, many), algorithm.log_ratio(state, many), rtol=1e-5, atol=1e-6)


def test_the_reals_are_fresh_points_or_training_examples(tmp_path):
    (_, evaluator) = builders.evaluators(make_config(evaluation__metrics="divergence_bounds"), workdir=tmp_path)
    seen = []
    evaluator(np.zeros((16, 2), np.float32), lambda x: seen.append(x) or np.zeros((len(x), 1)))
    np.testing.assert_array_equal(seen[0], data.held_out_points(MIXTURE, 16, seed=0))
    config = make_config("gan", "mnist", evaluation__metrics="divergence_bounds", evaluation__num_samples=10_000)
    source = builders.source(config)
    (evaluator,) = builders.evaluators(config, source, workdir=tmp_path)
    seen.clear()
    evaluator(np.zeros((3, 28, 28, 1), np.float32), lambda x: seen.append(x) or np.zeros((len(x), 1)))
    every = np.asarray(source.decode(source.fetch(np.arange(source.num_examples))))
    assert {each.tobytes() for each in seen[0]} == {each.tobytes() for each in every}
    assert len(seen[0]) == source.num_examples


def test_perfect_samples_of_a_suite_have_no_bounds(tmp_path):
    config = make_config(evaluation__metrics="divergence_bounds")
    cell = processes.Cell({"data": "ring", "seed": 0}, tmp_path, (), config)
    rows = perfect.rows([cell], ["modes", *BOUNDS], tmp_path)
    assert len(rows) == 10
    assert not BOUNDS & rows[0].keys()


@pytest.mark.parametrize("method", ["hinge", "pacgan", "veegan", "wgan_gp", "mdgan_v2"])
def test_methods_without_a_log_ratio_are_told(method, tmp_path):
    config = make_config(method, "ring", evaluation__metrics=" divergence_bounds")
    with pytest.raises(UserError, match=r"estimates log\(p / q\). With config.loss.name="):
        builders.evaluators(config, workdir=tmp_path)
