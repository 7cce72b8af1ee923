"""Which rails add up to a total."""

from edgerig_agent.probes.rails import rails_of_total


def test_agx_orin_adds_three_rails_and_leaves_the_branch_out() -> None:
    labels = ["VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0", "VDDQ_VDD2_1V8AO"]
    assert rails_of_total(labels) == ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0")


def test_agx_xavier_adds_all_six() -> None:
    assert set(rails_of_total(["GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"])) == {
        *("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V")
    }


def test_a_missing_rail_means_no_total() -> None:
    assert rails_of_total(["VDD_GPU_SOC", "VDD_CPU_CV"]) == ()


def test_where_a_rail_is_the_total_nothing_is_added() -> None:
    assert rails_of_total(["VDD_IN", "VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"]) == ()


def test_a_label_that_appears_twice_gives_no_total() -> None:
    assert rails_of_total(["VDD_GPU_SOC", "VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"]) == ()
