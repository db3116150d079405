"""Which model answers in a tab, and what is missing if none does.

A model is built when it is first asked, and kept.
"""

import threading
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

BUILDING = threading.Lock()  # mmengine's default scope is one for all threads

FIX = dict(
    detect='mmclip demo --model-detect WORK_DIR',
    ground='mmclip demo --model-ground WORK_DIR',
    segment='mmclip demo --model-segment WORK_DIR',
    groups='mmclip demo --model-groups WORK_DIR',
    sketch='mmclip demo --model-sketch RN101-quickgelu',
)

TASK = dict(detect='detection', ground='detection', segment='segmentation')


@dataclass(frozen=True)
class Named:
    """What the command line named for a tab.

    Attributes:
        task: A key of ``FIX``.
        model: Work directory, checkpoint or name, as of
            :mod:`mmclip.inference.named`; of ``sketch`` a network, as of
            :class:`mmclip.inference.sketcher.Sketcher`; None for the best at
            hand that knows photographs.
        config: Its config, where the checkpoint does not hold it; of
            ``sketch`` the network's weights.
    """

    task: str
    model: str | None = None
    config: str | None = None

    def check(self) -> str:
        """Return what answers, in a line; nothing is built.

        Raises:
            FileNotFoundError: Nothing does; the message says what is missing
                and how to name it.
            ValueError: The name is unknown.
        """
        if self.task == 'sketch':
            return self.check_network()
        from mmclip.clip.scheme import PREFIX
        from mmclip.inference.named import find_checkpoint, is_file_name
        from mmclip.jobs import find_config

        path = self.model
        if path is None:
            path = self.best()
        elif is_file_name(path) and not path.startswith(PREFIX):
            path = find_checkpoint(path)
        if self.config is None:
            return path
        return f'{path} ({Path(find_config(self.config)).stem})'

    def best(self) -> str:
        """Return the best model on this machine that knows photographs.

        Raises:
            FileNotFoundError: There is none.
        """
        from mmclip.inference.named import best_at_hand

        unnamed = (
            'no model was named for this tab: start the demo with '
            f'`{FIX[self.task]}`, a work directory of `mmclip train`, a '
            'checkpoint or a name of `mmclip models`'
        )
        if self.task == 'groups':
            raise FileNotFoundError(unnamed)
        try:
            found = best_at_hand(TASK[self.task])
        except FileNotFoundError as error:
            raise FileNotFoundError(f'{unnamed}; {error}') from error
        return found.checkpoint or 'a CLIP read densely'

    def check_network(self) -> str:
        """Return which network sketches."""
        from mmclip.clipasso.recipes import LITE0, SHAPES_CLIP, choose_network

        config, _ = choose_network(self.model, self.config)
        if self.model == SHAPES_CLIP:
            return f'{SHAPES_CLIP}, which knows drawn shapes only ({config})'
        if self.model is None and LITE0 in config:
            return f'{LITE0}, the network that is at hand ({config})'
        return f'{self.model or "RN101-quickgelu"} ({config})'

    def build(self):
        """Build the model, or return the one built before."""
        self.check()
        with BUILDING:
            return built(self)


@lru_cache(maxsize=8)
def built(named: Named):
    """Build what answers in a tab that is no sketch's."""
    from mmclip.inference.detector import Detector
    from mmclip.inference.grounding import GroundingInferencer
    from mmclip.inference.groups import Grouper
    from mmclip.inference.segmentor import Segmentor

    kinds = dict(
        detect=Detector,
        ground=GroundingInferencer,
        segment=Segmentor,
        groups=Grouper,
    )
    return kinds[named.task](named.model, config=named.config)
