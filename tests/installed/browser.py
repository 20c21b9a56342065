"""A real Chromium, told what to do over its DevTools protocol; installed where it is missing."""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

from deploy.supervisor.machine.packages import require
from tests.waiting import PATIENCE_S, until_true

KEYS = {"Tab": (9, ""), "Enter": (13, "\r"), " ": (32, " ")}  # key code and text
SHIFT = 8
OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # which root needs; it sees nothing but our own pages
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-proxy-server",
    "--remote-debugging-port=0",
)
# What has the focus: its name for people as Chromium computes it is asked for separately.
FOCUSED = """
(() => { const at = document.activeElement, style = getComputedStyle(at), box = at.getBoundingClientRect();
    return {tag: at.tagName, text: at.textContent.trim(), type: at.type || '', top: box.top + scrollY, left: box.left,
        is_outlined: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2,
        is_shown: box.width > 0 && box.top < innerHeight && box.bottom > 0}; })()
"""


class Control(NamedTuple):
    """Something that a person can use, as assistive technology tells of it."""

    role: str
    name: str


class Tab:
    """One page of the browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._loaded = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def call(self, method: str, **params: Any) -> Any:
        """Have the browser do something, and return its answer."""
        self._number += 1
        answer = self._answers[self._number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": self._number, "method": method, "params": params})
        async with asyncio.timeout(PATIENCE_S):
            return await answer

    async def open(self, url: str) -> None:
        """Go to a page, and return when it is there."""
        await self.call("Page.enable")
        self._loaded.clear()
        await self.call("Page.navigate", url=url)
        await self.loaded()

    async def loaded(self) -> None:
        """Wait until the page is there that is on its way."""
        async with asyncio.timeout(PATIENCE_S):
            await self._loaded.wait()

    async def resize(self, width: int, height: int = 740) -> None:
        """Be a telephone of this size, in CSS pixels."""
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=3, mobile=True
        )

    async def evaluate(self, expression: str) -> Any:
        """Return the value of an expression on the page."""
        answer = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def press(self, key: str, *, shift: bool = False, leads_on: bool = False) -> None:
        """Press a key; where it leads to another page, return when that is there."""
        self._loaded.clear()
        code, text = KEYS[key]
        told = {"key": key, "code": key, "windowsVirtualKeyCode": code, "modifiers": SHIFT if shift else 0}
        await self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **told)
        await self.call("Input.dispatchKeyEvent", type="keyUp", **told)
        if leads_on:
            await self.loaded()

    async def type(self, text: str) -> None:
        """Type into what has the focus."""
        await self.call("Input.insertText", text=text)

    async def controls(self) -> list[Control]:
        """List everything that can be used, in the order in which it is read out."""
        nodes = (await self.call("Accessibility.getFullAXTree"))["nodes"]
        return [
            Control(node["role"]["value"], node.get("name", {}).get("value", ""))
            for node in nodes
            if not node.get("ignored") and _is_focusable(node)
        ]

    async def _read(self) -> None:
        async for message in self._socket:
            said = message.json()
            if "id" in said:
                answer = self._answers.pop(said["id"])
                answer.set_result(said["result"]) if "result" in said else answer.set_exception(
                    AssertionError(said["error"])
                )
            elif said["method"] == "Page.loadEventFired":
                self._loaded.set()


def _is_focusable(node: dict[str, Any]) -> bool:
    is_part = node["role"]["value"] in ("RootWebArea", "MenuListPopup", "option")  # of another, or of all
    return not is_part and any(
        each["name"] == "focusable" and each["value"]["value"] for each in node.get("properties", ())
    )


@asynccontextmanager
async def browsing(directory: Path) -> AsyncIterator[Tab]:
    """Open a browser with an empty page; `directory` has what it keeps."""
    require("Chromium", ("chromium",), lambda: shutil.which("chromium") is not None, log=directory / "apt.log")
    profile = directory / "profile"
    process = await asyncio.create_subprocess_exec(
        "chromium",
        *OPTIONS,
        f"--user-data-dir={profile}",
        "about:blank",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    port_file = profile / "DevToolsActivePort"
    try:
        await until_true(lambda: port_file.exists() and port_file.read_text().count("\n") > 0)
        port = port_file.read_text().split()[0]
        async with aiohttp.ClientSession() as http:
            async with http.get(f"http://127.0.0.1:{port}/json/list") as response:
                (page,) = [each for each in await response.json() if each["type"] == "page"]
            async with http.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                yield Tab(socket)
    finally:
        process.kill()
        await process.wait()
