"""Save where a run is in its stream of pairs, and say what was left out."""

import json
from collections import Counter

from mmengine.dist import all_gather_object, get_rank, get_world_size
from mmengine.hooks import CheckpointHook, Hook

from mmclip.data.pair_stream import ImageTextStream, Place
from mmclip.registry import HOOKS


@HOOKS.register_module()
class PairStreamHook(Hook):
    """Let a resumed run go on with the next pair of its stream.

    For runs by iterations over a :class:`ImageTextStream`. The places of all
    ranks' readers go into each checkpoint. A run resumed with as many ranks
    and workers gets the pairs that the uninterrupted one would have got, in
    the same batches; one with others begins the next pass.

    What was skipped, and why, is logged whenever the slowest reader ends a
    pass, and at the end. With several ranks that is noticed at checkpoints.
    """

    priority = 'ABOVE_NORMAL'  # RNGStateHook wraps the iterator made here

    def __init__(self):
        self.places: dict[int, dict] = {}  # of this rank's workers
        self.ranks: list[dict[int, dict]] = []
        self.batches, self.reported = 0, 0
        self._state = None

    # ---- on the way ----

    def after_train_iter(
        self, runner, batch_idx, data_batch=None, outputs=None
    ):
        """Note where the reader of this batch is."""
        if 'stream' not in (data_batch or {}):
            return
        place = json.loads(data_batch['stream'][-1])
        self.places[place.pop('worker')] = place
        self.batches += 1
        if get_world_size() == 1 or saves_now(runner):
            self.gather(runner)

    def gather(self, runner) -> None:
        """Bring the places of all ranks together; report an ended pass."""
        self.ranks = all_gather_object(self.places)
        slowest = min(place['epoch'] for place in self.all_places())
        workers = max(runner.train_dataloader.num_workers, 1)
        if len(self.places) == workers and slowest > self.reported:
            self.reported = slowest
            runner.logger.info(f'pass {slowest} ended: {self.summary()}')

    def all_places(self) -> list[dict]:
        """Return the places of all ranks' workers."""
        return [place for rank in self.ranks for place in rank.values()]

    def summary(self) -> str:
        """Say how many pairs were given and left out, and why."""
        places = self.all_places()
        given = sum(place['given'] for place in places)
        skipped = sum((Counter(p['skipped']) for p in places), Counter())
        kinds = ', '.join(f'{n} {kind}' for kind, n in skipped.most_common())
        return f'{given} pairs, left out: {kinds or "none"}'

    def after_train_epoch(self, runner):
        """Report on the whole run."""
        if self.places:
            self.ranks = all_gather_object(self.places)
            runner.logger.info(f'image-text pairs in all: {self.summary()}')

    # ---- checkpoints ----

    def before_save_checkpoint(self, runner, checkpoint):
        """Put all readers' places into the checkpoint."""
        if self.ranks:
            checkpoint['pair_stream'] = dict(
                batches=self.batches,
                workers=runner.train_dataloader.num_workers,
                ranks=self.ranks,
                reported=self.reported,
            )

    def after_load_checkpoint(self, runner, checkpoint):
        """Keep them until the loop starts."""
        self._state = checkpoint.get('pair_stream')

    def before_train_epoch(self, runner):
        """Set the readers where they were."""
        state, self._state = self._state, None
        dataset = runner.train_dataloader.dataset
        if not isinstance(dataset, ImageTextStream) or not state:
            return
        if not runner._resume:
            return
        loader, loop = runner.train_dataloader, runner.train_loop
        same = (
            len(state['ranks']) == get_world_size()
            and state['workers'] == loader.num_workers
        )
        if same:
            self.places = dict(state['ranks'][get_rank()])
            self.batches = state['batches']
            dataset.resume(
                self.places, self.batches % max(loader.num_workers, 1)
            )
        else:
            self.begin_next_pass(runner, dataset, state)
        self.reported = state['reported']
        loader._iterator = None  # workers that persist know the old places
        loop.dataloader_iterator = Resumed(loader, skip=loop.iter)

    def begin_next_pass(self, runner, dataset, state: dict) -> None:
        """Start a pass that no reader has begun."""
        places = [p for rank in state['ranks'] for p in rank.values()]
        epoch = 1 + max(place['epoch'] for place in places)
        workers = max(runner.train_dataloader.num_workers, 1)
        dataset.resume(
            {w: Place(epoch=epoch).as_dict() for w in range(workers)}
        )
        runner.logger.warning(
            f'the checkpoint was saved by {len(state["ranks"])} ranks with '
            f'{state["workers"]} workers each, which is not what runs now: '
            f'pairs cannot be continued, so pass {epoch + 1} begins'
        )


def saves_now(runner) -> bool:
    """Tell whether a checkpoint follows this iteration."""
    for hook in runner.hooks:
        if isinstance(hook, CheckpointHook) and not hook.by_epoch:
            due = hook.every_n_train_iters(runner, hook.interval)
            last = hook.save_last and hook.is_last_train_iter(runner)
            if due or last:
                return True
    return False


class Resumed:
    """A loader's batches, after ``skip`` that are not fetched.

    mmengine draws the batches that were trained on and throws them away; a
    stream that stands at the next one has nothing to throw away.
    """

    def __init__(self, loader, skip: int):
        self.loader, self.skip, self.iterator = loader, skip, None

    def __iter__(self):
        return self

    def __next__(self):
        if self.skip:
            self.skip -= 1
            return None
        if self.iterator is None:
            self.iterator = iter(self.loader)
        return next(self.iterator)
