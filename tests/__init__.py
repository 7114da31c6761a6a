"""The tests. One file per noun; `python -m tests.gate` runs them all."""

import signal

# whoever starts them in the background of a shell has ^C ignored, by every program that they start too
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
