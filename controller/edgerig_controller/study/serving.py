"""How a study asks for inference: engines and servers, caches, lengths and batches as factors.

What must hold of the `servers` section and of these factors, and the messages of a cell. Which
engines and caches exist is said by the workload's catalogue; whether a device allows a
server's program, by that device.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgerig.errors import Problem
from edgerig.v1.trial_pb2 import Engine, Inference
from edgerig_controller.study.catalog import Catalog
from edgerig_controller.study.expand import Rule
from edgerig_controller.study.problems import nearest
from edgerig_controller.study.spec import Inference as Shape
from edgerig_controller.study.spec import Study
from edgerig_controller.study.yaml_source import Document

SERVER = "server"
DEFAULT_ENGINE = "transformers"
DEFAULT_CACHE = "dynamic"
# Factors of the inference profile that take the place of its keys of the same name.
_SHAPE = ("prompt_tokens", "new_tokens", "batch")
_FACTORS = ("engine", "kv_cache", "page_cache", *_SHAPE)


def levels(study: Study) -> dict[str, list[Any]]:
    """Return the levels of those factors of inference that a study has."""
    found = {name: [*values] for name in _FACTORS if (values := getattr(study.factors, name))}
    if "engine" in found:
        own = {server.name for server in study.servers}
        found["engine"] = [
            {"kind": SERVER, "name": name} if name in own else {"kind": name} for name in found["engine"]
        ]
    return found


def shape(study: Study, factors: Mapping[str, Any]) -> Shape:
    """Return the inference profile of a cell: the study's, with the cell's factors in it."""
    return study.inference.model_copy(update={name: factors[name] for name in _SHAPE if name in factors})


def inference(study: Study, factors: Mapping[str, Any]) -> Inference:
    """Return the message of a cell's inference; what is not asked for is left out, as it always was."""
    cache = factors.get("kv_cache", DEFAULT_CACHE)
    return Inference(
        **shape(study, factors).model_dump(),
        kv_cache="" if cache == DEFAULT_CACHE else cache,
        page_cache=factors.get("page_cache", ""),
    )


def engine(study: Study, factors: Mapping[str, Any]) -> Engine | None:
    """Return the message of a cell's engine, None for the usual one."""
    level = factors.get("engine", {"kind": DEFAULT_ENGINE})
    if level["kind"] == DEFAULT_ENGINE:
        return None
    if level["kind"] != SERVER:
        return Engine(kind=level["kind"], name=level["kind"])
    server = next(one for one in study.servers if one.name == level["name"])
    message = Engine(
        kind=SERVER,
        name=server.name,
        command=server.command,
        environment=server.environment,
        ready_path=server.ready,
        ready_s=server.ready_s,
        completion_path=server.path,
        model=server.model,
    )
    message.request.update(server.request)
    message.forced.update(server.forced)
    return message


def loads_files(factors: Mapping[str, Any]) -> bool:
    """Tell whether a cell's engine loads the model itself, so that the worker's memory says nothing of it."""
    return bool(factors.get("engine", {"kind": DEFAULT_ENGINE})["kind"] != DEFAULT_ENGINE)


def rules(study: Study) -> list[Rule]:
    """Return what excludes batches from engines that are asked one request at a time."""
    batches = [batch for batch in study.factors.batch if batch > 1]
    others = [level for level in levels(study).get("engine", []) if level["kind"] != DEFAULT_ENGINE]
    if not batches or not others:
        return []
    reason = "this engine is asked one request at a time here: use batch 1"
    kinds = list(dict.fromkeys(level["kind"] for level in others))
    return [Rule({"engine.kind": kinds, "batch": batches}, reason, from_study=False)]


def check(study: Study, catalog: Catalog, document: Document) -> list[Problem]:
    """Find what is wrong with a study's servers and the factors of its inference."""
    return [
        *_servers(study, catalog, document),
        *_named(study, catalog, document),
        *_batches(study, document),
        *_twice(study, document),
    ]


def _servers(study: Study, catalog: Catalog, document: Document) -> list[Problem]:
    problems = []
    names = [server.name for server in study.servers]
    for index, name in enumerate(names):
        place = document.place(("servers", index, "name"))
        if name in names[:index] or name in catalog.engines:
            problems.append(Problem(place, f"`{name}` is the name of another engine", "give it another name"))
        elif name not in study.factors.engine:
            hint = f"add engine: [{name}] to factors, or remove it"
            problems.append(Problem(place, f"no cell uses the server `{name}`", hint))
    return problems


def _named(study: Study, catalog: Catalog, document: Document) -> list[Problem]:
    problems = []
    engines = [name for name in catalog.engines if name != SERVER]
    known = {
        "engine": [*engines, *(server.name for server in study.servers)],
        "kv_cache": [*catalog.kv_caches] or [DEFAULT_CACHE],
    }
    for factor, names in known.items():
        for index, name in enumerate(getattr(study.factors, factor)):
            if name not in names:
                place = document.place(("factors", factor, index))
                hint = nearest(name, names)
                if factor == "engine" and name == SERVER:
                    hint = "describe it under servers, and use its name"
                problems.append(Problem(place, f"there is no {factor} `{name}`", hint))
    return problems


def _batches(study: Study, document: Document) -> list[Problem]:
    others = [name for name in study.factors.engine if name != DEFAULT_ENGINE]
    if study.factors.batch or study.inference.batch == 1 or not others:
        return []
    place = document.place(("inference", "batch"))
    message = f"`{others[0]}` is asked one request at a time here, and `batch` is {study.inference.batch}"
    return [Problem(place, message, "set batch: 1, or make it a factor: factors: {batch: [1, 4]}")]


def _twice(study: Study, document: Document) -> list[Problem]:
    return [
        Problem(
            document.place(("factors", factor, index)),
            f"this {factor} stands in the list twice",
            "remove one of the two",
        )
        for factor in _FACTORS
        for index, value in enumerate(getattr(study.factors, factor))
        if value in getattr(study.factors, factor)[:index]
    ]
