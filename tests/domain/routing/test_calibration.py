from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from interlock.domain.routing.calibration import (
    CurvePoint,
    coverage_at,
    expected_calibration_error,
    fit_weights,
    risk_coverage,
    softmax,
    threshold_for,
)
from interlock.domain.routing.routing import NEVER
from interlock.errors import InputError

# Few different confidences, so that ties are common.
judged = st.lists(
    st.tuples(st.one_of(st.sampled_from([0.0, 0.2, 0.5, 0.9, 1.0]), st.floats(0, 1)), st.booleans()),
    min_size=1,
    max_size=120,
)


def split(cases):
    return [c for c, _ in cases], [k for _, k in cases]


@given(judged, st.integers(1, 250))
def test_each_point_of_the_curve_is_what_its_threshold_does(cases, points):
    confidence, correct = split(cases)

    curve = risk_coverage(confidence, correct, points)

    for point in curve:
        automatic = [k for c, k in cases if c >= point.threshold]
        assert point.coverage == pytest.approx(len(automatic) / len(cases))
        assert point.error == pytest.approx(automatic.count(False) / len(automatic))


@given(judged, st.integers(1, 250))
def test_the_curve_rises_in_threshold_falls_in_coverage_and_starts_with_every_case(cases, points):
    curve = risk_coverage(*split(cases), points)

    assert 1 <= len(curve) <= points
    assert curve[0].coverage == 1.0
    assert all(a.threshold < b.threshold and a.coverage > b.coverage for a, b in itertools.pairwise(curve))


def test_the_curve_spreads_its_points_evenly_over_the_cases():
    curve = risk_coverage(np.linspace(0, 1, 1000) ** 4, np.ones(1000, dtype=bool), 10)

    assert [p.coverage for p in curve] == pytest.approx([n / 10 for n in range(10, 0, -1)])


def test_a_curve_survives_the_way_through_json_exactly():
    curve = risk_coverage([0.1, 1 / 3, 0.7, 0.7], [False, True, True, False])

    assert [CurvePoint(**p) for p in json.loads(json.dumps([p.as_json() for p in curve]))] == curve


@given(judged, st.floats(0, 1))
def test_no_threshold_at_or_above_the_chosen_one_lets_too_many_errors_through(cases, max_error):
    curve = risk_coverage(*split(cases))

    threshold = threshold_for(curve, max_error)

    for point in curve:
        if point.threshold >= threshold and point.coverage >= 0.05:
            assert point.error <= max_error


@given(judged, st.floats(0, 1))
def test_the_next_lower_threshold_would_let_too_many_errors_through(cases, max_error):
    curve = [p for p in risk_coverage(*split(cases)) if p.coverage >= 0.05]
    threshold = threshold_for(curve, max_error)

    below = [p for p in curve if p.threshold < threshold]

    assert not below or below[-1].error > max_error


@given(judged, st.floats(0, 1), st.floats(0, 1))
def test_accepting_more_error_never_raises_the_threshold(cases, one, other):
    curve = risk_coverage(*split(cases))

    assert threshold_for(curve, max(one, other)) <= threshold_for(curve, min(one, other))


def test_a_dip_under_the_bound_below_a_bad_stretch_is_not_used():
    curve = [CurvePoint(0.2, 1.0, 0.04), CurvePoint(0.5, 0.6, 0.09), CurvePoint(0.9, 0.3, 0.01)]

    assert threshold_for(curve, 0.05) == 0.9


def test_a_few_cases_at_the_top_neither_carry_nor_veto_a_threshold():
    wrong_at_the_top = [CurvePoint(0.6, 0.8, 0.02), CurvePoint(0.99, 0.01, 1.0)]
    right_only_at_the_top = [CurvePoint(0.6, 0.8, 0.2), CurvePoint(0.99, 0.01, 0.0)]

    assert threshold_for(wrong_at_the_top, 0.05) == 0.6
    assert threshold_for(right_only_at_the_top, 0.05) == NEVER


def test_without_a_threshold_that_will_do_nothing_is_automatic():
    curve = risk_coverage([1.0, 1.0, 0.9], [False, False, False])

    assert threshold_for(curve, 0.05) == NEVER > 1
    assert threshold_for([], 0.05) == NEVER
    assert coverage_at(curve, NEVER) == 0


def test_coverage_is_read_at_the_threshold_or_just_above_it():
    curve = risk_coverage([0.2, 0.4, 0.6, 0.8], [True] * 4)

    assert coverage_at(curve, 0.4) == 0.75
    assert coverage_at(curve, 0.5) == 0.5


@given(judged)
def test_calibration_error_lies_between_the_overall_gap_and_one(cases):
    confidence, correct = split(cases)

    error = expected_calibration_error(confidence, correct)

    assert abs(np.mean(confidence) - np.mean(correct)) - 1e-9 <= error <= 1 + 1e-9
    assert error == pytest.approx(expected_calibration_error(confidence[::-1], correct[::-1]))


def test_calibration_error_is_the_weighted_gap_of_each_bin():
    """Nine sure and right of ten are no error at 0.9; one unsure of two that is always right is half an error."""
    confidence = [0.9] * 10 + [0.5] * 10
    correct = [True] * 9 + [False] + [True] * 10

    assert expected_calibration_error(confidence, correct) == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("confidence", "correct"),
    [([], []), ([0.5], [True, False]), ([1.5], [True]), ([-0.1], [True]), ([math.nan], [True])],
)
def test_what_is_no_judged_confidence_is_refused(confidence, correct):
    with pytest.raises(InputError):
        expected_calibration_error(confidence, correct)
    with pytest.raises(InputError):
        risk_coverage(confidence, correct)


def sampled(temperature: float, cases: int = 4000, classes: int = 5, seed: int = 7):
    """Scores, and truths drawn from their softmax at *temperature*."""
    random = np.random.default_rng(seed)
    scores = random.normal(size=(cases, classes)) * 3
    chance = softmax(scores / temperature)
    truth = (chance.cumsum(axis=1) > random.random((cases, 1))).argmax(axis=1)
    return scores, truth


def fit_temperature(scores, truth) -> float:
    """The temperature of the one score that :func:`fit_weights` weighs; infinite where it counts for nothing."""
    (weight,) = fit_weights([scores], truth)
    return 1 / weight if weight else math.inf


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_that_made_the_truths_is_found_again(temperature):
    scores, truth = sampled(temperature)

    assert fit_temperature(scores, truth) == pytest.approx(temperature, rel=0.1)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.01, 100), st.floats(-50, 50))
def test_temperature_scales_with_the_scores_and_ignores_what_is_equal_in_a_row(scale, shift):
    scores, truth = sampled(1.0, cases=300)

    assert fit_temperature(scores * scale + shift, truth) == pytest.approx(
        fit_temperature(scores, truth) * scale, rel=1e-4
    )


def test_scores_at_their_temperature_are_calibrated():
    scores, truth = sampled(2.5, cases=20_000)

    chance = softmax(scores / fit_temperature(scores, truth))

    right = chance.argmax(axis=1) == truth
    assert expected_calibration_error(softmax(scores).max(axis=1), right) > 0.15
    assert expected_calibration_error(chance.max(axis=1), right) < 0.02


def test_scores_that_are_never_wrong_have_a_finite_weight():
    scores = np.eye(3)[[0, 1, 2, 0]]

    (weight,) = fit_weights([scores], [0, 1, 2, 0])

    assert 1 < weight < 1e4


def test_a_pool_weighs_noise_by_almost_nothing():
    scores, truth = sampled(1.0)
    noise = np.random.default_rng(1).normal(size=scores.shape)

    told, chance = fit_weights([scores, noise], truth)

    assert told == pytest.approx(1.0, rel=0.1)
    assert chance == pytest.approx(0, abs=0.1)


def test_a_pool_leaves_out_what_says_the_opposite_of_the_truth():
    scores, truth = sampled(1.0)
    half_true = scores + np.random.default_rng(1).normal(size=scores.shape) * 3

    assert fit_weights([half_true, -scores], truth) == [pytest.approx(fit_weights([half_true], truth)[0]), 0.0]
    assert fit_temperature(-scores, truth) == math.inf


def test_a_pool_of_two_half_truths_fits_better_than_either():
    random = np.random.default_rng(3)
    scores, truth = sampled(1.0)
    one, other = scores + random.normal(size=scores.shape) * 3, scores + random.normal(size=scores.shape) * 3

    def loss(parts):
        weights = fit_weights(parts, truth)
        chance = softmax(sum(w * s for w, s in zip(weights, parts, strict=True)))
        return -np.log(chance[np.arange(len(truth)), truth]).mean()

    assert loss([one, other]) < min(loss([one]), loss([other])) - 0.05


def test_scores_and_truths_that_do_not_go_together_are_refused():
    with pytest.raises(InputError, match=r"\(2, 3\).*3 labels"):
        fit_weights([np.zeros((2, 3))], [0, 1, 2])
    with pytest.raises(InputError, match="none"):
        fit_weights([], [0])
