"""Bounds of divergences by the discriminator of a run."""

import jax
import numpy as np
import pytest
from helpers import make_config, read_metrics

from buresgan_jax import builders, data
from buresgan_jax.divergences import DIVERGENCES
from buresgan_jax.errors import UserError
from buresgan_jax.evaluation import critic_metrics, evaluators
from buresgan_jax.training import loop, saved_run

MIXTURE = data.ring_mixture()
BOUNDS = {f"bound_{name}" for name in DIVERGENCES}


def points(mean, n=20_000):
    return mean + np.random.default_rng(round(mean * 10)).normal(size=(n, 1))


def test_bounds_of_the_true_log_ratio_are_the_divergences():
    evaluator = critic_metrics.critic_evaluator(points(0.0), "a normal law")
    entries = evaluator(points(0.5), lambda x: 0.125 - x / 2)  # log N(x; 0, 1) - log N(x; 0.5, 1)
    assert entries.keys() == BOUNDS
    for name in ("kl", "reverse_kl", "jeffreys"):
        assert entries[f"bound_{name}"]["value"] == pytest.approx(0.125, abs=0.01)
    facts = {"n_real": 20_000, "n_fake": 20_000, "clipped_share": 0.0}
    assert facts.items() <= entries["bound_kl"].items()
    assert entries["bound_kl"]["made_from"] == "the discriminator and a normal law"


def test_bounds_are_of_the_raw_generator_and_choose_no_checkpoint():
    evaluator = critic_metrics.critic_evaluator(points(0.0, 10), "a normal law")
    found = dict(evaluators.evaluate([evaluator], lambda *, ema: points(0.5, 10), lambda x: -x))
    assert found.keys() == BOUNDS
    with pytest.raises(UserError, match="nothing is evaluated"):
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


@pytest.mark.parametrize("method", ["hinge", "pacgan", "veegan", "wgan_gp"])
def test_methods_without_a_log_ratio_are_told(method, tmp_path):
    config = make_config(method, "ring", evaluation__metrics=" divergence_bounds")
    with pytest.raises(UserError, match=r"estimates log\(p / q\). With config.loss.name="):
        builders.evaluators(config, workdir=tmp_path)
