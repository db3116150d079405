"""What leaves a run: files of the sketches, pictures, a progress bar."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from mmengine.hooks import Hook
from PIL import Image

from mmclip.clipasso import export, pictures
from mmclip.clipasso.progress import SketchRecord
from mmclip.clipasso.svg import write_svg
from mmclip.files import write_whole
from mmclip.registry import HOOKS

FORMATS = ('svg', 'png', 'animated_svg', 'gif', 'mp4')


@HOOKS.register_module()
class SketchExportHook(Hook):
    """Write sketches: the best so far at every evaluation, all at the end.

    For each image ``<name>.svg`` and ``<name>.json`` (losses of all seeds,
    the seed taken, the network that looked) are kept up to date while it is
    sketched; no file is ever half written. The other formats follow when its
    batch is done.

    Args:
        out_dir: Folder, inside the work directory if relative.
        formats: Some of ``'svg'`` (strokes in drawing order, round ends),
            ``'png'``, ``'animated_svg'``, ``'gif'`` and ``'mp4'``.
        size: Longer side of PNG, GIF and MP4 in pixels.
        seconds: How long a film draws.
        preview_interval: Evaluations between two updates of
            ``<name>_beside.png``, the photograph beside its sketch; 0 leaves
            it out.
    """

    priority = 'NORMAL'

    def __init__(
        self,
        out_dir: str = 'sketches',
        formats: Sequence[str] = ('svg', 'png', 'animated_svg'),
        size: int = 512,
        seconds: float = 3.0,
        preview_interval: int = 0,
    ) -> None:
        unknown = [name for name in formats if name not in FORMATS]
        if unknown:
            raise ValueError(
                f'formats has {unknown[0]!r}, expected some of '
                f'{", ".join(FORMATS)}'
            )
        self.out_dir, self.formats = out_dir, tuple(formats)
        self.size, self.seconds = size, seconds
        self.preview_interval = preview_interval

    def folder(self, runner) -> Path:
        """Return where files go."""
        return Path(runner.work_dir) / self.out_dir

    def after_sketch_eval(self, runner, improved) -> None:
        """Keep the best so far on disk."""
        loop, seeds = runner.train_loop, runner.model.num_seeds
        better = improved.view(-1, seeds).any(dim=1).tolist()
        count = len(loop.progress.history)
        for k, (record, new) in enumerate(zip(loop.records, better)):
            if new:
                self.write_so_far(runner, record)
            if self.preview_interval and count % self.preview_interval == 1:
                self.write_beside(runner, k, record)

    def after_train_epoch(self, runner) -> None:
        """Write all formats of the images that are done."""
        for k, record in enumerate(runner.train_loop.records):
            self.write_so_far(runner, record)
            self.write_rest(runner, record)
            if self.preview_interval:
                self.write_beside(runner, k, record)
            runner.logger.info(
                f'{record.name}: loss {record.loss:.4g} (seed {record.seed}, '
                f'step {record.iteration}), sketched by {record.network} -> '
                f'{self.folder(runner) / record.name}.*'
            )

    def write_so_far(self, runner, record: SketchRecord) -> None:
        """Write the SVG and what is known of it."""
        folder = self.folder(runner)
        folder.mkdir(parents=True, exist_ok=True)
        write_svg(folder / f'{record.name}.svg', record.drawing)
        text = json.dumps(record.summary(), indent=1)
        write_whole(
            folder / f'{record.name}.json', lambda file: file.write_text(text)
        )

    def write_rest(self, runner, record: SketchRecord) -> None:
        """Write what takes longer."""
        stem, drawing = self.folder(runner) / record.name, record.drawing
        if 'png' in self.formats:
            export.write_png(f'{stem}.png', drawing, self.size)
        if 'animated_svg' in self.formats:
            export.write_animated_svg(
                f'{stem}_animated.svg', drawing, self.seconds
            )
        if 'gif' in self.formats:
            export.write_gif(f'{stem}.gif', drawing, self.size, self.seconds)
        if 'mp4' in self.formats:
            export.write_mp4(f'{stem}.mp4', drawing, self.size, self.seconds)

    def write_beside(self, runner, number: int, record: SketchRecord) -> None:
        """Write the photograph and its sketch side by side."""
        image = pictures.as_picture(runner.model.images[number])
        picture = Image.fromarray(pictures.beside(image, record.drawing))
        write_whole(
            self.folder(runner) / f'{record.name}_beside.png',
            lambda file: picture.save(file, 'PNG'),
        )


@HOOKS.register_module()
class SketchVisualizationHook(Hook):
    """Show sketches, their start and their losses through the visualizer.

    Args:
        interval: Evaluations between two pictures of a sketch; 0 shows the
            last alone.
    """

    priority = 'LOW'

    def __init__(self, interval: int = 50) -> None:
        self.interval = interval

    def before_train_epoch(self, runner) -> None:
        """Show where strokes start; a resumed batch has shown it."""
        model, loop = runner.model, runner.train_loop
        if loop.step:
            return
        strokes = model.strokes()
        for k, sample in enumerate(model.samples):
            first = strokes.drawing(k * model.num_seeds, model.size)
            image = pictures.as_picture(model.images[k])
            self.show(
                runner,
                f'{sample.name}_start',
                pictures.start_picture(image, model.start_maps[k], first),
            )

    def after_sketch_eval(self, runner, improved) -> None:
        """Note the best losses, and now and then show the sketches."""
        loop = runner.train_loop
        count = len(loop.progress.history)
        for k, record in enumerate(loop.records):
            runner.visualizer.add_scalar(
                f'{record.name}/best_loss', record.loss, loop.iter
            )
            if self.interval and count % self.interval == 1:
                self.show_sketch(runner, k, record)

    def after_train_epoch(self, runner) -> None:
        """Show the last sketches and how the losses fell."""
        for k, record in enumerate(runner.train_loop.records):
            self.show_sketch(runner, k, record)
            title = f'{record.name}, {record.network}'
            self.show(
                runner,
                f'{record.name}_loss',
                pictures.loss_curves(record.losses, title),
            )

    def show_sketch(self, runner, number: int, record: SketchRecord) -> None:
        """Show the photograph and its sketch side by side."""
        image = pictures.as_picture(runner.model.images[number])
        picture = pictures.beside(image, record.drawing)
        self.show(runner, f'{record.name}_sketch', picture)

    def show(self, runner, name: str, picture) -> None:
        """Hand a picture to the visualizer's backends."""
        runner.visualizer.add_image(name, picture, runner.train_loop.iter)


class SketchWatchHook(Hook):
    """Let a function see the best sketches so far, and end the run.

    Args:
        watch: Called at every evaluation with the steps made and the
            :class:`mmclip.clipasso.progress.SketchRecord` of each image at
            work; where it returns False, the run ends with what there is.
    """

    priority = 'VERY_LOW'

    def __init__(self, watch: Callable[[int, list], bool | None]) -> None:
        self.watch = watch

    def after_sketch_eval(self, runner, improved) -> None:
        """Show the records."""
        loop = runner.train_loop
        if self.watch(loop.step, loop.records) is False:
            loop.stop_training = True


@HOOKS.register_module()
class SketchProgressBarHook(Hook):
    """Show a bar with the steps of all images and the best losses."""

    priority = 'VERY_LOW'

    def before_train(self, runner) -> None:
        """Put the bar up."""
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        self.bar = Progress(
            TextColumn('{task.description}'),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        self.task = self.bar.add_task(
            'sketching', total=runner.max_iters, completed=runner.iter
        )
        self.bar.start()

    def after_train_iter(self, runner, batch_idx, **_) -> None:
        """Move it on."""
        self.bar.update(self.task, completed=runner.iter + 1)

    def after_sketch_eval(self, runner, improved) -> None:
        """Say how good the sketches are."""
        records = runner.train_loop.records
        losses = ', '.join(f'{r.name} {r.loss:.3g}' for r in records[:3])
        more = ', ...' if len(records) > 3 else ''
        self.bar.update(self.task, description=f'loss {losses}{more}')

    def after_train_epoch(self, runner) -> None:
        """Count a batch that ended early as whole."""
        loop = runner.train_loop
        done = (loop.epoch + 1) * loop.num_iters
        self.bar.update(self.task, completed=done)

    def after_train(self, runner) -> None:
        """Take it down."""
        self.stop()

    def stop(self) -> None:
        """Take the bar down, also when the run ended otherwise."""
        if hasattr(self, 'bar'):
            self.bar.stop()
