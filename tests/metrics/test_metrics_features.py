"""Metrics of features and logits other than the Frechet distance."""

import numpy as np
import pytest
from golden import metrics as golden_metrics
from scipy.cluster.vq import kmeans2

from buresgan_jax.metrics import (
    bin_counts,
    class_statistics,
    compare_bins,
    gaussian_statistics,
    inception_score,
    inception_score_from_statistics,
    inception_variance,
    k_means,
    kernel_distance,
    merge_class_statistics,
    number_of_different_bins,
    precision_recall,
    unbiased_squared_mmd,
    unit_rows,
    vendi_score,
    vendi_score_from_similarity,
    vendi_score_from_statistics,
)

GOLDEN = golden_metrics.load()
REAL, FAKE = golden_metrics.features("plain")


# Kernel distance


def test_kernel_distance_agrees_with_torch_fidelity_on_the_same_subsets():
    ours = kernel_distance(REAL, FAKE, num_subsets=20, subset_size=40)
    expected = GOLDEN["kernel"]["plain"]["torch-fidelity"]
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
    expected = GOLDEN["inception score"]["plain"]["torch-fidelity"]
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
    of_statistics = inception_score_from_statistics(class_statistics(probabilities=probabilities))
    assert of_statistics == pytest.approx(inception_score(logits, num_splits=1).mean, rel=1e-12)
    for score in (inception_score, inception_variance):
        assert score(probabilities=probabilities, num_splits=3) == pytest.approx(score(logits, num_splits=3), rel=1e-12)
    sure = class_statistics(probabilities=np.eye(4, dtype=np.float16))
    assert inception_score_from_statistics(sure) == pytest.approx(4)


def test_inception_variance_is_the_spread_of_each_class():
    logits = golden_metrics.logits()
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    expected = [
        np.mean([np.mean((column - column.mean()) ** 2) ** 0.5 for column in part.T])
        for part in (probabilities[:33], probabilities[33:66], probabilities[66:])
    ]
    value = inception_variance(logits, num_splits=3)
    assert value == pytest.approx((np.mean(expected), np.std(expected)), rel=1e-12)
    assert inception_variance(np.tile(logits[:1], (20, 1)), num_splits=2) == pytest.approx((0, 0))
    sure = 1e4 * np.eye(4)[np.arange(80) % 4]
    assert inception_variance(sure, num_splits=2).mean == pytest.approx((1 / 4 * 3 / 4) ** 0.5)


def test_inception_variance_of_the_paper_is_the_root_of_the_mean_distance():
    logits = golden_metrics.logits()
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    expected = []
    for part in (probabilities[:50], probabilities[50:]):
        center = sum(part) / 50
        expected.append((sum(sum((row - center) ** 2) ** 0.5 for row in part) / 50) ** 0.5)
    value = inception_variance(logits, num_splits=2, variant="paper")
    assert value == pytest.approx((np.mean(expected), np.std(expected)), rel=1e-12)


def test_inception_variance_of_one_and_of_two_predictions():
    # Both classes of 1000 have the standard deviation 1/2, and all rows lie sqrt(1/2) from their mean.
    two = np.eye(1000)[np.arange(40) % 2]
    for variant, expected in (("code", (0.5 + 0.5) / 1000), ("paper", 0.5**0.25)):
        assert inception_variance(probabilities=two, variant=variant) == pytest.approx((expected, 0), rel=1e-12)
        assert inception_variance(probabilities=two[::2].repeat(2, 0), variant=variant) == (0, 0)


# Precision and recall


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("num_neighbors", [1, 5])
def test_precision_recall_equals_prdc(dtype, num_neighbors):
    expected = GOLDEN["precision, recall"][f"{np.dtype(dtype)}, {num_neighbors}"]["prdc"]
    ours = precision_recall(REAL.astype(dtype), FAKE.astype(dtype), num_neighbors=num_neighbors)
    assert ours._asdict() == pytest.approx(expected, rel=1e-14)


def test_balls_are_open_and_reach_to_the_neighbor():
    # Radii of the reals' balls: 1, 1, 9. Of the fakes': 59, 1/2, 1/2.
    real, fake = np.array([[0.0], [1.0], [10.0]]), np.array([[-60.0], [-1.0], [-0.5]])
    ours = precision_recall(real, fake, num_neighbors=1)
    assert ours == pytest.approx((1 / 3, 0, 1 / 3, 1 / 3))


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


# Vendi score


@pytest.mark.parametrize("order", [1, 2, 0.5, np.inf])
def test_vendi_score_agrees_with_its_authors_package(order):
    expected = GOLDEN["vendi"][str(order)]["vendi-score"]
    assert vendi_score(REAL, order=order) == pytest.approx(expected, rel=1e-10)


def test_vendi_score_is_the_same_from_rows_columns_similarities_and_batches():
    real, _ = golden_metrics.features("n < dim")
    value = vendi_score(real)
    rows = unit_rows(real)
    assert vendi_score_from_similarity(rows @ rows.T) == pytest.approx(value, rel=1e-10)
    assert vendi_score_from_statistics(gaussian_statistics([rows[:7], rows[7:]])) == pytest.approx(value, rel=1e-10)
    assert vendi_score(real[::-1]) == pytest.approx(value, rel=1e-10)


@pytest.mark.parametrize("order", [1, 2, np.inf])
def test_vendi_score_counts_different_examples(order):
    assert vendi_score(np.repeat(np.eye(7), 5, axis=0), order=order) == pytest.approx(7)
    assert vendi_score(np.ones((20, 3)), order=order) == pytest.approx(1)


# Number of different bins


def test_bins_of_reals_are_not_different_from_themselves():
    assert number_of_different_bins(REAL, REAL[::-1], num_bins=10) == (0, 0, 0)


def test_comparison_of_bins_equals_a_loop():
    real, fake = np.array([50, 30, 20, 0, 0]), np.array([40, 100, 21, 2, 0])
    different = 0
    for a, b in zip(real, fake, strict=True):
        table = np.array([[a, 100 - a], [b, 163 - b]], float)
        expected = table.sum(1, keepdims=True) * table.sum(0) / table.sum()
        # The square of the z-score is the chi-squared of the table; 1.96^2 is the 5 percent point of one degree.
        different += expected.all() and (np.square(table - expected) / expected).sum() > 1.959964**2
    p, q = real / 100, fake / 163
    divergence = sum(
        0.5 * share * np.log(share / (0.5 * (a + b)))
        for a, b in zip(p, q, strict=True)
        for share in (a, b)
        if share > 0
    )
    assert different == 2
    ours = compare_bins(real, fake)
    assert ours == (2, 0.4, pytest.approx(divergence))


def test_bins_find_a_lost_mode():
    random = np.random.default_rng(0)
    means = 10 * np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    real = means[np.arange(400) % 4] + random.normal(size=(400, 2))
    perfect = means[np.arange(400) % 4] + random.normal(size=(400, 2))
    collapsed = means[np.arange(400) % 3] + random.normal(size=(400, 2))
    centers = k_means(real, 4)
    np.testing.assert_allclose(centers[np.lexsort(np.round(centers).T[::-1])], means, atol=0.5)
    assert number_of_different_bins(real, perfect, num_bins=4) == (0, 0, pytest.approx(0, abs=0.01))
    assert number_of_different_bins(real, collapsed, num_bins=4).different_bins == 4
    far = compare_bins([100, 0], [0, 50])
    assert far.js_divergence == pytest.approx(np.log(2))
    parts = bin_counts(collapsed[:100], centers) + bin_counts(collapsed[100:], centers)
    np.testing.assert_array_equal(parts, bin_counts(collapsed, centers))


def test_k_means_of_repeated_examples_ends():
    centers = k_means(np.repeat(np.eye(2), 5, axis=0), 4)
    assert {tuple(center) for center in centers} == {(1, 0), (0, 1)}


def test_candidates_make_a_better_start():
    random = np.random.default_rng(0)
    points = 5 * random.normal(size=(20, 2))[np.arange(400) % 20] + random.normal(size=(400, 2))

    def mean_error(num_candidates):
        found = [k_means(points, 20, seed=seed, max_iterations=1, num_candidates=num_candidates) for seed in range(10)]
        return np.mean([np.square(points[:, None] - centers).sum(2).min(1).mean() for centers in found])

    assert mean_error(5) < 0.95 * mean_error(1)


@pytest.mark.parametrize("num_candidates", [1, 4])
def test_k_means_ends_where_a_step_of_scipy_moves_nothing(num_candidates):
    centers = k_means(REAL, 6, num_candidates=num_candidates)
    np.testing.assert_allclose(kmeans2(REAL, centers, iter=1, minit="matrix")[0], centers, rtol=1e-12, atol=1e-14)


# Bad input

NAN = np.full((100, 8), np.nan)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: kernel_distance(REAL, FAKE),
            "real has too few samples: this metric needs at least 1000, got 120. Give more, or lower subset_size.",
        ),
        (lambda: kernel_distance(REAL, FAKE[:, :3], subset_size=9), "same dimension, got 8 and 3"),
        (lambda: kernel_distance(REAL, NAN, subset_size=9), "100 of 100 samples of fake are not finite"),
        (lambda: kernel_distance(REAL, FAKE, subset_size=1), "subset_size must be at least 2, got 1"),
        (lambda: kernel_distance(REAL, FAKE, num_subsets=0), "num_subsets must be a positive integer, got 0"),
        (
            lambda: inception_score(FAKE[:4]),
            "logits has too few samples: this metric needs at least 10, got 4. Give more, or lower num_splits.",
        ),
        (lambda: inception_score(), "exactly one of logits and probabilities"),
        (lambda: inception_score(NAN), "100 of 100 samples of logits are not finite"),
        (lambda: inception_variance(FAKE[:19]), "logits has too few samples: this metric needs at least 20, got 19"),
        (lambda: inception_variance(FAKE, variant="eq15"), "variant must be one of 'code', 'paper', got 'eq15'"),
        (lambda: class_statistics(probabilities=FAKE), "must not be negative, and each row must add up to 1"),
        (lambda: class_statistics(), "exactly one of logits and probabilities"),
        (
            lambda: merge_class_statistics(class_statistics(logits=FAKE), class_statistics(logits=FAKE[:, 1:])),
            "same number of classes, got 8 and 7",
        ),
        (lambda: precision_recall(REAL, FAKE[:5]), "fake has too few samples: this metric needs at least 6, got 5"),
        (lambda: precision_recall(REAL, FAKE[:, :3]), "same dimension, got 8 and 3"),
        (lambda: precision_recall(NAN, FAKE), "100 of 100 samples of real are not finite"),
        (lambda: precision_recall(REAL, FAKE, num_neighbors=2.5), "num_neighbors must be a positive integer"),
        (lambda: vendi_score(NAN), "100 of 100 samples of features are not finite"),
        (lambda: vendi_score(0 * REAL), "120 of 120 features are zero"),
        (lambda: vendi_score(REAL, order=0), "order must be positive, got 0"),
        (lambda: vendi_score_from_similarity(REAL), r"must be a symmetric matrix, got shape \(120, 8\)"),
        (lambda: vendi_score_from_statistics(gaussian_statistics([REAL])), "similarity 1 with itself"),
        (lambda: number_of_different_bins(REAL, FAKE, num_bins=121), "real has too few samples.*at least 121, got 120"),
        (lambda: number_of_different_bins(REAL, FAKE[:, 1:], num_bins=2), "dimension of the bins, 8, got 7"),
        (lambda: number_of_different_bins(REAL, NAN, num_bins=2), "100 of 100 samples of fake are not finite"),
        (lambda: compare_bins([1, 2], [1, 2], significance=1), "significance must be between 0 and 1, got 1"),
        (lambda: compare_bins([1, 2], [0, 0]), "and positive sums"),
    ],
)
def test_bad_input_is_one_clear_line(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert "\n" not in str(error.value)
