"""The copies of repositories that `--repo` fetches: they follow the branches there, and keep no secret."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from relay.core.errors import LocalFault, Misuse
from relay.core.sources import read_source
from relay.core.workplaces import Workplace
from relay.git.command import Failed, Git, last_words
from tests.trees.ground import Far, git


def _fetched(far: Far, url: str, ref: str | None = None) -> Path:
    far.place.remove()
    far.make(Workplace(repo=url, ref=ref))
    return far.place.tree


def test_a_branch_that_is_gone_is_not_worked_from_and_in_nobody_s_way(repo: Path, far: Far) -> None:
    git(repo, "branch", "feature")
    first = git(repo, "rev-parse", "HEAD")
    _fetched(far, str(repo), "feature")
    git(repo, "branch", "-D", "feature")
    git(repo, "branch", "feature/a")
    there = _fetched(far, str(repo), "feature/a")
    assert git(there, "branch", "--show-current") == "relay/task"
    with pytest.raises(LocalFault) as refused:
        _fetched(far, str(repo), "feature")
    assert "feature" in refused.value.why
    git(repo, "checkout", "-q", "--orphan", "anew")
    git(repo, "commit", "-qm", "anew")
    git(repo, "branch", "-D", "main", "feature/a")
    assert git(_fetched(far, str(repo), first), "rev-parse", "HEAD") == first, "its commits stay, for who names one"


def test_where_head_names_no_branch_any_more_it_is_not_the_old_one(repo: Path, far: Far) -> None:
    _fetched(far, str(repo))
    git(repo, "symbolic-ref", "HEAD", "refs/heads/nowhere")
    with pytest.raises(LocalFault) as refused:
        _fetched(far, str(repo))
    assert "HEAD names no commit" in refused.value.why
    _fetched(far, str(repo), "main")


def test_a_default_branch_called_relay(repo: Path, far: Far) -> None:
    git(repo, "branch", "-m", "main", "relay")
    there = _fetched(far, str(repo))
    assert git(there, "branch", "--show-current") == "relay/task"
    (there / "a").write_text("by the task\n")
    assert far.brought().commits == 1


class _Closed(BaseHTTPRequestHandler):
    """A server that wants to know who is there."""

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="x"')
        self.send_header("content-length", "0")
        self.end_headers()


@pytest.fixture
def closed() -> Iterator[str]:
    """`HOST:PORT` of such a server."""
    server = HTTPServer(("127.0.0.1", 0), _Closed)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("login", ["TOKEN123", "me:TOKEN123"])
def test_a_secret_of_this_machine_s_configuration_is_in_no_error(
    closed: str, login: str, tmp_path: Path
) -> None:
    """`url.insteadOf` with a token in it is a common way to log git in; its requester is another machine."""
    config = Path.home() / ".gitconfig"
    config.write_text(f'[url "http://{login}@{closed}/"]\n\tinsteadOf = https://example.org/\n')
    with pytest.raises(Failed) as refused:
        Git(tmp_path, protocols=("http",), own_settings=True).run("ls-remote", "https://example.org/x.git")
    told = refused.value
    assert "TOKEN123" not in told.message + told.why + told.hint and closed in told.why


@pytest.mark.parametrize(
    "said",
    [
        "fatal: unable to access 'https://u:TOKEN123@h/x/': 403", "fatal: could not read Password for 'https://TOKEN123@h'",
        "remote: https://h/x?access_token=TOKEN123 is gone", "to ssh://TOKEN123@h/x and http://a:b@TOKEN123@h/y",
        "https://h/x#TOKEN123",
    ],
)  # fmt: skip
def test_git_s_last_words_have_no_secrets(said: str) -> None:
    told = last_words(said.encode())
    assert "TOKEN123" not in told and "://" in told


@pytest.mark.parametrize("url", ["https://h/x?private_token=TOKEN123", "https://TOKEN123@h/x", "ftp://a:TOKEN123@h/x"])
def test_a_source_with_a_secret_in_it_is_refused_without_saying_it_again(url: str) -> None:
    with pytest.raises(Misuse) as refused:
        read_source(url)
    assert "TOKEN123" not in refused.value.message + refused.value.why + refused.value.hint
