"""The tree of errors: one code per class, and the drawing is the truth."""

import inspect
import re

import pytest

from edgerig import errors


def tree() -> list[type[errors.EdgerigError]]:
    classes = [value for value in vars(errors).values() if inspect.isclass(value)]
    return [cls for cls in classes if issubclass(cls, errors.EdgerigError) and cls is not errors.EdgerigError]


@pytest.mark.parametrize("cls", tree(), ids=lambda cls: cls.__name__)
def test_the_drawing_names_every_class_with_its_exit_code(cls: type[errors.EdgerigError]) -> None:
    assert re.search(rf"─ {cls.__name__} .*exit {cls.exit_code}$", errors.__doc__ or "", re.MULTILINE)


def test_an_error_ends_with_the_next_command() -> None:
    error = errors.NotFoundError("No study is called 'quik'.", hint="edgerig studies")
    assert str(error).splitlines()[-1] == "Next: edgerig studies"


def test_problems_keep_their_order_and_places() -> None:
    problems = [
        errors.Problem("s.yaml:3:1", "unknown key 'sed'", "did you mean 'seeds'?"),
        errors.Problem("s.yaml:9:2", "too small"),
    ]
    assert str(errors.StudyProblems(problems)) == (
        "s.yaml:3:1: unknown key 'sed' (did you mean 'seeds'?)\ns.yaml:9:2: too small"
    )
