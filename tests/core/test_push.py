"""Which services browsers may be told by, and what a browser says of itself."""

from __future__ import annotations

import pytest

from relay.core.push import SERVICE, bytes_of, from_address, is_allowed, is_origin, subscription_of, text_of

KEY, AUTH = text_of(b"\4" + bytes(64)), text_of(bytes(16))


@pytest.mark.parametrize(
    "endpoint",
    ["https://fcm.googleapis.com/fcm/send/x", "https://updates.push.services.mozilla.com/wpush/v2/x",
     "https://web.push.apple.com/x", "https://wns2-am3p.notify.windows.com/w/?token=x", "https://fcm.googleapis.com:443/x",
     "https://mine.example:8443/push/x", "http://127.0.0.1:9000/x"],
)  # fmt: skip
def test_the_known_services_and_those_that_are_named_are_allowed(endpoint: str) -> None:
    assert is_allowed(endpoint, ("https://mine.example:8443", "http://127.0.0.1:9000"))


@pytest.mark.parametrize(
    "endpoint",
    ["http://fcm.googleapis.com/x", "https://fcm.googleapis.com.evil.example/x", "https://evil.example/fcm.googleapis.com",
     "https://fcm.googleapis.com@evil.example/x", "https://fcm.googleapis.com:8443/x", "https://push.apple.com/x",
     "https://.push.apple.com/x", "https://evilpush.apple.com/x", "https://127.0.0.1/x", "http://127.0.0.1:9001/x",
     "https://fcm.googleapis.com\\@evil.example/x", "https://FCM.googleapis.com/x", "ftp://fcm.googleapis.com/x", "",
     "https://fcm.googleapis.com/\n", "https://fcm.googleapis.com#x", "https://fcm.googleapis.com%2eevil.example/",
     "https://[::1]/x", "https://fcm.googleapis.com/ x", "//fcm.googleapis.com/x"],
)  # fmt: skip
def test_everything_else_is_not(endpoint: str) -> None:
    assert not is_allowed(endpoint, ("https://mine.example:8443", "http://127.0.0.1:9000"))


def test_a_service_is_named_by_its_origin_and_in_the_clear_on_this_machine_alone() -> None:
    assert all(map(is_origin, ("https://mine.example", "https://mine.example:8443", "http://127.0.0.1:80000"[:-1])))
    for wrong in ("http://mine.example", "https://mine.example/", "https://mine.example:443", "mine.example", 1, ""):
        assert not is_origin(wrong), wrong


def test_a_browser_is_kept_as_an_address_and_read_again() -> None:
    told = subscription_of("https://fcm.googleapis.com/x?y=1", KEY, AUTH)
    assert told is not None and told.address.startswith(f"{SERVICE}://https://fcm.googleapis.com/x?y=1#")
    assert from_address(told.address) == told
    assert "fcm" not in repr(told)
    assert bytes_of(KEY + "=", 65) == bytes_of(KEY, 65)


@pytest.mark.parametrize(
    ("endpoint", "key", "auth"),
    [("", KEY, AUTH), ("https://x/#y", KEY, AUTH), ("https://x/", "", AUTH), ("https://x/", KEY, KEY), (1, KEY, AUTH),
     ("https://x/", text_of(b"\2" + bytes(64)), AUTH), ("https://x/" + "a" * 1_536, KEY, AUTH), ("https://x/", KEY, 1),
     ("https://x/é", KEY, AUTH), ("https://x/", KEY[:-1] + "!", AUTH), ("https://x/\r\ny", KEY, AUTH)],
)  # fmt: skip
def test_what_is_no_subscription_is_none(endpoint: object, key: object, auth: object) -> None:
    assert subscription_of(endpoint, key, auth) is None
    assert from_address(f"{SERVICE}://{endpoint}#{key}.{auth}") is None
