"""For every test: signals mean what they always mean."""

import signal

# Whoever runs the tests in the background may ignore SIGINT, and every process that a test starts would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
