"""Stands in for `deploy.cli` and `deploy.sandbox` where a test is about the supervisor: standard library only.

Its services answer health checks with their name. `migrate` fails where a file `broken` lies beside the project's
requirements.
"""

import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Answer(BaseHTTPRequestHandler):
    """Answers 200 to everything."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(os.environ["INSTANCE"].encode())
        first, _, last = self.path.removeprefix("/print/").partition("-")  # /print/1-1000: lines of these numbers
        if last:
            sys.stdout.write("".join(f"line {number:06}\n" for number in range(int(first), int(last) + 1)))
            sys.stdout.flush()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def serve(*ports: str) -> None:
    """Listen until SIGTERM; then leave a line in the log, as a service that drains does."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    for port in ports:
        server = ThreadingHTTPServer(("127.0.0.1", int(port)), Answer)
        threading.Thread(target=server.serve_forever, daemon=True).start()
    signal.sigwait({signal.SIGTERM})
    sys.stdout.write("drained\n")


def main(command: str, *arguments: str) -> None:
    """Do what the command line of the real one would."""
    if command == "migrate" and Path("broken").exists():
        sys.exit(Path("broken").read_text() or "relation does not exist")
    if command == "token":
        sys.stdout.write("a-token\n")
    if command == "logins":
        sys.stdout.write("{}")
    if command == "show":
        sys.stdout.write(os.environ.get(arguments[0], "unset") + "\n")
    if command == "serve":
        public = [os.environ["HTTP_PORT"]] if arguments == ("gateway",) else []
        serve(os.environ["INTERNAL_PORT"], *public)
    if command == "sandbox":
        serve(os.environ["LLM_PORT"], os.environ["AVINODE_PORT"])


if __name__ == "__main__":
    main(*(sys.argv[1:] or ["sandbox"]))
