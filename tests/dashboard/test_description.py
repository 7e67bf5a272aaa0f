"""The OpenAPI document: it describes every route, and what it says may be asked is answered without a fault."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from relay.broker.control.catalogue import CATALOGUE, LIVE, PREFIX
from relay.dashboard.openapi import document
from tests.dashboard.browser import Browser

SCHEMA: Any = schemathesis.openapi.from_dict(document())
# what ends the broker, or what it is a member of, would leave the others nothing to ask
ENDS = {("POST", "down"), ("POST", "joins"), ("POST", "workspace/rotate")}
ASKED = [each for each in CATALOGUE if each.scope and (each.method, each.path) not in ENDS | LIVE]
REFS = ("laptop", "nobody", "-", "build", "%00", "a" * 301)
ERROR = Draft202012Validator(document()["components"]["schemas"]["Error"])
NOT_OURS = 500
SETTINGS = settings(phases=[Phase.generate], suppress_health_check=list(HealthCheck), database=None)


def test_it_describes_every_route_with_its_scope(stranger: Browser) -> None:
    told = stranger.ask("GET", "/openapi.json")
    assert (told.status, told.headers["content-type"]) == (200, "application/json")
    paths = told.document["paths"]
    found = {(method.upper(), path): each for path, by in paths.items() for method, each in by.items()}
    assert {name: each["x-scope"] for name, each in found.items()} == {
        (each.method, PREFIX + each.path): each.scope for each in CATALOGUE
    }
    assert all(each["summary"] for each in found.values())
    SCHEMA.validate()


@pytest.mark.parametrize("route", ASKED, ids=lambda route: f"{route.method} {route.path}")
def test_what_it_allows_is_answered_without_a_fault(browser: Browser, route: Any) -> None:
    """Any answer but 500; and one that is an error is the document that the description says."""
    operation = SCHEMA[PREFIX + route.path][route.method]
    varied = route.method == "POST" or route.fields or "{" in route.path

    @settings(SETTINGS, max_examples=3 if varied else 1)
    @given(case=operation.as_strategy(), ref=st.sampled_from(REFS))
    def asked(case: Any, ref: str) -> None:
        case.path_parameters = dict.fromkeys(case.path_parameters or {}, ref)
        query = dict(case.query or {})
        query |= {name: 0 for name in ("follow", "seconds") if name in query}
        case.query = query
        path = f"{PREFIX}{route.path.format(**case.path_parameters)}" + _query(query)
        answer = browser.ask(route.method, path, _body(case))
        assert answer.status != NOT_OURS, answer.data
        if answer.status >= 400:
            ERROR.validate(answer.document)

    asked()
    if route.path == "queue/pause":
        # on this worker nothing else would be started, and whoever asks for it to go on may be on another
        assert browser.post("queue/resume", "after-the-pause").status == 200
    if route.path == "brokers/{ref}/rename":
        assert browser.post(f"brokers/{browser.node.id}/rename", "after-the-renaming", name="laptop").status == 200
    if route.path == "grants/{ref}/allow":
        # other modules count the grants
        assert browser.post(f"grants/{browser.node.id}/revoke", "after-the-grant").status == 200


def _query(values: dict[str, Any]) -> str:
    return f"?{urlencode(values, errors='replace')}" if values else ""


def _body(case: Any) -> Any:
    body = case.body if isinstance(case.body, dict) else None
    return None if body is None else {**body, "wait_s": 0}
