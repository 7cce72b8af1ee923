"""Energy per token of prefill and decode out of runs of many lengths."""

import numpy as np
import pytest

from edgerig_controller.guidelines.phase_energy import DesignedRun, PhaseEnergy, fit

IDLE_W, IN_J, OUT_J = 4.0, 0.02, 0.35


def design(
    seed: int = 1, *, noise: float = 0.01, blocks: int = 3, gamma: float = 0.0, pause_s: float = 5.0
) -> list[DesignedRun]:
    """Runs on a grid of 3 x 4 lengths whose scatter grows with their energy."""
    rng = np.random.default_rng(seed)
    runs = []
    for block in range(blocks):
        for n_in in (2_000, 8_000, 32_000):
            for n_out in (1_000, 2_000, 4_000, 8_000):
                # What the device did besides differs from run to run: that tells idle from tokens.
                duration_s = n_in * 0.001 + n_out * 0.03 + pause_s * rng.random()
                energy_j = IDLE_W * duration_s + IN_J * n_in + OUT_J * n_out + gamma * n_in * n_out
                energy_j *= 1 + noise * rng.standard_normal()
                runs.append(DesignedRun(energy_j, duration_s, n_in, n_out, block))
    return runs


def test_exact_runs_give_the_exact_cost_of_a_token() -> None:
    found = fit(design(noise=0.0, pause_s=100.0))
    assert found.slope("idle_power_w").estimate == pytest.approx(IDLE_W)
    assert found.slope("j_per_input_token").estimate == pytest.approx(IN_J)
    assert found.slope("j_per_output_token").estimate == pytest.approx(OUT_J)
    assert found.r_squared == pytest.approx(1.0)


def test_a_measured_idle_power_is_taken_off() -> None:
    found = fit(design(noise=0.0), idle_power_w=IDLE_W)
    assert {slope.name for slope in found.slopes} == {"j_per_input_token", "j_per_output_token"}
    assert found.slope("j_per_output_token").estimate == pytest.approx(OUT_J)


def test_the_interaction_is_found_where_there_is_one() -> None:
    found = fit(design(noise=0.0, gamma=1e-6), idle_power_w=IDLE_W, interaction=True)
    assert found.slope("j_per_input_x_output_token").estimate == pytest.approx(1e-6)


def test_intervals_hold_the_truth_in_spite_of_unequal_scatter() -> None:
    held = 0
    for seed in range(400):
        slope = fit(design(seed), idle_power_w=IDLE_W).slope("j_per_output_token")
        held += slope.low <= OUT_J <= slope.high
    assert 0.92 <= held / 400 <= 0.985


def test_hc3_is_what_its_formula_says() -> None:
    runs = design(7)
    found = fit(runs, idle_power_w=IDLE_W)
    x = np.asarray([[run.tokens_in, run.tokens_out] for run in runs], dtype=float)
    y = np.asarray([run.energy_j - IDLE_W * run.duration_s for run in runs])
    hat = x @ np.linalg.inv(x.T @ x) @ x.T
    e = (y - hat @ y) / (1 - np.diag(hat))
    bread = np.linalg.inv(x.T @ x) @ x.T
    errors = np.sqrt(np.diag(bread @ np.diag(e**2) @ bread.T))
    assert [slope.se for slope in found.slopes] == pytest.approx(list(errors))


@pytest.mark.parametrize("runs", [design(blocks=2), design()[:10], []])
def test_too_small_a_design_says_what_it_lacks(runs: list[DesignedRun]) -> None:
    found = fit(runs)
    assert found.slopes == () and "of the 12 and 3" in found.note


def test_durations_that_follow_the_tokens_cannot_be_told_from_idle() -> None:
    found = fit(design(noise=0.0, pause_s=0.0))
    assert found.slopes == () and "measure the idle power" in found.note


def test_a_run_without_energy_is_refused() -> None:
    with pytest.raises(ValueError, match="nan"):
        fit([DesignedRun(float("nan"), 1.0, 1, 1, 1)])
    assert isinstance(fit(design()), PhaseEnergy)
