"""Secrets are kept out of records."""

from __future__ import annotations

import pytest

from harness.gateway.redaction import REDACTED, is_secret_header, redact_headers, redact_query, redact_text


@pytest.mark.parametrize(
    "name",
    [
        "authorization",
        "proxy-authorization",
        "api-key",
        "x-api-key",
        "x-goog-api-key",
        "cookie",
        "set-cookie",
        "openai-organization",
        "openai-project",
        "x-auth-token",
        "x-amz-security-token",
        "ocp-apim-subscription-key",
    ],
)
def test_headers_that_carry_secrets(name: str) -> None:
    """Keys, tokens, cookies and accounts are secret."""
    assert is_secret_header(name)


@pytest.mark.parametrize(
    "name", ["content-type", "x-request-id", "x-ratelimit-remaining-tokens", "idempotency-id", "x-stainless-lang"]
)
def test_headers_that_carry_none(name: str) -> None:
    """What tells about tokens of text is no secret."""
    assert not is_secret_header(name)


def test_a_secret_header_keeps_its_name_only() -> None:
    """The value is replaced, whatever the case of the name; its secret part is handed back."""
    shown, secrets = redact_headers([(b"Authorization", b"Bearer sk-0123456789abc"), (b"accept", b"*/*")])
    assert shown == {"authorization": REDACTED, "accept": "*/*"}
    assert secrets == {"sk-0123456789abc"}


def test_dummy_keys_are_not_searched_for_in_texts() -> None:
    """A key such as ``test`` occurs in honest text."""
    assert redact_headers([(b"authorization", b"Bearer test")]) == ({"authorization": REDACTED}, set())


def test_repeated_headers_are_joined() -> None:
    """Nothing of a header that occurs twice is lost."""
    assert redact_headers([(b"via", b"a"), (b"via", b"b")])[0] == {"via": "a, b"}


def test_secrets_in_a_query_are_replaced() -> None:
    """Some endpoints take their key as a query parameter."""
    assert redact_query("/v1/x?api_key=abc&page=2&sig_token=d") == (
        f"/v1/x?api_key={REDACTED}&page=2&sig_token={REDACTED}"
    )


def test_every_occurrence_in_a_text_is_replaced() -> None:
    """Twice is twice."""
    assert redact_text("key s3cret and s3cret", {"s3cret"}) == f"key {REDACTED} and {REDACTED}"
