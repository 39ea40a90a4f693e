"""Shows the page to a browser on this machine: `python docs/try/serve.py build/try`.

It sends what a server must send for the model to run on several threads: the page alone in its process, and nothing
from elsewhere in it.
"""

from __future__ import annotations

import argparse
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

ISOLATED = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


class Handler(SimpleHTTPRequestHandler):
    """Files of a folder, with the headers."""

    extensions_map: ClassVar[dict[str, str]] = {
        **SimpleHTTPRequestHandler.extensions_map,
        ".mjs": "text/javascript",
        ".js": "text/javascript",
    }
    headers_sent: ClassVar[dict[str, str]] = ISOLATED

    def end_headers(self) -> None:
        """Adds the headers."""
        for name, value in self.headers_sent.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Says nothing of each file."""


class PlainHandler(Handler):
    """The same without the headers: the model runs on one thread."""

    headers_sent: ClassVar[dict[str, str]] = {"Cache-Control": "no-cache"}


def main() -> None:
    """Serves a folder until it is interrupted."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", default="build/try")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one")
    parser.add_argument("--plain", action="store_true", help="without the headers: on one thread")
    given = parser.parse_args()
    handler = partial(PlainHandler if given.plain else Handler, directory=given.folder)
    with ThreadingHTTPServer(("127.0.0.1", given.port), handler) as server:
        print(f"http://127.0.0.1:{server.server_address[1]}/", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
