"""Streams of completions: exact times of bytes and tokens, and what is refused."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence

import pytest

from edgerig_workload.engines import stream
from edgerig_workload.faults import WorkerFault
from tests.fakes.completion_server import Lockstep, chunk, event

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def received(writes: Sequence[bytes]) -> stream.Received:
    """Sends the first write at second 1, the next at second 2 and so on; returns what arrived."""
    server = Lockstep(list(writes))
    try:
        return stream.receive(server.port, "/v1/completions", b"{}", 20.0, server.clock)
    finally:
        server.close()


def seconds(completion: stream.Completion) -> list[tuple[int, int]]:
    return [(length, at // 1_000_000_000) for length, at in completion.arrivals]


def test_each_piece_is_stamped_when_its_bytes_arrive() -> None:
    answer = received(
        [CHUNKED, chunk(event("the")), chunk(event(" house")), chunk(event("", "length")) + END]
    )

    assert seconds(stream.parse(answer)) == [(3, 2), (9, 3)]


def test_the_time_is_that_of_the_bytes_and_not_of_the_end_of_their_chunk() -> None:
    whole = chunk(event("the"))
    answer = received([CHUNKED, whole[:-2], whole[-2:] + chunk(event("", "stop")) + END])

    assert seconds(stream.parse(answer)) == [(3, 2)]


def test_an_event_in_two_pieces_is_there_with_the_second() -> None:
    first, second = event("the")[:9], event("the")[9:]
    answer = received([CHUNKED, chunk(first), chunk(second), chunk(event("", "stop")) + END])

    assert seconds(stream.parse(answer)) == [(3, 3)]


def test_events_that_arrive_together_have_one_time() -> None:
    both = chunk(event("the") + event(" house"))
    answer = received([CHUNKED, both, chunk(event("", "stop")) + END])

    assert seconds(stream.parse(answer)) == [(3, 2), (9, 2)]


def test_a_stream_that_ends_with_the_connection_is_read_to_its_mark() -> None:
    answer = received([HEAD + b"\r\n", event("the"), b"data: [DONE]"])

    completion = stream.parse(answer)
    assert (completion.text, completion.token_count) == ("the", None)


def test_a_token_has_come_when_its_last_character_has() -> None:
    completion = stream.Completion("the small house", [(6, 10), (9, 20), (15, 30)], "length", None)

    # "the" + " small" + " house", whatever the events cut.
    assert stream.token_arrivals(completion, [3, 9, 15]) == [10, 20, 30]


def test_more_tokens_than_events_share_the_time_of_theirs() -> None:
    completion = stream.Completion("a b c", [(5, 7)], "length", None)

    assert stream.token_arrivals(completion, [1, 3, 5]) == [7, 7, 7]


def test_the_servers_own_count_is_kept_apart() -> None:
    usage = json.dumps({"choices": [], "usage": {"completion_tokens": 12}}).encode()
    pieces = [(1, event("the", "length")), (2, b"data: " + usage + b"\r\n\r\n")]

    completion = stream.parse(stream.Received(0, 0, pieces))

    assert (completion.text, completion.token_count, completion.finish_reason) == ("the", 12, "length")


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        ([event("the")], "stopped in the middle of a stream, after 3 characters"),
        ([b"data: {{{\n\n"], "sent no JSON"),
        ([b"data: [1]\n\n"], "sent no completion"),
        ([b'data: {"choices": [{"text": 7}]}\n\n'], "sent no completion"),
        ([b'data: {"error": "no memory"}\n\n'], "no memory"),
        ([b"data: " + b"x" * stream.LINE_BYTES], "a line of more than"),
        ([b"<html></html>"], "stopped in the middle of a stream, after 0 characters"),
    ],
)
def test_what_is_no_complete_answer_is_a_failure(pieces: list[bytes], words: str) -> None:
    with pytest.raises(WorkerFault, match="server") as caught:
        stream.parse(stream.Received(0, 0, [(0, piece) for piece in pieces]))

    assert words in caught.value.message
    assert caught.value.failure_class == "worker_error"


def test_a_connection_that_breaks_inside_a_chunk_is_a_failure() -> None:
    with pytest.raises(WorkerFault, match="stopped in the middle of a stream"):
        received([CHUNKED, b"40\r\ndata: {"])


def test_a_refusal_says_what_the_server_said() -> None:
    body = b"model not found"
    head = b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n" % len(body)
    with pytest.raises(WorkerFault, match=r"status 404.*model name.*model not found") as caught:
        received([head + body])

    assert caught.value.failure_class == "bad_model"


def test_an_answer_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "ANSWER_BYTES", 100)
    with pytest.raises(WorkerFault, match="more than 100 bytes"):
        received([CHUNKED, chunk(b"data: " + b"x" * 200)])


def test_a_server_that_nobody_started_does_not_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(WorkerFault, match="does not answer"):
        stream.receive(port, "/v1/completions", b"{}", 5.0, lambda: 0)
