"""Let a step end before Ctrl-C ends the run."""

import signal
import threading


class Interruptions:
    """Note SIGINT and SIGTERM instead of acting on them, inside a block.

    A second SIGINT acts at once. In threads other than the main one nothing
    can be caught, and nothing changes.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __enter__(self) -> 'Interruptions':
        """Take the signals over."""
        self.received, self._before = None, {}
        if threading.current_thread() is threading.main_thread():
            for number in self.SIGNALS:
                self._before[number] = signal.signal(number, self.note)
        return self

    def __exit__(self, *_) -> None:
        """Give them back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def note(self, number: int, _) -> None:
        """Remember a signal."""
        if self.received == signal.SIGINT == number:
            raise KeyboardInterrupt
        self.received = number

    def answer(self) -> None:
        """Do what was asked for.

        Raises:
            KeyboardInterrupt: For SIGINT.
            SystemExit: For SIGTERM.
        """
        if self.received == signal.SIGTERM:
            raise SystemExit(128 + signal.SIGTERM)
        raise KeyboardInterrupt
