"""Histograms, ranges by their cost, and learned rounding, against NumPy by hand."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from larqlite.primitives import (
    GrowingHistogram,
    codes_of,
    entropy_range,
    fake_quant,
    learned_rounding,
    mse_range,
    percentile_range,
    squared_errors,
)

product = lambda weights, inputs: tf.matmul(inputs, weights)  # noqa: E731
RNG = np.random.default_rng(0)


def test_a_histogram_does_not_depend_on_order_or_batches():
    values = np.concatenate([RNG.normal(size=(500, 3)), 90 * RNG.normal(size=(40, 3))])
    whole, parts = GrowingHistogram(3), GrowingHistogram(3)
    whole.add(values)
    for batch in np.array_split(values[::-1], 7):
        parts.add(batch)
    for channel in range(3):
        for one, other in zip(whole.of(channel), parts.of(channel), strict=True):
            np.testing.assert_array_equal(one, other)
        middles, counts = whole.of(channel)
        width = 2.0 ** (np.frexp(abs(values[:, channel]).max())[1] - 11)
        wanted = np.unique(np.floor(values[:, channel] / width), return_counts=True)
        np.testing.assert_array_equal(counts, wanted[1])
        np.testing.assert_allclose(middles[1:-1] / width - 0.5, wanted[0][1:-1])
        assert whole.low[channel] == values[:, channel].min()
        folded, its_width = whole.magnitudes(channel)
        assert (folded.sum(), its_width) == (540, width)


def test_minus_a_power_of_two_lies_in_the_first_bin_and_nothing_is_lost():
    histogram = GrowingHistogram()
    histogram.add(np.array([-1.0, 0.5]))
    histogram.add(np.array([]))
    histogram.add(np.array([0.0, 1e30]))
    assert histogram.of()[1].sum() == 4


@pytest.mark.parametrize(
    ("bits", "symmetric", "narrow", "low", "high"),
    [
        (2, True, True, -4.0, 4.0),
        (4, False, False, 0.0, 9.0),
        (3, True, True, -4.0, 4.0),
    ],
)
def test_an_mse_range_is_the_best_of_a_grid(bits, symmetric, narrow, low, high):
    values = np.clip(RNG.standard_t(3, 300), low, high).astype("float32")

    def error(share):
        rounded = fake_quant(values, share * low, share * high, bits, narrow)
        return np.square(rounded - values.astype("float64")).sum()

    ends = mse_range(values, np.ones(300), low, high, bits, symmetric, narrow)
    grid = {share: error(share) for share in np.arange(1, 101) / 100}
    best = min(grid, key=grid.get)
    np.testing.assert_allclose(ends, (best * low, best * high), rtol=1e-6)
    assert grid[best] < grid[1.0]


def test_both_ends_move_by_themselves_where_values_have_two_signs():
    values = np.concatenate([RNG.normal(size=200), [-30.0, 8.0]])
    low, high = mse_range(values, np.ones(202), -30.0, 8.0, 4, False, False)
    by_hand = {
        (a, b): np.square(
            fake_quant(values.astype("f"), a, b, 4).numpy() - values
        ).sum()
        for a in {-30.0, -15.0, -7.5, low, low - 30 / 32, low + 30 / 32}
        for b in {8.0, 4.0, 2.0, high}
    }
    assert by_hand[low, high] <= min(by_hand.values()) * (1 + 1e-6)
    assert low > -30


def test_errors_of_codes_are_those_of_fake_quantization():
    values = RNG.normal(size=100).astype("float32")
    codes = codes_of(np.array([-2.0, 0.0]), np.array([1.0, 0.0]), 3, False)
    rounded = fake_quant(values, -2.0, 1.0, 3).numpy()
    wanted = [np.square(rounded - values).sum(), np.square(values).sum()]
    np.testing.assert_allclose(
        squared_errors(values, np.ones(100), codes), wanted, 1e-5
    )


def test_percentiles_are_those_of_sorted_values():
    values = np.sort(RNG.normal(size=1000))
    low, high = percentile_range(values, np.ones(1000, int), 99)
    assert (low, high) == (values[5], values[994])
    assert percentile_range(values, np.ones(1000, int), 100) == (values[0], values[-1])
    assert percentile_range(np.zeros(0), np.zeros(0, int), 99) == (0.0, 0.0)


def divergence_by_hand(counts, kept, levels):
    """As on the slides, one level after the other."""
    wanted = [float(count) for count in counts[:kept]]
    wanted[-1] += sum(counts[kept:])
    given = [0.0] * kept
    bins_of = [
        [i for i in range(kept) if i * levels // kept == k] for k in range(levels)
    ]
    for bins in bins_of:
        held = [i for i in bins if counts[i]]
        for i in held:
            given[i] = sum(counts[j] for j in bins) / len(held)
    p, q = np.array(wanted) / sum(wanted), np.array(given) / sum(given)
    if any(q[p > 0] == 0):
        q = np.maximum(q, 1e-4 / kept)
        q /= q.sum()
    return sum(a * np.log(a / b) for a, b in zip(p, q, strict=True) if a)


def test_an_entropy_range_has_the_least_divergence():
    counts = np.histogram(abs(RNG.standard_t(2, 4000)), 200, (0, 30))[0]
    end = entropy_range(counts, 0.5, 8)
    candidates = range(200, 8, -8)
    by_hand = {n: divergence_by_hand(counts.tolist(), n, 8) for n in candidates}
    assert end == 0.5 * min(candidates, key=by_hand.get)
    assert end < 100


@pytest.mark.parametrize("seed", [1, 4])
def test_learned_rounding_finds_the_best_of_all_ways_to_round_three_weights(seed):
    rng = np.random.default_rng(seed)
    # Inputs that go together, so that errors of weights add up or cancel.
    x = (rng.normal(size=(64, 1)) + 0.1 * rng.normal(size=(64, 3))).astype("float32")
    w = rng.uniform(-3, 3, (3, 1)).astype("float32")
    y = x @ w
    found = learned_rounding(w, (1.0, -7, 7), product, x, y, steps=300, batch_size=64)

    def loss(rounded):
        return float(np.square(x @ np.reshape(rounded, (3, 1)) - y).mean())

    ways = itertools.product(*((np.floor(v), np.ceil(v)) for v in w[:, 0]))
    best = min(ways, key=loss)
    np.testing.assert_array_equal(found.weights[:, 0], best)
    np.testing.assert_allclose(found.loss, loss(best), rtol=1e-4)
    np.testing.assert_allclose(found.nearest_loss, loss(np.rint(w)), rtol=1e-4)
    assert (found.loss < found.nearest_loss) == (
        list(best) != np.rint(w[:, 0]).tolist()
    )


def test_learned_rounding_is_never_worse_than_the_nearest_and_keeps_the_ends():
    x = RNG.normal(size=(16, 4)).astype("float32")
    w = np.array([[3.0], [-3.0], [0.2], [9.0]], "float32")
    found = learned_rounding(w, (1.0, -3, 3), product, x, x @ w, steps=3)
    assert found.loss <= found.nearest_loss
    assert found.weights[[0, 1, 3], 0].tolist() == [3, -3, 3]
    exact = learned_rounding(
        np.rint(w[:3]),
        (1.0, -3, 3),
        product,
        x[:, :3],
        x[:, :3] @ np.rint(w[:3]),
        steps=3,
    )
    assert exact.loss == exact.nearest_loss < 1e-12
