"""Methods by which a model gets to know its users, one module a family of kinds of the catalogue.

A method is a function `learn(context) -> Learned`: it indexes, trains or does
nothing, and says how an item's prompt is worded from then on. Its module is
imported when the kind is asked for, so that a missing library stops only what needs it.
A training method is put together (`tuning`) from independent parts: which parameters
are trained (`trainables`, `subsets`, `soft_prompts`), how gradients are estimated
(`estimators`, `zeroth`), how they are applied (`optimisers`), both put together in
`engine`, under which budget (`budget`), by one loop (`loop`).
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, TypeAlias, cast

from edgerig_workload.learn.catalog import TRAINED, both

if TYPE_CHECKING:
    from edgerig_workload.learn.context import Context, Learned

MODULES = {
    "none": "edgerig_workload.learn.none",
    "rag": "edgerig_workload.learn.rag",
    **dict.fromkeys(both(*TRAINED), "edgerig_workload.learn.tuning"),
}

Method: TypeAlias = "Callable[[Context], Learned]"


def method(kind: str) -> Method:
    """Return the method of a catalogue kind that needs a model; KeyError for an unknown one."""
    return cast("Method", import_module(MODULES[kind]).learn)
