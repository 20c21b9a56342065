"""`GET /v1/models`: the models that are configured and the caller may ask for, as OpenAI lists them."""

from typing import Any

from services.gateway.account.caller import Caller
from services.gateway.model.configured.catalog import Catalog, ConfiguredModel
from services.gateway.models.allowed import AllowedModels
from services.gateway.v1.answers import NoSuchModel
from shared.errors import Invalid


class ListedModels:
    def __init__(self, catalog: Catalog, models: AllowedModels, since: float) -> None:
        """List what `catalog` has, which is there as it is `since` this time, in seconds since 1970."""
        self._catalog = catalog
        self._models = models
        self._since = int(since)

    def all(self, caller: Caller) -> dict[str, Any]:
        """Return the list; aliases are names like any other."""
        found = [(name, model) for model in self._catalog.models for name in (model.name, *model.aliases)]
        shown = [self._shown(name, model) for name, model in found if self._may_have(model, caller)]
        return {"object": "list", "data": shown}

    def one(self, name: str, caller: Caller) -> dict[str, Any]:
        """Return one, by its name or an alias.

        Raises:
            NoSuchModel: It is not configured, or not for this caller.
        """
        model = self._catalog.find(name) if self._catalog.is_listed(name) else None
        if model is None or not self._may_have(model, caller):
            raise NoSuchModel
        return self._shown(name, model)

    def _may_have(self, model: ConfiguredModel, caller: Caller) -> bool:
        try:
            self._models.chosen(model.name, caller)
        except Invalid:
            return False
        return True

    def _shown(self, name: str, model: ConfiguredModel) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": self._since, "owned_by": model.provider}
