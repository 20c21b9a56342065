"""For every test: signals mean what they always mean, and no example of a property is timed."""

import signal

from hypothesis import settings

# Whoever runs the tests in the background may ignore SIGINT, and every process that a test starts would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A machine that does other things at the same time makes nothing false.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
