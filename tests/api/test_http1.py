"""The HTTP/1.1 parser, byte by byte and against what no broker should send."""

from __future__ import annotations

import pytest

from relay.api.http1 import BadAnswer, Lines, Response, quoted, request

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3;x=y\r\n wo\r\n0\r\nTrailer: 1\r\n\r\n"
COUNTED = b"HTTP/1.1 404 Not Found\r\ncontent-length: 8\r\nConnection: close\r\n\r\nhello wo"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n" + COUNTED


def _read(data: bytes, step: int) -> tuple[Response, bytes]:
    response, body = Response(), b""
    for at in range(0, len(data), step):
        body += b"".join(response.feed(data[at : at + step]))
    return response, body


@pytest.mark.parametrize("step", [1, 2, 7, 1000])
@pytest.mark.parametrize(("data", "status"), [(CHUNKED, 200), (COUNTED, 404), (INTERIM, 404)])
def test_an_answer_reads_the_same_however_it_is_cut(data: bytes, status: int, step: int) -> None:
    response, body = _read(data, step)
    assert (response.status, response.done, body) == (status, True, b"hello wo")


def test_connection_close_and_left_over_bytes_end_keep_alive() -> None:
    assert not _read(COUNTED, 9)[0].keep_alive
    assert _read(CHUNKED, 9)[0].keep_alive
    assert not _read(CHUNKED + b"HTTP", 1000)[0].keep_alive


def test_a_body_without_length_lasts_until_the_end() -> None:
    response, body = _read(b"HTTP/1.1 200 OK\r\n\r\nabc", 4)
    assert (body, response.done) == (b"abc", False)
    response.end()
    assert response.done


def test_an_answer_cut_short_is_an_error() -> None:
    response, _ = _read(CHUNKED[:-20], 1000)
    with pytest.raises(BadAnswer):
        response.end()


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabcd\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"x" * 70_000,
    ],
)
def test_what_is_not_http_is_refused(data: bytes) -> None:
    with pytest.raises(BadAnswer):
        _read(data, 1 << 20)


def test_a_path_and_its_values_are_quoted() -> None:
    assert quoted("a b/ü?&=@x") == "a%20b%2F%C3%BC%3F%26%3D@x"
    assert quoted(b"a\xff".decode(errors="surrogateescape")) == "a%3F"
    assert request("POST", "/p", b"{}").endswith(b"Content-Length: 2\r\n\r\n{}")


def test_lines_are_cut_across_pieces_and_bounded() -> None:
    lines = Lines()
    assert lines.feed(b'{"a"') == []
    assert lines.feed(b":1}\n\n{}\nrest") == [b'{"a":1}', b"{}"]
    with pytest.raises(BadAnswer):
        lines.feed(b"x" * (9 << 20))
