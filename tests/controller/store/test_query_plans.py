"""What is asked again and again reads no table from end to end, however long the history is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event

from edgerig_controller.home import Home
from edgerig_controller.store.repository import Repository
from edgerig_controller.store.studies import Terms
from tests.controller.store.building import T0, add_device, create, finish, study, take

# Tables that grow with every trial.
GROWING = ("attempt", "result", "event", "trial", "measurement", "health_point")


@pytest.fixture
def sqlite(home: Home) -> Iterator[Repository]:
    repository = Repository.open(home)
    add_device(repository)
    yield repository
    repository.close()


@contextmanager
def asked(repository: Repository) -> Iterator[list[tuple[str, Any]]]:
    """Collects the statements that are asked meanwhile, with their values."""
    found: list[tuple[str, Any]] = []

    def note(_conn: Any, _cursor: Any, statement: str, values: Any, _context: Any, many: bool) -> None:
        if statement.startswith(("SELECT", "WITH")) and not many:
            found.append((statement, values))

    event.listen(repository._engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(repository._engine, "before_cursor_execute", note)


def steps(repository: Repository, statements: list[tuple[str, Any]]) -> list[str]:
    """Returns every step of SQLite's plans for these statements."""
    with repository._engine.connect() as connection:
        return [
            str(row[3])
            for statement, values in statements
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
        ]


def walks(plan: list[str]) -> list[str]:
    return [step for step in plan if step.startswith("SCAN") and step.split()[1] in GROWING]


def of_owner(repository: Repository, name: str, owner: str, purpose: str = "") -> str:
    row, _, _ = repository.create_study(
        study(name, salt=name), reuse=False, now_unix_s=T0, terms=Terms(owner=owner, purpose=purpose)
    )
    return row.study_id


def test_a_sync_of_people_with_equal_shares_reads_no_history(sqlite: Repository) -> None:
    of_owner(sqlite, "hers", "olga")
    of_owner(sqlite, "his", "viktor")
    finish(sqlite, take(sqlite), now=T0 + 10)
    sqlite.sync("local", [], wants_work=False, now_unix_s=T0 + 20)
    with asked(sqlite) as statements:
        assert sqlite.sync("local", [], wants_work=True, now_unix_s=T0 + 20).offer is not None
    plan = steps(sqlite, statements)
    assert walks(plan) == []
    assert any("ix_attempt_ended_unix_s" in step for step in plan)


def test_what_ended_a_while_ago_is_summed_once(sqlite: Repository) -> None:
    of_owner(sqlite, "hers", "olga")
    of_owner(sqlite, "his", "viktor")
    with asked(sqlite) as statements:
        for now in (T0, T0 + 100, T0 + 200):
            finish(sqlite, take(sqlite, now=now), now=now + 50)
    sums = [values for statement, values in statements if "sum(" in statement]
    # The settled part and the rest, then the rest alone.
    assert len(sums) == 4


def test_looking_for_golden_results_reads_only_what_is_new(sqlite: Repository) -> None:
    of_owner(sqlite, "golden", "", purpose="golden")
    finish(sqlite, take(sqlite))
    assert len(sqlite.fleet.judge_golden(now_unix_s=T0 + 20)) == 1
    with asked(sqlite) as nothing_new:
        assert sqlite.fleet.judge_golden(now_unix_s=T0 + 21) == []
    assert [step for step in steps(sqlite, nothing_new) if "study" in step] == []
    finish(sqlite, take(sqlite, now=T0 + 30), now=T0 + 40)
    with asked(sqlite) as statements:
        assert len(sqlite.fleet.judge_golden(now_unix_s=T0 + 50)) == 1
        sqlite.fleet.golden_times(since_unix_s=T0)
    plan = steps(sqlite, statements)
    assert walks(plan) == []
    # By its number alone, not from all trials of all golden studies.
    assert [step for step in plan if step.startswith("SEARCH result USING INDEX")] == []
    assert any("ix_study_purpose_created_unix_s (purpose=? AND created_unix_s>?)" in step for step in plan)


def test_a_number_that_is_given_again_is_judged_too(sqlite: Repository) -> None:
    study_id = of_owner(sqlite, "golden", "", purpose="golden")
    finish(sqlite, take(sqlite))
    assert len(sqlite.fleet.judge_golden(now_unix_s=T0 + 20)) == 1
    sqlite.cancel_study(study_id, now_unix_s=T0 + 20)
    sqlite.delete_study(study_id, now_unix_s=T0 + 21)
    of_owner(sqlite, "again", "", purpose="golden")
    finish(sqlite, take(sqlite))
    assert len(sqlite.fleet.judge_golden(now_unix_s=T0 + 30)) == 1


def test_studies_of_one_person_ask_for_no_shares(sqlite: Repository) -> None:
    create(sqlite, study())
    with asked(sqlite) as statements:
        assert sqlite.sync("local", [], wants_work=True, now_unix_s=T0).offer is not None
    assert not [statement for statement, _ in statements if "sum(" in statement]
