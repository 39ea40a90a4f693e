"""A hook of mkdocs: the finished site needs no network, and what its own HTML refers to is there.

mkdocs checks the links of Markdown. This one reads the pages as browsers do: frames, pictures, scripts and styles.
"""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from mkdocs.exceptions import PluginError

LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "link": "href"}
"""What a browser fetches by itself, by tag. Links that a reader may follow are another thing."""


class References(HTMLParser):
    """Collects what a page loads, and what it links to."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.linked: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Reads one tag."""
        values = dict(attrs)
        if (address := values.get(LOADED.get(tag, ""))) and values.get("rel") != "canonical":
            self.loaded.append(address)
        elif tag == "a" and (address := values.get("href")):
            self.linked.append(address)


def on_post_build(config: Any) -> None:
    """Raises where a page loads anything from elsewhere, or refers to a file that is not there."""
    site = Path(config.site_dir)
    wrong = [problem for page in sorted(site.rglob("*.html")) for problem in problems(page, site)]
    if wrong:
        raise PluginError("the site is not whole:\n  " + "\n  ".join(wrong))


def problems(page: Path, site: Path) -> list[str]:
    """A line for each reference of a page that can't be followed without a network."""
    references = References()
    references.feed(page.read_text(encoding="utf-8"))
    name, found = page.relative_to(site), []
    for address in references.loaded + references.linked:
        parts = urlsplit(address)
        if parts.scheme in ("data", "javascript", "mailto"):
            continue
        if parts.scheme or parts.netloc:
            if address in references.loaded:
                found.append(f"{name} loads {address}")
            continue
        # The page of what was not found has addresses from the root of the site.
        place = site / parts.path.lstrip("/") if parts.path.startswith("/") else page.parent / parts.path
        if parts.path and not Path(unquote(str(place))).exists():
            found.append(f"{name} refers to {address}")
    return found
