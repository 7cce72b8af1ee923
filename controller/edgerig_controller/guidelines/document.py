"""The JSON Schema of one guideline, and of the document that `edgerig guide` writes.

Fields are only added within a version; a changed meaning raises it.
"""

from __future__ import annotations

from typing import Any

from edgerig_controller.guidelines.verdict import Verdict

SCHEMA_VERSION = 1
_TEXT: dict[str, Any] = {"type": "string"}
_COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}
_FIGURE: dict[str, Any] = {"type": "number"}
_ANY: dict[str, Any] = {"type": "object"}
_NUMBER: dict[str, Any] = {"type": ["number", "null"]}
_INTERVAL: dict[str, Any] = {
    "type": ["array", "null"],
    "items": {"type": "number"},
    "minItems": 2,
    "maxItems": 2,
}
_TEXTS: dict[str, Any] = {"type": "array", "items": _TEXT}
_SHA256: dict[str, Any] = {"type": "string", "pattern": "^([0-9a-f]{64})?$"}


def _object(properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": sorted(properties),
        "properties": properties,
        **more,
    }


_PLACE = _object(
    {
        "task": _TEXT,
        "device": _TEXT,
        "estimate": {"type": "number"},
        "micro": _NUMBER,
        "interval_95": _INTERVAL,
        "p_bh": _NUMBER,
        "n_users": _COUNT,
        "n_items": _COUNT,
        "n_seeds": _COUNT,
        "note": _TEXT,
    }
)
_SCOPE = _object(
    {
        "tasks": _TEXTS,
        "models": _TEXTS,
        "devices": _TEXTS,
        "ranges": {"type": "object", "additionalProperties": {"type": "array"}},
    }
)
_ORIGIN = _object(
    {
        "family": {"enum": ["", "study file", "registered"]},
        "studies": {
            "type": "array",
            "items": _object({"study_id": _TEXT, "name": _TEXT, "digest": _TEXT}),
        },
        "run_ids": _TEXTS,
        "data_sha256": _SHA256,
        "config_sha256": _SHA256,
        "code": {"type": "object", "additionalProperties": _TEXT},
        "registered_unix_s": _NUMBER,
        "first_run_unix_s": _NUMBER,
        "difficulty": {"type": "object", "additionalProperties": {"type": "object"}},
    }
)
_PROPERTIES: dict[str, Any] = {
    "guideline": {"const": SCHEMA_VERSION},
    "verdict": {"enum": [verdict.value for verdict in Verdict]},
    "needed": {"type": ["object", "null"]},
    "facts": {"type": "object"},
    "asked": {"type": "object"},
    "contrast": {"type": "object", "additionalProperties": {"type": "number"}},
    **dict.fromkeys(("claim_id", "source", "template", "statement", "label", "estimand", "unit"), _TEXT),
    "hardware": {"enum": ["measured", "emulated"]},
    **{name: {"type": "boolean"} for name in ("strongly", "preregistered")},
    **dict.fromkeys(("reasons", "notes", "tasks", "counterexamples"), _TEXTS),
    **dict.fromkeys(("estimate", "p_adjusted", "mde", "heterogeneity_p"), _NUMBER),
    "delta": {"type": "number", "exclusiveMinimum": 0},
    **dict.fromkeys(("interval", "interval_95", "prediction"), _INTERVAL),
    **dict.fromkeys(("n_users", "n_items", "n_seeds", "positive_tasks", "negative_tasks"), _COUNT),
    "k_of_t": {"type": "array", "items": _COUNT, "minItems": 2, "maxItems": 2},
    "places": {"type": "array", "items": _PLACE},
    "scope": _SCOPE,
    "origin": _ORIGIN,
}
SCHEMA: dict[str, Any] = _object(
    _PROPERTIES,
    **{"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "An edgerig guideline"},
)
_NOTICE = _object({"level": {"enum": ["error", "notice"]}, "code": _TEXT, "text": _TEXT})
_VOLUME = _object(
    {
        "group": _TEXT,
        "count": _COUNT,
        **dict.fromkeys(("volume", "low", "high", "lost", "lost_low", "lost_high"), _FIGURE),
    }
)
_FRONT = _object(
    {
        "device": _TEXT,
        "task": _TEXT,
        "axes": _TEXTS,
        "members": {"type": "array", "items": {"type": "object"}},
        "left_out": {"type": "array", "items": _object({"config": _TEXT, "reason": _TEXT})},
        "hypervolume_reference": {"type": "object", "additionalProperties": {"type": "number"}},
        "hypervolumes": {"type": "array", "items": _VOLUME},
        "probability_best": {"type": "object", "additionalProperties": {"type": "number"}},
    }
)
_RULE = _object(
    {
        "published": {"type": "boolean"},
        **dict.fromkeys(("words", "fixed_action", "stability", "unavailable_reason"), _TEXT),
        "contexts": _COUNT,
        "validations": {
            "type": "array",
            "items": _object(
                {
                    "left_out": _TEXT,
                    "gain_points": {"type": ["object", "null"]},
                    **dict.fromkeys(("regret_rule", "regret_fixed", "regret_random"), _FIGURE),
                }
            ),
        },
    }
)
_CONTAMINATION = _object(
    {
        **dict.fromkeys(("model", "task", "reason"), _TEXT),
        "state": {"enum": ["no sign", "not excluded", "sign", "unknown"]},
        **dict.fromkeys(("gap", "gap_k"), _ANY),
        "wording": {"type": ["object", "null"]},
        "n_items": _COUNT,
    }
)
DOCUMENT_SCHEMA: dict[str, Any] = _object(
    {
        "edgerig_guidelines": {"const": SCHEMA_VERSION},
        "written_unix_s": {"type": "number"},
        "notices": {"type": "array", "items": _NOTICE},
        "guidelines": {
            "type": "array",
            "items": {key: value for key, value in SCHEMA.items() if key != "$schema"},
        },
        "utility": {"type": "object"},
        "fronts": {"type": "array", "items": _FRONT},
        "rule": _RULE,
        "contamination": {"type": "array", "items": _CONTAMINATION},
    },
    **{
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The document guidelines.json of edgerig guide",
    },
)
