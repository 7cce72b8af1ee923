"""One-time tokens: which counts, and the reason why another does not."""

from __future__ import annotations

import base64

import pytest

from edgerig.errors import UsageError
from edgerig_controller.fleet import tokens
from edgerig_controller.fleet.tokens import StoredToken, hash_token, new_token


def stored(token: str, *, device: str = "orin", used: bool = False, expires: float = 100.0) -> StoredToken:
    return StoredToken(1, device, hash_token(token), expires, used)


def test_a_token_has_256_bits_and_differs_each_time() -> None:
    first, second = new_token(), new_token()
    assert len(base64.urlsafe_b64decode(first + "=")) == 32
    assert first != second


def test_the_stored_form_does_not_contain_the_token() -> None:
    token = new_token()
    assert token not in repr(stored(token))


def test_the_right_token_is_found_among_others() -> None:
    token = new_token()
    found, why = tokens.find([stored(new_token()), stored(token)], token, "orin", 99.0)
    assert found == stored(token)
    assert why == ""


@pytest.mark.parametrize(
    ("known", "device", "now", "reason"),
    [
        ({"used": True}, "orin", 0.0, "used before"),
        ({"expires": 100.0}, "orin", 100.0, "expired"),
        ({"device": "orin"}, "nano", 0.0, "another device"),
    ],
)
def test_a_token_that_does_not_count_says_why(
    known: dict[str, object], device: str, now: float, reason: str
) -> None:
    token = new_token()
    found, why = tokens.find([stored(token, **known)], token, device, now)  # type: ignore[arg-type]
    assert found is None
    assert reason in why


@pytest.mark.parametrize("presented", ["", "x", "é" * 50])
def test_an_unknown_token_is_not_known(presented: str) -> None:
    assert tokens.find([stored(new_token())], presented, "orin", 0.0) == (None, "the token is not known here")


@pytest.mark.parametrize("device_id", ["", "A", "a/b", "../x", "-a", "a" * 64, "a b", "a\n"])
def test_ids_that_could_be_a_path_or_a_trick_are_refused(device_id: str) -> None:
    with pytest.raises(UsageError, match="device"):
        tokens.check_device_id(device_id)


def test_labels_are_sorted_and_unique() -> None:
    assert tokens.check_labels(["ram=8g", "a", "ram=8g"]) == ("a", "ram=8g")


@pytest.mark.parametrize("label", ["", "a b", "and", "or", "not", "-a", "a" * 64, "é"])
def test_what_an_expression_could_not_name_is_no_label(label: str) -> None:
    with pytest.raises(UsageError, match="cannot be a label"):
        tokens.check_labels([label])


@pytest.mark.parametrize("name", ["", "local", "A", "../x"])
def test_what_cannot_be_a_persons_name(name: str) -> None:
    with pytest.raises(UsageError, match="person"):
        tokens.check_person(name)


@pytest.mark.parametrize("ttl_s", [-1.0, float("nan"), float("inf"), 1e9])
def test_a_lifetime_that_cannot_be_is_refused(ttl_s: float) -> None:
    with pytest.raises(UsageError):
        tokens.check_ttl(ttl_s)


def test_no_lifetime_means_the_default() -> None:
    assert tokens.check_ttl(0) == tokens.DEFAULT_TTL_S


def test_no_token_looks_like_an_option() -> None:
    # Of 1,000 drawn without care, sixteen would.
    assert not [token for token in (new_token() for _ in range(1000)) if token.startswith("-")]
