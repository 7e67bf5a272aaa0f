"""The names by which a browser may reach the dashboard: exact, and with nothing allowed that is not listed.

A page of another site whose name is made to point to this machine (DNS rebinding) sends its own name as `Host`, and is
turned away by it. A page on another port of this machine sends that port in `Origin`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from relay.core.errors import Code, Refused

SECURE = "https://"


class Hosts:
    """Knows the hosts and the origins that go with them.

    Args:
        port: where the server listens on loopback.
        published: the public origin, `https://HOST`, as it is now; None for none.
    """

    def __init__(self, port: int, published: Callable[[], str | None]) -> None:
        self._local = {f"{name}:{port}": f"http://{name}:{port}" for name in ("127.0.0.1", "localhost")}
        self._published = published

    def origin_of(self, headers: Iterable[tuple[bytes, bytes]]) -> str:
        """The origin that belongs to the host a request is for.

        Args:
            headers: of the request, names in small letters.

        Raises:
            Refused: `foreign_host`.
        """
        named = _all(headers, b"host")
        found = self._local.get(named[0]) if len(named) == 1 else None
        public = self._published()
        if found is None and public is not None and named == [public.removeprefix(SECURE)]:
            found = public
        if found is None:
            raise Refused(
                "this server does not go by that name",
                code=Code.FOREIGN_HOST,
                # not by which public name: a page of elsewhere whose name points here reads this
                why=f"on this machine it goes by {', '.join(self._local)}",
                hint="relay dashboard",
            )
        return found


def require_origin(headers: Iterable[tuple[bytes, bytes]], own: str, *, given: bool) -> None:
    """Go on only where a request comes from our own page.

    Args:
        headers: of the request, names in small letters.
        own: the origin that belongs to the host it is for.
        given: whether it has to name one; else that of a program, which names none, will do.

    Raises:
        Refused: `foreign_origin`.
    """
    headers = list(headers)
    origins, sites = _all(headers, b"origin"), _all(headers, b"sec-fetch-site")
    if (origins == [own] or not (origins or given)) and all(site in ("same-origin", "none") for site in sites):
        return
    raise Refused(
        "that page may not ask this",
        code=Code.FOREIGN_ORIGIN,
        why=f"only a page of {own} may",
        hint="relay dashboard",
    )


def _all(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in headers if key == name]
