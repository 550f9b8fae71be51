"""Kernel distance, inception score, precision and recall: features and logits in, floats out."""

import golden_metrics
import numpy as np
import pytest

from buresgan_jax.metrics import (
    class_statistics,
    inception_score,
    inception_score_from_statistics,
    kernel_distance,
    merge_class_statistics,
    precision_recall,
    unbiased_squared_mmd,
)

GOLDEN = golden_metrics.load()
REAL, FAKE = golden_metrics.features("plain")


# Kernel distance


def test_kernel_distance_agrees_with_torch_fidelity_on_the_same_subsets():
    ours = kernel_distance(REAL, FAKE, num_subsets=20, subset_size=40)
    expected = GOLDEN["kernel"]["plain"]["value"]["torch-fidelity"]
    assert (ours.mean, ours.std) == pytest.approx((expected["mean"], expected["std"]), rel=1e-12)
    assert ours.standard_error == pytest.approx(ours.std / 20**0.5)


def test_unbiased_squared_mmd_equals_a_loop():
    def kernel(x, y):
        return (x @ y / len(x) + 1) ** 3

    real, fake = REAL[:6], FAKE[:5]
    expected = np.mean([kernel(x, y) for i, x in enumerate(real) for j, y in enumerate(real) if i != j])
    expected += np.mean([kernel(x, y) for i, x in enumerate(fake) for j, y in enumerate(fake) if i != j])
    expected -= 2 * np.mean([kernel(x, y) for x in real for y in fake])
    assert unbiased_squared_mmd(real, fake) == pytest.approx(expected, rel=1e-12)


def test_kernel_distance_of_one_distribution_is_zero_within_its_error():
    random = np.random.default_rng(1)
    same = kernel_distance(*random.normal(size=(2, 2000, 8)), num_subsets=50, subset_size=200)
    assert abs(same.mean) <= 4 * same.standard_error
    assert kernel_distance(REAL, FAKE, num_subsets=20, subset_size=40).mean > 0.1


def test_kernel_distance_of_whole_sets_does_not_depend_on_their_order():
    options = {"num_subsets": 2, "subset_size": 100}
    value = kernel_distance(REAL[:100], FAKE, **options)
    assert kernel_distance(REAL[:100][::-1], FAKE[::-1], seed=1, **options).mean == pytest.approx(value.mean, rel=1e-12)
    assert value.std == pytest.approx(0, abs=1e-12)


# Inception score


def test_inception_score_agrees_with_torch_fidelity():
    expected = GOLDEN["inception score"]["plain"]["value"]["torch-fidelity"]
    assert inception_score(golden_metrics.logits(), num_splits=3) == pytest.approx(
        (expected["mean"], expected["std"]), rel=1e-12
    )


def test_inception_score_ranges_from_one_to_the_number_of_classes():
    sure = 1e4 * np.eye(12)[np.arange(120) % 12]
    assert inception_score(sure, num_splits=1) == pytest.approx((12, 0))
    assert inception_score(np.tile(golden_metrics.logits()[:1], (20, 1)), num_splits=2) == pytest.approx((1, 0))


def test_inception_score_of_parts_equals_that_of_the_whole():
    logits = golden_metrics.logits()
    parts = class_statistics(logits=logits[:30]), class_statistics(logits=logits[30:])
    merged = inception_score_from_statistics(merge_class_statistics(*parts))
    assert merged == pytest.approx(inception_score(logits, num_splits=1).mean, rel=1e-12)


def test_probabilities_give_the_score_of_their_logits():
    logits = golden_metrics.logits()
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    score = inception_score_from_statistics(class_statistics(probabilities=probabilities))
    assert score == pytest.approx(inception_score(logits, num_splits=1).mean, rel=1e-12)
    sure = class_statistics(probabilities=np.eye(4, dtype=np.float16))
    assert inception_score_from_statistics(sure) == pytest.approx(4)


# Precision and recall


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("num_neighbours", [1, 5])
def test_precision_recall_equals_prdc(dtype, num_neighbours):
    expected = GOLDEN["precision, recall"][f"{np.dtype(dtype)}, {num_neighbours}"]["value"]["prdc"]
    ours = precision_recall(REAL.astype(dtype), FAKE.astype(dtype), num_neighbours=num_neighbours)
    assert ours._asdict() == pytest.approx(expected, rel=1e-14)


def test_chunks_and_order_change_nothing():
    expected = precision_recall(REAL, FAKE)
    for chunk_size in (23, 64):
        assert precision_recall(REAL, FAKE, chunk_size=chunk_size) == expected
    shuffle = np.random.default_rng(0).permutation
    assert precision_recall(shuffle(REAL), shuffle(FAKE)) == expected


def test_precision_recall_of_a_set_with_itself():
    real = REAL.astype(np.float32)
    assert precision_recall(real, real) == pytest.approx((1, 1, 1, 1))


def test_a_collapsed_set_has_high_precision_and_low_recall():
    collapsed = REAL[0] + 1e-3 * np.random.default_rng(0).normal(size=(100, 8))
    ours = precision_recall(REAL, collapsed)
    assert ours.precision == 1
    assert ours.recall <= 0.02
    assert ours.coverage <= 0.2
    far = precision_recall(REAL, REAL + 100)
    assert far == (0, 0, 0, 0)


# Bad input

NAN = np.full((100, 8), np.nan)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kernel_distance(REAL, FAKE), "real has too few samples: this metric needs at least 1000, got 120"),
        (lambda: kernel_distance(REAL, FAKE[:, :3], subset_size=9), "one dimension, got 8 and 3"),
        (lambda: kernel_distance(REAL, NAN, subset_size=9), "100 of 100 samples of fake are not finite"),
        (lambda: kernel_distance(REAL, FAKE, subset_size=1), "subset_size must be at least 2, got 1"),
        (lambda: kernel_distance(REAL, FAKE, num_subsets=0), "num_subsets must be a positive integer, got 0"),
        (lambda: inception_score(FAKE[:4]), "logits has too few samples: this metric needs at least 10, got 4"),
        (lambda: inception_score(NAN), "100 of 100 samples of logits are not finite"),
        (lambda: class_statistics(probabilities=FAKE), "must not be negative and each row must add up to 1"),
        (lambda: class_statistics(), "either logits or probabilities"),
        (
            lambda: merge_class_statistics(class_statistics(logits=FAKE), class_statistics(logits=FAKE[:, 1:])),
            "one number of classes, got 8 and 7",
        ),
        (lambda: precision_recall(REAL, FAKE[:5]), "fake has too few samples: this metric needs at least 6, got 5"),
        (lambda: precision_recall(REAL, FAKE[:, :3]), "one dimension, got 8 and 3"),
        (lambda: precision_recall(NAN, FAKE), "100 of 100 samples of real are not finite"),
        (lambda: precision_recall(REAL, FAKE, num_neighbours=2.5), "num_neighbours must be a positive integer"),
    ],
)
def test_bad_input_is_one_clear_line(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)
