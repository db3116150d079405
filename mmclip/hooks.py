"""Hooks that any of our training runs may use.

``VocabularyHook`` names what the dataset names, ``RNGStateHook`` makes a
resumed run the same run, ``PicturesHook`` draws what was found and
``ReportHook`` says at the end what came out and where it is.
"""

import random
from pathlib import Path

import numpy as np
import torch
from mmengine.dist import get_rank, is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper

from mmclip.registry import HOOKS


def unwrapped(runner):
    """Return the model without its distributed wrapper."""
    model = runner.model
    return model.module if is_model_wrapper(model) else model


@HOOKS.register_module()
class VocabularyHook(Hook):
    """Set the model's vocabulary to the classes of the dataset in use.

    Training on the base classes alone then means a softmax over the base
    names alone (the same as masking the others by minus infinity), and
    validation asks for all names, without one of them written in the config.
    Every module with ``set_vocabulary`` and a ``vocabulary`` follows; one
    with ``set_novel`` is told which of the names are not in the dataset's
    ``base_classes``.

    Args:
        with_novel: Append the dataset's ``novel_classes`` in training, for a
            loss that keeps names without boxes in its softmax.
    """

    priority = 'VERY_HIGH'

    def __init__(self, with_novel: bool = False):
        self.with_novel = with_novel

    def before_train(self, runner):
        """Take the classes of the training set."""
        self._follow(runner, runner.train_dataloader.dataset, self.with_novel)

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        """Return to them after a validation in the midst of an epoch."""
        self._follow(runner, runner.train_dataloader.dataset, self.with_novel)

    def before_val_epoch(self, runner):
        """Take the classes of the validation set."""
        self._follow(runner, runner.val_dataloader.dataset)

    def before_test_epoch(self, runner):
        """Take the classes of the test set."""
        self._follow(runner, runner.test_dataloader.dataset)

    def _follow(self, runner, dataset, with_novel=False):
        names, novel = names_of(dataset.metainfo, with_novel)
        for module in unwrapped(runner).modules():
            vocabulary = getattr(module, 'vocabulary', None)
            if not hasattr(module, 'set_vocabulary') or vocabulary is None:
                continue
            if list(vocabulary.names) != names:
                module.set_vocabulary(names)
            if hasattr(module, 'set_novel'):
                module.set_novel(novel)


def names_of(
    metainfo: dict, with_novel: bool = False
) -> tuple[list[str], list[str] | None]:
    """Return the names of a dataset, and which of them are not base.

    Args:
        metainfo: Of the dataset; without ``base_classes`` nothing is known
            of base and novel, and the second result is None.
        with_novel: Append ``novel_classes``; labels stay what they are.
    """
    names = list(metainfo['classes'])
    if with_novel:
        known = set(names)
        more = metainfo.get('novel_classes') or ()
        names += [name for name in more if name not in known]
    base = metainfo.get('base_classes')
    if not base:
        return names, None
    base = set(base)
    return names, [name for name in names if name not in base]


@HOOKS.register_module()
class RNGStateHook(Hook):
    """Save the states of all random generators, so that resume is exact.

    With ``num_workers=0`` a resumed iteration-based run draws the samples,
    flips and dropouts that the uninterrupted one would have drawn. Worker
    processes seed themselves, so with workers only the model side is exact.
    """

    def before_save_checkpoint(self, runner, checkpoint):
        """Put the states of this process into the checkpoint."""
        checkpoint['rng_state'] = rng_state()

    def after_load_checkpoint(self, runner, checkpoint):
        """Keep them until the loop has skipped the data already seen."""
        self._state = checkpoint.get('rng_state')

    def before_train_epoch(self, runner):
        """Let the loop's skipping end with the saved states."""
        loop = runner.train_loop
        state, self._state = getattr(self, '_state', None), None
        if state is None or not runner._resume or get_rank() > 0:
            return  # the states are rank 0's: others keep their own seeds
        if hasattr(loop, 'dataloader_iterator'):
            loop.dataloader_iterator = SkippedIterator(
                loop.dataloader_iterator, loop.iter, state
            )
        else:
            set_rng_state(state)


class SkippedIterator:
    """Restore the random states once the first ``skip`` batches are gone.

    mmengine's iteration-based loop draws the batches already seen in order
    to skip them, which uses up random numbers, and calls no hook afterwards.
    """

    def __init__(self, iterator, skip: int, state: dict):
        self.iterator, self.left, self.state = iterator, skip, state

    def __iter__(self):
        return self

    def __next__(self):
        if self.left == 0:
            set_rng_state(self.state)
        self.left -= 1
        return next(self.iterator)

    def __getattr__(self, name: str):
        return getattr(self.iterator, name)


def rng_state() -> dict:
    """Return the states of Python, numpy, torch and CUDA as tensors."""
    version, internal, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()
    return dict(
        python=[version, list(internal), gauss],
        numpy=[
            name,
            torch.from_numpy(keys.astype(np.int64)),
            position,
            has_gauss,
            cached,
        ],
        torch=torch.get_rng_state(),
        cuda=torch.cuda.get_rng_state_all()
        if torch.cuda.is_available()
        else [],
    )


def set_rng_state(state: dict) -> None:
    """Set what :func:`rng_state` returned."""
    version, internal, gauss = state['python']
    random.setstate((version, tuple(internal), gauss))
    name, keys, *rest = state['numpy']
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state['torch'].cpu())
    if len(state['cuda']) == torch.cuda.device_count():
        for device, cuda_state in enumerate(state['cuda']):
            torch.cuda.set_rng_state(cuda_state.cpu(), device)


@HOOKS.register_module()
class PicturesHook(Hook):
    """Draw the first images of each validation or test, truth beside finding.

    Args:
        count: Images to draw.
        score_thr: Least score drawn.
        out_dir: Folder inside the work directory.
        min_side: Small images are enlarged until their longer side has this
            many pixels, so that the names can be read.
        visualize: Whether the run's visualizer gets the pictures too, for
            TensorBoard and the like. mmdet's own hook reads image files
            again, which drawn scenes do not have.
    """

    priority = 'LOW'

    def __init__(
        self,
        count: int = 8,
        score_thr: float = 0.3,
        out_dir: str = 'pictures',
        min_side: int = 512,
        visualize: bool = False,
    ):
        self.count, self.score_thr = count, score_thr
        self.out_dir, self.min_side = out_dir, min_side
        self.visualize = visualize

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        """Draw the images of this batch that are among the first."""
        self._draw(
            runner, runner.val_dataloader, batch_idx, data_batch, outputs
        )

    def after_test_iter(
        self, runner, batch_idx, data_batch=None, outputs=None
    ):
        """Draw the images of this batch that are among the first."""
        self._draw(
            runner, runner.test_dataloader, batch_idx, data_batch, outputs
        )

    def _draw(self, runner, dataloader, batch_idx, data_batch, outputs):
        first = batch_idx * (dataloader.batch_size or 1)
        if not is_main_process() or first >= self.count:
            return
        from mmclip.visualization import draw_sample, save_picture

        folder = Path(runner.work_dir) / self.out_dir
        classes = dataloader.dataset.metainfo['classes']
        samples = zip(
            data_batch['inputs'], data_batch['data_samples'], outputs
        )
        for i, (image, truth, found) in enumerate(samples, start=first):
            if i < self.count:
                picture = draw_sample(
                    image, truth, found, classes, self.score_thr, self.min_side
                )
                save_picture(folder / f'{i:04d}.png', picture)
                if self.visualize:
                    runner.visualizer.add_image(
                        f'picture_{i:04d}', picture, step=runner.iter
                    )


@HOOKS.register_module()
class ReportHook(Hook):
    """Print, when training ends, the last figures and what to do next.

    Args:
        metrics: Ends of the metric names to print, in this order.
        pictures: Folder inside the work directory to point at.
        next_steps: Lines to print last; ``{config}``, ``{checkpoint}`` and
            ``{work_dir}`` are filled in.
        scale: Factor on the figures: 100 for fractions, 1 for percent.
    """

    priority = 'VERY_LOW'

    def __init__(
        self,
        metrics: list[str],
        pictures: str | None = 'pictures',
        next_steps: tuple[str, ...] = (),
        scale: float = 100,
    ):
        self.metrics, self.pictures = metrics, pictures
        self.next_steps, self.scale = next_steps, scale

    def after_val_epoch(self, runner, metrics=None):
        """Keep the newest figures."""
        self._last = dict(metrics or {})

    def after_train(self, runner):
        """Print the report."""
        if not is_main_process():
            return
        figures = getattr(self, '_last', {})
        lines = [
            f'  {key.split("/")[-1]:<24} {self.scale * value:5.1f}'
            for end in self.metrics
            for key, value in figures.items()
            if key.endswith(end)
        ]
        work_dir = Path(runner.work_dir)
        if self.pictures:
            lines.append(f'pictures:   {work_dir / self.pictures}')
        last = work_dir / 'last_checkpoint'
        fields = dict(
            config=getattr(runner.cfg, 'filename', None) or 'CONFIG',
            checkpoint=last.read_text().strip() if last.exists() else 'none',
            work_dir=work_dir,
        )
        lines += [step.format(**fields) for step in self.next_steps]
        runner.logger.info('\n'.join(['done:', *lines]))
