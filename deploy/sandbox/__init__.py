"""Stand-ins for the two outside systems, plainly simulated: an OpenAI-compatible model and the Avinode marketplace.

Real HTTP servers for the demo, the tests and people who try faults. No service imports them; production refuses them.
"""
