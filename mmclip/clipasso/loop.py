"""The loop that optimises a batch of images at a time.

An epoch is one batch of images, each with all its seeds; an iteration is one
step of the strokes. B images, M = B * seeds sketches.
"""

from copy import deepcopy
from pathlib import Path

import torch
from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import BaseLoop, ValLoop

from mmclip.clipasso.interruptions import Interruptions
from mmclip.clipasso.progress import SketchProgress, SketchRecord
from mmclip.clipasso.sketcher import DivergedError
from mmclip.registry import HOOKS, LOOPS


@LOOPS.register_module()
class SketchTrainLoop(BaseLoop):
    """Sketch every image of a dataset, a batch at a time.

    For each batch the strokes start anew, and the optimiser and its
    schedulers return to their first state. The best strokes are those that
    were evaluated, before the step that follows. Beside mmengine's points a
    hook may have ``after_sketch_eval(runner, improved)``; epochs begin and
    end with a batch of images. Ctrl-C (or SIGTERM) ends the step at work,
    saves a checkpoint and leaves; a resumed run goes on with the same
    numbers.

    Args:
        runner: The runner.
        dataloader: It or its config; ``batch_size`` images at once.
        num_iters: Steps of each batch; the release makes 2001.
        eval_interval: Steps between evaluations, 10 in the release.
        min_delta: As in :class:`mmclip.clipasso.progress.SketchProgress`.
        patience: Likewise.
        evaluator: Metrics of all sketches, once they are done; a ``val_cfg``
            of the config goes before it.

    Attributes:
        iter (int): Steps so far, counted over all batches as if none had
            ended early.
        max_iters (int): ``num_iters`` times the batches. A scheduler of the
            learning rate needs its own ``end=num_iters``.
        progress (SketchProgress): Of the batch at work.
        records (list[SketchRecord]): Of its images, as far as they are.
    """

    def __init__(
        self,
        runner,
        dataloader,
        num_iters: int = 2001,
        eval_interval: int = 10,
        min_delta: float = 1e-5,
        patience: int = 2,
        evaluator: dict | list | None = None,
    ) -> None:
        super().__init__(runner, dataloader)
        for name, value in (
            ('num_iters', num_iters),
            ('eval_interval', eval_interval),
            ('patience', patience),
        ):
            if int(value) != value or value < 1:
                raise ValueError(
                    f'{name} is {value}, expected a whole number from 1'
                )
        if get_world_size() > 1 or is_model_wrapper(runner.model):
            raise ValueError(
                'sketches are independent of each other, so several '
                'processes would only average gradients that have nothing '
                'in common: start one process a device, each with its own '
                'images'
            )
        if not any(loss.evaluated for loss in runner.model.losses):
            raise ValueError(
                'none of the losses is evaluated, so no sketch would be the '
                'best: add one such as mmclip.CLIPGeometricLoss'
            )
        self.num_iters, self.eval_interval = num_iters, eval_interval
        self.min_delta, self.patience = min_delta, patience
        self.stop_training = False  # set by hooks such as EarlyStoppingHook
        self._iter = self._epoch = 0
        self.records: list[SketchRecord] = []
        self.progress: SketchProgress | None = None
        self._saved = self._start = None
        runner.visualizer.dataset_meta = self.dataloader.dataset.metainfo
        runner.model.reserve(self.dataloader.batch_size)
        if evaluator and runner._val_loop is None:
            runner._val_loop = ValLoop(runner, self.dataloader, evaluator)
        if not any(isinstance(h, SketchStateHook) for h in runner.hooks):
            runner.register_hook(SketchStateHook())

    @property
    def epoch(self) -> int:
        """Return how many batches of images are done."""
        return self._epoch

    @property
    def max_epochs(self) -> int:
        """Return how many there are."""
        return len(self.dataloader)

    @property
    def iter(self) -> int:
        """Return the steps so far, over all batches."""
        return self._iter

    @property
    def max_iters(self) -> int:
        """Return the most steps there can be, over all batches."""
        return self.num_iters * len(self.dataloader)

    @property
    def step(self) -> int:
        """Return the steps that the batch at work has made."""
        return self._iter - self._epoch * self.num_iters

    @property
    def model(self):
        """Return the sketcher."""
        return self.runner.model

    def run(self):
        """Sketch all images, then evaluate if the config asks for it."""
        self.runner.call_hook('before_train')
        with Interruptions() as self._interruptions:
            for number, batch in enumerate(self.dataloader):
                if number >= self._epoch and not self.stop_training:
                    self.run_batch(batch)
        if self.runner.val_loop is not None and self.model.album:
            self.runner.val_loop.run()
        self.runner.call_hook('after_train')
        return self.model

    def run_batch(self, batch: dict) -> None:
        """Sketch one batch of images."""
        self.begin(batch)
        self.runner.call_hook('before_train_epoch')
        while (
            self.step < self.num_iters
            and self.progress.running.any()
            and not self.stop_training
        ):
            self.run_iter(batch)
        if self.progress.running.any():  # where the last step led
            self.evaluate(
                self.model.strokes().copy(),
                self.model.evaluate(),
                self.model.settled,
            )
            if not self.model.settled:
                self.runner.logger.warning(
                    f'num_iters={self.num_iters} are too few: a loss was not '
                    'done with changing the sketch'
                )
        self.records = self.make_records(finished=True)
        for record in self.records:
            self.model.album[record.path] = record
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1
        self._iter = self._epoch * self.num_iters

    def begin(self, batch: dict) -> None:
        """Start a batch, or take up the one that a checkpoint held."""
        saved, self._saved = self._saved, None
        if saved is None:  # so that batches do not depend on their order
            torch.manual_seed(self.runner.seed)
        self.model.train()
        self.model.begin(batch, fresh=saved is None)
        self.progress = SketchProgress(
            self.model.strokes.count, self.min_delta, self.patience
        )
        if saved is None:
            self.reset_optimizer()
        else:
            self.check_images(saved['images'])
            self.progress.load_state_dict(saved['progress'])
        self.records = self.make_records() if self.progress.strokes else []

    def check_images(self, saved: list[str]) -> None:
        """Refuse to go on with other images.

        Raises:
            ValueError: The batch is not that of the checkpoint.
        """
        now = [sample.name for sample in self.model.samples]
        if now != saved:
            raise ValueError(
                f'the checkpoint was sketching {", ".join(saved)}, here '
                f'stands {", ".join(now)}: resume with the same images, or '
                'start anew in another folder'
            )

    def run_iter(self, batch: dict) -> None:
        """Make one step; evaluate what was there before it, if due.

        Raises:
            DivergedError: The loss is not finite.
            KeyboardInterrupt: Asked for; a checkpoint is saved first.
        """
        runner = self.runner
        runner.call_hook(
            'before_train_iter', batch_idx=self._iter, data_batch=batch
        )
        due = self.step % self.eval_interval == 0
        before = self.model.strokes().copy() if due else None
        settled = self.model.settled
        try:
            outputs = self.model.train_step(batch, runner.optim_wrapper)
        except DivergedError as error:
            raise DivergedError(self.diverged(error)) from error
        if due:
            losses = self.model.evaluated
            if losses is None:
                losses = self.model.evaluate(before)
            self.evaluate(before, losses, settled)
        runner.call_hook(
            'after_train_iter',
            batch_idx=self._iter,
            data_batch=batch,
            outputs=outputs,
        )
        if self._interruptions.received:
            self.leave()
        self._iter += 1

    def evaluate(self, strokes, losses, settled: bool) -> None:
        """Take in what the sketches are worth and tell the hooks."""
        improved = self.progress.update(self.step, losses, strokes, settled)
        self.records = self.make_records()
        self.runner.call_hook('after_sketch_eval', improved=improved)

    def make_records(self, finished: bool = False) -> list[SketchRecord]:
        """Return the best of every image so far."""
        return [
            make_record(self.model, self.progress, k, finished)
            for k in range(len(self.model.samples))
        ]

    def diverged(self, error: Exception) -> str:
        """Say what was being done when a loss stopped being finite."""
        names = ', '.join(s.img_path for s in self.model.samples)
        kept = ', '.join(
            f'{record.name} (loss {record.loss:.4g} at step '
            f'{record.iteration})'
            for record in self.records
        )
        return (
            f'step {self.step} on {names}: {error}. The best so far is kept '
            f'in {self.runner.work_dir}: {kept or "nothing yet"}'
        )

    def leave(self) -> None:
        """Save a checkpoint behind the step just made, and end the run."""
        name = f'iter_{self._iter + 1}.pth'
        self.runner.save_checkpoint(self.runner.work_dir, name, by_epoch=False)
        path = Path(self.runner.work_dir) / name
        last = path.with_name('last_checkpoint')
        last.write_text(str(path))
        self.runner.logger.warning(f'interrupted: saved {path}')
        self._interruptions.answer()

    def remember_start(self) -> None:
        """Note the first state of the optimiser and its schedulers."""
        groups = self.runner.optim_wrapper.optimizer.param_groups
        self._start = (
            [
                {k: deepcopy(v) for k, v in group.items() if k != 'params'}
                for group in groups
            ],
            [deepcopy(s.state_dict()) for s in self.schedulers],
        )

    @property
    def schedulers(self) -> list:
        """Return all schedulers of the runner."""
        schedulers = self.runner.param_schedulers or []
        if isinstance(schedulers, dict):
            return [s for each in schedulers.values() for s in each]
        return schedulers

    def reset_optimizer(self) -> None:
        """Return the optimiser and its schedulers to their first state."""
        groups, schedules = self._start
        optimizer = self.runner.optim_wrapper.optimizer
        optimizer.state.clear()
        for group, start in zip(optimizer.param_groups, groups):
            group.update(deepcopy(start))
        for scheduler, start in zip(self.schedulers, schedules):
            scheduler.load_state_dict(deepcopy(start))

    def state_dict(self) -> dict:
        """Return what a resumed run needs beside the model."""
        return dict(
            capacity=self.model.strokes.capacity,
            count=self.model.strokes.count,
            images=[sample.name for sample in self.model.samples],
            progress=self.progress.state_dict(),
        )

    def load_state_dict(self, state: dict) -> None:
        """Go on from what :meth:`state_dict` returned.

        Raises:
            ValueError: The batches had another size.
        """
        if state['capacity'] != self.model.strokes.capacity:
            raise ValueError(
                f'the checkpoint holds batches of {state["capacity"]} '
                f'sketches, this run {self.model.strokes.capacity}: resume '
                'with the same batch_size and num_seeds'
            )
        self._saved = state


def make_record(
    model, progress: SketchProgress, image: int, finished: bool
) -> SketchRecord:
    """Return the best of one image's seeds."""
    sample, seeds = model.samples[image], model.seeds
    rows = range(image * len(seeds), (image + 1) * len(seeds))
    best = progress.best_of(rows)
    return SketchRecord(
        name=sample.name,
        path=sample.img_path,
        drawing=progress.strokes.drawing(best, model.size),
        seed=seeds[best - rows.start],
        loss=float(progress.loss[best]),
        iteration=int(progress.iteration[best]),
        network=model.extractor.name,
        fingerprint=model.fingerprint,
        saliency=model.saliency_name,
        losses={
            seed: [[k, float(losses[row])] for k, losses in progress.history]
            for seed, row in zip(seeds, rows)
        },
        finished=finished,
    )


@HOOKS.register_module()
class SketchStateHook(Hook):
    """Keep finished sketches and the state of the loop in checkpoints.

    The loop registers it by itself; a test of finished sketches needs it in
    the config.
    """

    priority = 'VERY_HIGH'

    def before_run(self, runner) -> None:
        """Let the loop note the optimiser's first state."""
        loop = runner._train_loop
        if isinstance(loop, SketchTrainLoop):
            loop.remember_start()

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Add the sketches and the loop."""
        checkpoint['sketches'] = [
            record.state_dict() for record in runner.model.album.values()
        ]
        if isinstance(runner._train_loop, SketchTrainLoop):
            checkpoint['sketch_loop'] = runner.train_loop.state_dict()

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Take them back."""
        for state in checkpoint.get('sketches', ()):
            record = SketchRecord.from_state(state)
            runner.model.album[record.path] = record
        loop = runner._train_loop
        resumed = isinstance(loop, SketchTrainLoop) and runner._resume
        if resumed and 'sketch_loop' in checkpoint:
            loop.load_state_dict(checkpoint['sketch_loop'])
