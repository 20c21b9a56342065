"""The supervision itself: a set of units, kept alive and stopped in order."""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from deploy.supervisor.supervising.control import Control, Handler
from deploy.supervisor.supervising.unit import State, Unit
from deploy.supervisor.trouble import Trouble

_LOOK_EVERY_S = 0.2


class Supervisor:
    """Keeps units running until `run` is interrupted; `shut_down` then stops them.

    It answers `status`, `start` and `stop` on the control socket, and what `handlers` adds to them.
    """

    def __init__(self, directory: Path, on_pids: Callable[[Mapping[str, int]], None]) -> None:
        """Begin with no unit.

        Args:
            directory: where the control socket is.
            on_pids: told all process ids whenever one has changed.
        """
        self.units: dict[str, Unit] = {}
        self._directory = directory
        self._on_pids = on_pids
        self._announced: dict[str, int] = {}

    def add(self, unit: Unit) -> None:
        """Take charge of a unit, and start it."""
        self.units[unit.name] = unit
        unit.start()

    def run(self, handlers: Mapping[str, Handler]) -> None:
        """Look after the units and answer requests, until an exception (a signal's) ends it."""
        ours: dict[str, Handler] = {"status": self._status, "start": self._start, "stop": self._stop}
        self.announce()
        control = Control(self._directory, {**ours, **handlers})
        try:
            while True:
                self.tick()
                control.serve_for(_LOOK_EVERY_S)
        finally:
            control.close()

    def tick(self) -> None:
        """Do what is due on every unit."""
        for unit in self.units.values():
            unit.tick(time.monotonic())
        with suppress(OSError):  # Where it cannot be written now, perhaps at the next look.
            self.announce()

    def announce(self) -> None:
        """Tell the process ids if they have changed."""
        pids = {name: unit.pid for name, unit in self.units.items() if unit.pid is not None}
        if pids != self._announced:
            self._on_pids(pids)
            self._announced = pids

    def shut_down(self) -> None:
        """Stop everything, order by order, each within its own time."""
        for order in sorted({unit.order for unit in self.units.values()}, reverse=True):
            units = [unit for unit in self.units.values() if unit.order == order]
            for unit in units:
                unit.stop(time.monotonic())
            while any(unit.state is not State.STOPPED for unit in units):
                for unit in units:
                    unit.tick(time.monotonic())
                time.sleep(0.02)

    def _status(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        return {"units": [unit.status() for unit in self.units.values()]}

    def _start(self, request: Mapping[str, Any]) -> dict[str, Any]:
        unit = self._named(request)
        if unit.state is State.STOPPING:
            message = f"{unit.name} is still stopping: try again when it has stopped"
            raise Trouble(message)
        unit.start()
        self.announce()
        return unit.status()

    def _stop(self, request: Mapping[str, Any]) -> dict[str, Any]:
        unit = self._named(request)
        unit.stop(time.monotonic())
        self.announce()
        return unit.status()

    def _named(self, request: Mapping[str, Any]) -> Unit:
        unit = self.units.get(request["name"])
        if unit is None:
            message = f"there is no process {request['name']!r} here; there are: {', '.join(sorted(self.units))}"
            raise Trouble(message)
        return unit
