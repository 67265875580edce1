"""Files in messages: MLflow keeps them as attachments, and what an attachment really holds is compared."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256

import pytest

from harness.completeness.compare import same_messages

IMAGE = b"\x89PNG not really"
DIGEST = sha256(IMAGE).hexdigest()


def messages(url: str) -> list[dict[str, object]]:
    """A message with one file."""
    return [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]


def reference(content_type: str = "image%2Fpng", digest: str | None = DIGEST) -> str:
    """MLflow's reference, as it is read with its attachment."""
    noted = "" if digest is None else f"&sha256={digest}"
    return f"mlflow-attachment://0a-1?content_type={content_type}&trace_id=tr-1&size={len(IMAGE)}{noted}"


SENT = messages(f"data:image/png;base64,{b64encode(IMAGE).decode()}")


def test_a_reference_to_the_same_bytes_states_the_same() -> None:
    """The interface shows the attachment in the file's place."""
    assert same_messages(SENT, messages(reference()))


@pytest.mark.parametrize(
    "traced",
    [reference(digest=None), reference(digest=sha256(b"another").hexdigest()), reference("image%2Fgif")],
    ids=["not there", "other bytes", "another type"],
)
def test_any_other_attachment_does_not(traced: str) -> None:
    """An attachment that was never stored, holds something else or claims another type is no image of what was sent."""
    assert not same_messages(SENT, messages(traced))


def test_a_broken_data_url_is_compared_as_text() -> None:
    """What is no base64 is nobody's file."""
    broken = messages("data:image/png;base64,%%%")
    assert same_messages(broken, messages("data:image/png;base64,%%%"))
    assert not same_messages(broken, messages(reference()))
