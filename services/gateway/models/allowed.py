"""Which models callers may ask for."""

from collections.abc import Callable, Iterable

from services.gateway.account.identity import Caller
from services.gateway.http.requests.refused_field import refused_field
from shared.settings import Settings


class AllowedModels:
    """Those of `ALLOWED_MODELS` and the default one; for visitors only what `VISITOR_MODELS` has of these.

    Where `ALLOWED_MODELS` is empty, any in development, in production those that the gateway is configured with. Where
    `VISITOR_MODELS` is empty, visitors have what users have.

    Args:
        is_configured: Tells whether a model stands in the gateway's configuration, by this name.
    """

    def __init__(self, settings: Settings, is_configured: Callable[[str], bool]) -> None:
        self._default = settings.default_model
        self._allowed = _names(settings.allowed_models)
        self._visitors = _names(settings.visitor_models)
        self._takes_any = settings.environment != "production"
        self._is_configured = is_configured

    def chosen(self, wanted: str | None, caller: Caller, otherwise: Iterable[str] = ()) -> str:
        """Return the model that answers a caller who asks for this one, or for none by name.

        Args:
            wanted: What the caller asks for.
            caller: Who asks.
            otherwise: Where they ask for none, the first of these that they may have; else the usual one.

        Raises:
            Invalid: The caller may not have it.
        """
        fitting = (model for model in otherwise if self._may_have(model, caller))
        model = wanted or next(fitting, None) or self.usual(to_visitors=caller.is_visitor)
        if not self._may_have(model, caller):
            raise refused_field("model", "is not one that you may use here")
        return model

    def _may_have(self, model: str, caller: Caller) -> bool:
        return self.offers(model, to_visitors=caller.is_visitor)

    def usual(self, *, to_visitors: bool) -> str:
        """Return the model that answers who asks for none."""
        if self.offers(self._default, to_visitors=to_visitors):
            return self._default
        return next((model for model in self._visitors if self.offers(model, to_visitors=to_visitors)), self._default)

    def offers(self, model: str, *, to_visitors: bool) -> bool:
        """Tell whether users, or visitors, may have this model."""
        if to_visitors and self._visitors and model not in self._visitors:
            return False
        if model == self._default or model in self._allowed:
            return True
        return not self._allowed and (self._takes_any or self._is_configured(model))


def _names(text: str) -> tuple[str, ...]:
    """Read names with commas between them."""
    return tuple(name.strip() for name in text.split(",") if name.strip())
