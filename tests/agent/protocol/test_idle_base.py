"""The idle base on disk."""

from pathlib import Path

from edgerig_agent.protocol import idle_base
from edgerig_agent.protocol.idle_base import IdleBase, Settling


def test_a_base_is_kept_for_each_way_the_device_is_set(tmp_path: Path) -> None:
    idle_base.save(tmp_path / "home", "MAXN", IdleBase({"cpu": 40.0}, 1.0))
    idle_base.save(tmp_path / "home", "15W", IdleBase({"cpu": 35.0}, 2.0))
    assert idle_base.load(tmp_path / "home", "MAXN") == IdleBase({"cpu": 40.0}, 1.0)
    assert idle_base.load(tmp_path / "home", "15W") == IdleBase({"cpu": 35.0}, 2.0)
    assert idle_base.load(tmp_path / "home", "7W") is None


def test_a_damaged_file_is_no_base_and_is_replaced(tmp_path: Path) -> None:
    for text in ("", "[]", '{"MAXN": 3}', '{"MAXN": {"temperatures_c": {"cpu": "hot"}}}'):
        (tmp_path / idle_base.FILE).write_text(text)
        assert idle_base.load(tmp_path, "MAXN") is None
    idle_base.save(tmp_path, "15W", IdleBase({}, 1.0))
    assert idle_base.load(tmp_path, "15W") == IdleBase({}, 1.0)


def test_a_forgotten_base_is_gone(tmp_path: Path) -> None:
    idle_base.save(tmp_path, "MAXN", IdleBase({"cpu": 40.0}, 1.0))
    idle_base.forget(tmp_path)
    idle_base.forget(tmp_path)
    assert idle_base.load(tmp_path, "MAXN") is None


def test_a_single_jump_begins_the_settling_anew() -> None:
    settling = Settling(10.0)
    for second, value in enumerate([40.0] * 5 + [45.0] + [40.0] * 9):
        settling.add(second * 1_000_000_000, {"cpu": value})
        assert settling.base_c() is None
    for second in (15, 16):
        settling.add(second * 1_000_000_000, {"cpu": 40.0})
    assert settling.base_c() == {"cpu": 40.0}


def test_only_zones_that_always_answered_have_a_base() -> None:
    settling = Settling(1.0)
    settling.add(0, {"cpu": 40.0, "gpu": 50.0})
    settling.add(1_000_000_000, {"cpu": 40.0})
    assert settling.base_c() == {"cpu": 40.0}
