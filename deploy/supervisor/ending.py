"""The signals that end `./run up`: each is as good as Ctrl-C, and only Ctrl-C is impatient."""

import signal

from deploy.terminal import forget_terminal


def end_by_signals() -> None:
    """Raise KeyboardInterrupt on every signal that asks us to end.

    SIGINT may have been switched off by a shell's "&", which nobody means; SIGHUP by nohup, which is meant.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _end)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _end)


def end_calmly() -> None:
    """Hear no more of them while we end: a terminal that closes hangs up twice, once by its shell.

    A second Ctrl-C is still heard: somebody waits for us.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _end(number: int, _frame: object) -> None:
    end_calmly()
    if number == signal.SIGHUP:
        forget_terminal()
    raise KeyboardInterrupt
