"""The configured helpers, as those know them who ask: what frontends show, and what the model is told."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from services.gateway.helpers.helpers_file import BUILT_IN, HelperTable, InvalidHelpersFile, read_helpers_file
from services.gateway.model.configured.catalog import Catalog
from services.gateway.turns.here.instructed import NAMES, NOTHING_SAID, Instructed, unknown_names
from shared.settings import Settings


@dataclass(frozen=True)
class Helper:
    """A helper, with its id."""

    id: str
    table: HelperTable


class Helpers:
    """All that are configured; they do not change while the process lives."""

    def __init__(self, tables: Mapping[str, HelperTable]) -> None:
        self._helpers = {each: Helper(each, table) for each, table in tables.items()}
        self._instructed = {
            each: Instructed(table.instructions.strip(), table.parameters.sent(), tuple(table.tools))
            for each, table in tables.items()
        }

    @property
    def all(self) -> Sequence[Helper]:
        """The helpers in the file's order."""
        return list(self._helpers.values())

    def model_of(self, helper_id: str | None) -> str | None:
        """Return the model that a helper asks by itself; none also for a helper that is only a label."""
        helper = self._helpers.get(helper_id or "")
        return helper.table.model if helper else None

    def instructed(self, helper_id: str | None) -> Instructed:
        """Return what the model is told where this helper answers."""
        return self._instructed.get(helper_id or "", NOTHING_SAID)

    def opening_message(self, helper_id: str | None) -> str | None:
        """Return what a helper says first where a session begins with its journey."""
        helper = self._helpers.get(helper_id or "")
        said = helper.table.opening_message if helper else None
        return said.strip() if said else None


def read_helpers(settings: Settings, catalog: Catalog, tools: Collection[str]) -> Helpers:
    """Read what is configured, or the helper that comes with Tripthread.

    Args:
        settings: Say where it stands.
        catalog: The models that there are.
        tools: The names of the tools that there are.

    Raises:
        InvalidHelpersFile: The file is not there, or cannot be meant so; the text names the helper and the key.
    """
    path = settings.helpers_file or BUILT_IN
    tables = read_helpers_file(path)
    unknown = [
        f"helpers.{each}.model: {table.model!r} is none that an upstream has"
        for each, table in tables.items()
        if table.model is not None and catalog.find(table.model) is None
    ]
    unknown += [
        f"helpers.{each}.tools: {name!r} is none; there are {', '.join(sorted(tools))}"
        for each, table in tables.items()
        for name in table.tools
        if name not in tools
    ]
    unknown += [
        f"helpers.{each}.instructions: {{{name}}} is none; there are {', '.join(f'{{{known}}}' for known in NAMES)}"
        for each, table in tables.items()
        for name in unknown_names(table.instructions)
    ]
    if unknown:
        raise InvalidHelpersFile(path, "; ".join(unknown))
    return Helpers(tables)
