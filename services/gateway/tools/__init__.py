"""Tools: what a model may do for its user, each a pydantic model of its arguments and a function; docs/tools.md"""
