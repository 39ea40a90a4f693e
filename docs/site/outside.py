"""A hook of mkdocs: what the pages link to outside of docs/ comes into the site, so that each link leads somewhere.

`../olift_fast/checkpoints/small/README.md` becomes the page `repository/olift_fast/checkpoints/small/`, with the pages
that it links to. A file that is no page is copied; a folder becomes a page that lists its files. In the repository the
links stay as they are, since GitHub follows them.
"""

from __future__ import annotations

import re
from pathlib import Path
from posixpath import normpath, relpath
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
OUTSIDE = "repository/"
LINK = re.compile(r"(\]\()([^)\s#]+)(#[^)\s]*)?(\))")
CODE = re.compile(r"^```[\s\S]*?^```|`(?:[^`\n]|\n(?!\n))+`", flags=re.MULTILINE)
HEADING = re.compile(r"^#+ (.*)$", flags=re.MULTILINE)


def in_repository(source: str) -> str:
    """Where a page of the site lies in the repository."""
    return source.removeprefix(OUTSIDE) if source.startswith(OUTSIDE) else f"docs/{source}"


def in_site(path: str) -> str:
    """Where a file of the repository lies in the site."""
    return path.removeprefix("docs/") if path.startswith("docs/") else f"{OUTSIDE}{path}"


def targets(text: str, source: str) -> dict[str, str]:
    """The links of a page to files, and what each is in the repository."""
    folder = in_repository(source).rpartition("/")[0]
    prose = CODE.sub("", text)
    return {m[2]: normpath(f"{folder}/{m[2]}".lstrip("/")) for m in LINK.finditer(prose) if ":" not in m[2]}


def on_files(files: Files, config: Any) -> Files:
    """Adds what is linked, and what that links to in turn."""
    waiting = [file for file in files if file.is_documentation_page()]
    while waiting:
        page = waiting.pop()
        for target in targets(page.content_string, page.src_uri).values():
            if target.startswith("docs/") or files.get_file_from_path(page_of(target)) is not None:
                continue
            place = ROOT / target
            if place.is_dir() and not (place / "README.md").is_file():
                added = File.generated(config, page_of(target), content=listing(target))
            elif (ROOT / in_repository(page_of(target))).is_file():
                added = File.generated(config, page_of(target), abs_src_path=str(ROOT / in_repository(page_of(target))))
            else:
                raise PluginError(f"{page.src_uri}: links to {target}, which is not in the repository")
            files.append(added)
            if added.is_documentation_page():
                waiting.append(added)
    return files


def page_of(target: str) -> str:
    """What stands in the site for a file or a folder of the repository."""
    if (ROOT / target).is_dir():
        target += "/README.md" if (ROOT / target / "README.md").is_file() else "/index.md"
    return in_site(target)


def listing(folder: str) -> str:
    """A page with the files of a folder."""
    names = sorted(f"{path.name}/" if path.is_dir() else path.name for path in (ROOT / folder).iterdir())
    return f"# {folder}\n\n" + "".join(f"- [{name}]({name.rstrip('/')})\n" for name in names)


def anchor_in_site(anchor: str, text: str) -> str:
    """The second heading of one text is `#text-1` on GitHub, and `#text_1` in the site."""
    headings = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in HEADING.findall(text)}
    return anchor if anchor[1:] in headings else re.sub(r"-(\d+)$", r"_\1", anchor)


def on_page_markdown(markdown: str, page: Any, files: Files, **_: Any) -> str:
    """Turns the links of a page to where their targets lie in the site."""
    source = page.file.src_uri
    known = targets(markdown, source)

    def turned(link: re.Match[str]) -> str:
        if link[2] not in known:
            return link[0]
        place, anchor = page_of(known[link[2]]), link[3] or ""
        linked = files.get_file_from_path(place)
        if anchor and linked is not None:
            anchor = anchor_in_site(anchor, linked.content_string)
        return f"{link[1]}{relpath(place, source.rpartition('/')[0] or '.')}{anchor}{link[4]}"

    kept = [(m.start(), m.end()) for m in CODE.finditer(markdown)]
    pieces, last = [], 0
    for start, end in kept:
        pieces += [LINK.sub(turned, markdown[last:start]), markdown[start:end]]
        last = end
    return "".join([*pieces, LINK.sub(turned, markdown[last:])])
