"""A text as a picture that a camera reads."""

from __future__ import annotations


def drawn(text: str) -> str:
    """A QR code as a `data:` URI of an SVG, dark on nothing.

    Args:
        text: at most some hundred characters.
    """
    import segno  # a megabyte that most brokers never need

    found: str = segno.make(text, micro=False).svg_data_uri(scale=6, border=2)
    return found
