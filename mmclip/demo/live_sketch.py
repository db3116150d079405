"""A sketch that is seen while it grows, and can be stopped."""

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from mmclip.demo.models import BUILDING, Named


@dataclass(frozen=True)
class Moment:
    """How far a sketch is.

    Attributes:
        svg: The best so far, '' before the first.
        text: What there is to say.
        done: Whether it has ended.
    """

    svg: str
    text: str
    done: bool = False


class LiveSketch:
    """Sketch one image in a thread; iterate over its moments.

    Args:
        named: The network.
        image: Path or array.
        strokes: How many.
        iters: Steps.

    Raises:
        Exception: While iterating: what ended the sketch.
    """

    def __init__(self, named: Named, image, strokes: int, iters: int) -> None:
        self.named, self.image = named, image
        self.strokes, self.iters = int(strokes), int(iters)
        self.stopped = threading.Event()
        self._moments: queue.Queue = queue.Queue()
        self._starting = threading.Event()

    def stop(self) -> None:
        """End the sketch at its next evaluation; the best so far stays."""
        self.stopped.set()

    def __iter__(self) -> Iterator[Moment]:
        """Start, and yield moments; leaving the loop stops the sketch."""
        threading.Thread(target=self._run, name='sketch', daemon=True).start()
        yield Moment('', 'The network is being loaded.')
        try:
            while True:
                moment = self._moments.get()
                if isinstance(moment, BaseException):
                    raise moment
                while not self._moments.empty() and not moment.done:
                    newer = self._moments.get()  # the page may be slower
                    if isinstance(newer, BaseException):
                        raise newer
                    moment = newer
                yield moment
                if moment.done:
                    return
        finally:
            self.stop()

    def _run(self) -> None:
        BUILDING.acquire()
        try:
            self._moments.put(self._sketch())
        except BaseException as error:  # told in the thread that waits for it
            self._moments.put(error)
        finally:
            self._started()

    def _started(self) -> None:
        """Let other tabs build their models again; once."""
        if not self._starting.is_set():
            self._starting.set()
            BUILDING.release()

    def _sketch(self) -> Moment:
        from mmclip.inference.sketcher import Sketcher

        self.named.check()
        sketcher = Sketcher(
            self.strokes,
            clip=self.named.model,
            pretrained=self.named.config,
            seeds=1,
            iters=self.iters,
            formats=('svg',),
        )
        found = sketcher(self.image, watch=self._watch)
        word = 'Stopped' if self.stopped.is_set() else 'Done'
        text = (
            f'{word}: loss {found["loss"]:.4g} at step {found["iteration"]}, '
            f'by {found["network"]}.'
        )
        return Moment(found['svg'], text, done=True)

    def _watch(self, step: int, records: list) -> bool:
        from mmclip.clipasso.svg import svg_text

        self._started()
        (record,) = records
        text = f'Step {step} of {self.iters}: best loss {record.loss:.4g}.'
        self._moments.put(Moment(svg_text(record.drawing), text))
        return not self.stopped.is_set()
