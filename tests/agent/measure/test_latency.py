"""Latency and rates of requests with scripted token times."""

import pytest

from edgerig.v1.attempt_pb2 import Request
from edgerig_agent.measure.latency import request_figures
from tests.fakes.reports import MS, S, find, request


def requests(count: int) -> list[Request]:
    """Prefill 10 ms, then three tokens 20, 30 and 40 ms apart."""
    return [
        request(index, index * S, prefill_ns=10 * MS, gaps_ns=[20 * MS, 30 * MS, 40 * MS])
        for index in range(count)
    ]


def test_the_first_token_counts_from_acceptance_and_from_the_model_call() -> None:
    figures = request_figures(requests(6))
    assert find(figures, "ttft_s", "p50").value == pytest.approx(0.011)
    assert find(figures, "ttft_model_s", "p50").value == pytest.approx(0.010)


def test_e2e_ends_with_the_last_token() -> None:
    assert find(request_figures(requests(6)), "e2e_s", "mean").value == pytest.approx(0.101)


def test_time_per_token_leaves_the_first_token_out() -> None:
    assert find(request_figures(requests(6)), "tpot_s", "mean").value == pytest.approx(0.030)


def test_gaps_between_tokens_are_a_distribution_without_an_interval() -> None:
    gap = find(request_figures(requests(6)), "itl_s", "p50")
    assert gap.value == pytest.approx(0.030)
    assert not gap.HasField("low")


def test_rates_are_ratios_of_sums() -> None:
    slow = request(0, 0, prefill_ns=30 * MS, gaps_ns=[100 * MS], tokens_in=10)
    fast = request(1, S, prefill_ns=10 * MS, gaps_ns=[10 * MS] * 9, tokens_in=30)
    figures = request_figures([slow, fast])
    assert find(figures, "prefill_tokens_per_s", "ratio").value == pytest.approx(40 / 0.040)
    assert find(figures, "decode_tokens_per_s", "ratio").value == pytest.approx(10 / 0.190)


def test_a_batch_has_the_rate_of_one_sequence_and_of_all_with_its_size_in_the_name() -> None:
    batched = requests(6)
    for one in batched:
        one.batch = 4
    figures = request_figures(batched)
    single = find(figures, "decode_tokens_per_s", "ratio").value
    assert find(figures, "decode_tokens_per_s_batch_4", "ratio").value == pytest.approx(4 * single)


def test_the_median_has_an_interval_of_observed_values() -> None:
    many = [request(i, i * S, prefill_ns=(i + 1) * MS, gaps_ns=[MS]) for i in range(20)]
    median = find(request_figures(many), "ttft_model_s", "p50")
    assert (median.low, median.high) == (pytest.approx(0.006), pytest.approx(0.015))
    assert median.interval_kind == "order_statistic_95"


@pytest.mark.parametrize(("statistic", "fewest"), [("p50", 6), ("p90", 29), ("p95", 59), ("p99", 299)])
def test_a_percentile_of_too_few_requests_is_unavailable_with_the_number_it_needs(
    statistic: str, fewest: int
) -> None:
    short = find(request_figures(requests(fewest - 1)), "ttft_s", statistic)
    enough = find(request_figures(requests(fewest)), "ttft_s", statistic)
    assert not short.HasField("value")
    assert short.unavailable_reason.startswith("too_few_requests") and str(fewest) in short.unavailable_reason
    assert enough.HasField("value")


def test_token_gaps_are_not_counted_as_requests() -> None:
    long_request = request(0, 0, prefill_ns=MS, gaps_ns=[MS] * 500)
    assert not find(request_figures([long_request]), "itl_s", "p50").HasField("value")


def test_one_token_has_no_time_per_token() -> None:
    figures = request_figures([request(i, i * S, prefill_ns=MS, gaps_ns=[]) for i in range(6)])
    assert not [one for one in figures if one.name in ("tpot_s", "itl_s", "decode_tokens_per_s")]


def test_flags_go_on_every_figure() -> None:
    assert all("indicative" in one.flags for one in request_figures(requests(20), ("indicative",)))


def test_no_requests_have_no_figures() -> None:
    assert request_figures([]) == []


def test_tokens_that_come_together_all_waited_as_long_and_say_so() -> None:
    # Two tokens every 20 ms, the first with the prefill.
    together = [request(i, i * S, prefill_ns=MS, gaps_ns=[0, 20 * MS, 0, 20 * MS, 0]) for i in range(6)]
    figures = request_figures(together)
    gap = find(figures, "itl_s", "p50")
    assert gap.value == pytest.approx(0.020) == find(figures, "itl_s", "mean").value
    assert list(gap.flags) == ["multi_token_step"]
    per_token = find(figures, "tpot_s", "mean")
    assert per_token.value == pytest.approx(0.008) and not per_token.flags
    assert not find(request_figures(requests(6)), "itl_s", "p50").flags
