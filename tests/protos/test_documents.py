"""The JSON form of messages: canonical, strict, and independent of the protobuf release."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgerig.documents import canonical_bytes, digest, from_json, to_json
from edgerig.errors import ProtocolError
from edgerig.v1.attempt_pb2 import AttemptResult
from edgerig.v1.trial_pb2 import Trial


def lora_trial() -> Trial:
    trial = Trial(schema_version=1, seed=3, history=-1)
    trial.method.kind = "lora"
    trial.method.parameters.update({"r": 8, "dropout": 0.5, "targets": ["q", "v"]})
    return trial


def test_whole_numbers_of_a_struct_are_integers() -> None:
    assert to_json(lora_trial())["method"]["parameters"] == {"r": 8, "dropout": 0.5, "targets": ["q", "v"]}


def test_a_document_read_back_is_the_same_message() -> None:
    trial = lora_trial()
    assert from_json(canonical_bytes(to_json(trial)), Trial(), what="trial.json") == trial


def test_an_unknown_field_is_refused_with_its_name() -> None:
    with pytest.raises(ProtocolError, match="sead"):
        from_json('{"sead": 3}', Trial(), what="trial.json")


def test_an_unknown_enumeration_word_is_refused() -> None:
    with pytest.raises(ProtocolError, match="STATUS_GREAT"):
        from_json('{"status": "STATUS_GREAT"}', AttemptResult(), what="result.json")


@pytest.mark.parametrize("text", [b"\xff\xfe", b"[", b"3", b"[" * 100_000])
def test_what_is_no_document_is_refused(text: bytes) -> None:
    with pytest.raises(ProtocolError):
        from_json(text, Trial(), what="trial.json")


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=6))
def test_a_digest_does_not_depend_on_the_order_of_keys(document: dict[str, object]) -> None:
    assert digest(document) == digest(dict(reversed(list(document.items()))))


def test_a_digest_changes_with_the_content() -> None:
    other = lora_trial()
    other.seed = 4
    assert digest(to_json(lora_trial())) != digest(to_json(other))
