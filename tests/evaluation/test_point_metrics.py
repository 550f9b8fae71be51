"""Metrics of points that compare samples with fresh points of a known mixture."""

import numpy as np
import pytest
from helpers import make_config, read_metrics

from buresgan_jax import builders, data, metrics
from buresgan_jax.errors import UserError
from buresgan_jax.evaluation import point_metrics, tables
from buresgan_jax.evaluation.evaluators import best_choice
from buresgan_jax.training import loop, workdir

MIXTURE = data.ring_mixture()
NAMES = ("wasserstein", "two_sample")


def perfect(n=200, seed=7):
    return data.sample_mixture(MIXTURE, np.arange(n), seed=seed)[0]


def test_numbers_compare_with_as_many_fresh_points():
    entries = point_metrics.point_evaluator(NAMES, MIXTURE, "ring", seed=3)(perfect())
    reference, others = (data.held_out_points(MIXTURE, 200, seed=3, part=part) for part in (0, 1))
    facts = {"n_real": 200, "n_fake": 200, "made_from": "fresh points of ring", "reference_seed": 3}
    distance, floor = (metrics.sample_wasserstein(each, reference) for each in (perfect(), others))
    assert entries["wasserstein"] == {**facts, "value": distance, "floor": floor}
    found = metrics.kernel_two_sample_test(perfect(), reference)
    test = {"value": found.p_value, "statistic": found.statistic, "scale": found.scale, "num_permutations": 300}
    assert entries["two_sample_p"] == {**facts, **test}
    first, _ = tables.of_entries(entries).splitlines()[2:]
    assert f"fresh points of ring, of perfect samples {floor:.4g} |" in first


def test_perfect_samples_pass_and_a_collapse_does_not():
    evaluator = point_metrics.point_evaluator(NAMES, MIXTURE, "ring", seed=0)
    good, bad = (evaluator(samples) for samples in (perfect(), np.repeat(MIXTURE.means, 25, axis=0)))
    assert good["two_sample_p"]["value"] > tables.LEVEL > bad["two_sample_p"]["value"]
    one_sided = evaluator(perfect()[perfect()[:, 0] > 0][[0] * 200])
    assert one_sided["wasserstein"]["value"] > 3 > 10 * good["wasserstein"]["value"]


def test_best_checkpoints_are_chosen_by_either_number():
    evaluator = point_metrics.point_evaluator(NAMES, MIXTURE, "ring", seed=0)
    assert best_choice([evaluator], "ema_wasserstein", 9) == {"larger_is_better": False, "made_by": {"num_samples": 9}}
    assert best_choice([evaluator], "two_sample_p", 9)["larger_is_better"]


@pytest.mark.parametrize("num_examples", [500, None])
@pytest.mark.parametrize("seed", [0, 5])
def test_fresh_points_are_in_no_training_data(num_examples, seed):
    source = data.mixture_source(MIXTURE, name="ring", num_examples=num_examples, seed=seed)
    known = {point.tobytes() for point in source.fetch(np.arange(500))}
    first, again, longer = (data.held_out_points(MIXTURE, n, seed=seed) for n in (400, 400, 500))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first, longer[:400])
    assert not known & {point.tobytes() for point in longer}
    for other in (data.held_out_points(MIXTURE, 400, seed=1), data.held_out_points(MIXTURE, 400, seed=seed, part=1)):
        assert not (first == other).all(1).any()
    residuals = (first[:, np.newaxis] - MIXTURE.means) / MIXTURE.std
    assert np.mean(np.linalg.norm(residuals, axis=-1).min(1) < 3) > 0.97


MISTAKES = {
    "images": ({"data_set": "mnist"}, "The metrics wasserstein, two_sample compare with fresh points of a known"),
    "one": ({"evaluation__num_samples": 1}, "two_sample needs at least 2 samples, got evaluation.num_samples=1."),
    "unknown": ({"evaluation__metrics": "two_samples"}, "Unknown metric 'two_samples'. Did you mean 'two_sample'"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_impossible_choices_say_so(tmp_path, name):
    changes, message = MISTAKES[name]
    config = make_config(**{"evaluation__metrics": " wasserstein,two_sample, wasserstein", **changes})
    with pytest.raises(UserError, match=message):
        builders.evaluators(config, workdir=tmp_path)


def test_a_run_computes_them_where_it_is_evaluated(tmp_path):
    default, chosen = (make_config(evaluation__metrics=names) for names in ("", "wasserstein,two_sample"))
    assert [each.names[0] for each in builders.evaluators(default, workdir=tmp_path)] == ["modes"]
    chosen.seed, chosen.evaluation.every_steps, chosen.training.num_steps = 4, 0, 3
    loop.train_and_evaluate(chosen, tmp_path)
    (line,) = (line for line in read_metrics(tmp_path) if line["split"] == "eval")
    numbers = {prefix + name for prefix in ("", "ema_") for name in ("wasserstein", "two_sample_p", "mode_spread")}
    assert line["step"] == 3
    assert numbers <= set(line) & set(workdir.read_final(tmp_path))


def test_the_first_2500_samples_count(monkeypatch):
    seen = []
    monkeypatch.setattr(metrics, "sample_wasserstein", lambda x, y: seen.append((x, y)) or 1.0)
    samples = data.sample_mixture(MIXTURE, np.arange(3000), seed=1)[0]
    found = point_metrics.point_evaluator(["wasserstein"], MIXTURE, "ring", seed=0)(samples)
    assert found["wasserstein"]["n_fake"] == found["wasserstein"]["n_real"] == 2500
    np.testing.assert_array_equal(seen[0][0], samples[:2500])
    assert {len(each) for pair in seen for each in pair} == {2500}


def test_tables_count_the_runs_that_pass():
    rows = [
        {"m": m, "status": "done", "two_sample_p": p} for m, p in (("a", 0.5), ("a", 0.01), ("a", 0.02), ("b", None))
    ]
    text = tables.to_markdown(rows, by=["m"], columns=["two_sample_p", "ema_two_sample_p", "my_two_sample_p"])
    assert text.splitlines()[0] == "| m | runs | two_sample_passed | ema_two_sample_passed | my_two_sample_p |"
    assert text.splitlines()[2:] == ["| a | 3 | 2/3 | - | - |", "| b | 1 | - | - | - |"]
