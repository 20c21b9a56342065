"""The four services: one folder each, none importing another."""
