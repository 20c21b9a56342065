"""How a 422 names the field that it is about, wherever pydantic does not."""

from shared.errors import Invalid


def refused_field(field: str, detail: str) -> Invalid:
    """Make the error of one field, in the caller's spelling; the detail follows the field's name: "must be ..."."""
    return Invalid(f"{field}: {detail}", errors=[{"field": field, "detail": detail}])
