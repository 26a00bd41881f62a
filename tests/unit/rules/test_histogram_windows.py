"""Histograms and windows: the same answer in any order, split and replay."""

import random

import numpy as np
import polars as pl
import pyarrow as pa

from rules.alerting.histogram import bucket_index, bucket_value_us, quantile_us
from rules.units import HOUR_US as HOUR
from store.schemas import FACTS
from store.windows import merge, partials, regrouped


def facts(count: int, seed: int) -> pl.DataFrame:
    rng = random.Random(seed)
    rows = [
        {
            "weight": 1,
            "trace_id": str(i),
            "group_by": ["experiment", "environment"],
            "group": [rng.choice("ab"), "p"],
            "end_us": rng.randrange(HOUR),
            "error": rng.random() < 0.1,
            "tokens_total": rng.choice([None, 5]),
            "duration_us": rng.choice([None, 0, int(rng.lognormvariate(13, 1))]),
            "hits": [{"rule": "w", "hash": "h"}] * rng.randrange(2),
        }
        for i in range(count)
    ]
    return pl.DataFrame(pa.Table.from_pylist(rows, schema=FACTS))


def test_sem_09_a_bucket_stands_for_its_values_within_0_55_percent():
    values = np.unique(np.random.default_rng(1).lognormal(13, 3, 20_000).astype(np.int64) + 2)
    found = np.array([bucket_value_us(int(i)) for i in bucket_index(values)])
    large = values > 1000  # below that, whole microseconds are coarser than buckets
    assert np.max(np.abs(found[large] / values[large] - 1)) < 0.0055


def test_sem_09_a_value_falls_into_the_same_bucket_alone_and_among_many():
    """Among many a logarithm is tried first: at every bound it must come to what the bound says."""
    bounds = np.array([bound for octave in range(48) for bound in (2**octave * 2 ** (np.arange(64) / 64))])
    near = (bounds.astype(np.int64)[:, None] + np.arange(-2, 3)).clip(0).ravel()
    near = np.concatenate([near, np.arange(5000), [2**43, 2**48 - 1, 2**48, 2**60]])
    alone = [int(bucket_index(part)[0]) for part in np.split(near, len(near))]
    assert bucket_index(near).tolist() == alone


def test_sem_09_buckets_follow_the_order_of_values():
    index = bucket_index(np.arange(0, 100_000, dtype=np.int64))
    assert (np.diff(index) >= 0).all()


def test_sem_09_the_quantile_is_that_of_the_rank_and_none_of_nothing():
    counts = {10: 19, 700: 1}
    assert quantile_us(counts, 0.95) == bucket_value_us(10)
    assert quantile_us(counts, 0.96) == bucket_value_us(700)
    assert quantile_us({}, 0.5) is None


def test_sem_09_every_quantile_is_within_0_55_percent_of_the_ranked_value():
    random_ = np.random.default_rng(9)
    for size in (1, 2, 3, 19, 20, 21, 100, 1_000, 9_999):
        values = np.sort(random_.lognormal(13, 2, size).astype(np.int64) + 1_000)
        index, counted = np.unique(bucket_index(values), return_counts=True)
        counts = dict(zip(index.tolist(), counted.tolist(), strict=True))
        for q in (0.01, 0.5, 0.9, 0.95, 0.99, 1.0):
            ranked = np.quantile(
                values, q, method="inverted_cdf"
            )  # the smallest with at least q of all at or below it
            found = quantile_us(counts, q)
            assert found is not None
            assert abs(found / ranked - 1) < 0.0055, (size, q)


def test_sem_28_windows_are_the_same_in_one_batch_in_many_and_in_any_order():
    whole = facts(500, 3)
    one = merge(partials(whole, ["h"]))
    shuffled = whole.sample(fraction=1.0, shuffle=True, seed=9)
    pieces = [partials(shuffled.slice(at, 37), ["h"]) for at in range(0, 500, 37)]
    assert merge(pl.concat(pieces)).equals(one)


def test_sem_06_a_withdrawal_takes_everything_back():
    rows = facts(50, 4)
    back = rows.with_columns(pl.lit(-1, dtype=pl.Int8).alias("weight"))
    assert merge(pl.concat([partials(rows, ["h"]), partials(back, ["h"])])).height == 0


def test_groups_can_be_reduced_to_fewer_keys():
    reduced = merge(regrouped(partials(facts(100, 5)), ["environment"]))
    assert reduced["group"].to_list()[0] == ["p"]
    assert reduced["traces"].sum() == 100
