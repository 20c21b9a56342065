"""The commands of an operator, at real servers: `tripthread`, the demo, and those of docs/operating.md"""
