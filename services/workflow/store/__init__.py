"""All SQL of the workflow, by subject."""
