"""The shapes world as the tasks of a model that does several."""

from collections.abc import Sequence

from mmengine.dataset import BaseDataset

from mmclip.data.shapes_dataset import ShapesDataset
from mmclip.data.shapes_questions import ask, ordered_captions
from mmclip.data.shapes_views import phrases
from mmclip.registry import DATASETS

TASKS = ('detection', 'grounding', 'vqa', 'caption')


@DATASETS.register_module()
class ShapesTaskDataset(ShapesDataset):
    """Draw scene ``i`` from ``(seed, i)``, and what a task wants of it.

    All samples have ``img`` (as of :class:`ShapesDataset`) and ``task``, and

    - detection: ``text`` (the names of all classes) and ``instances``;
    - grounding: ``text`` (a caption), ``phrases`` and ``instances``, whose
      labels number the phrases, as ``mmdet.ODVGDataset`` has them;
    - vqa: ``question``, ``gt_answer`` and ``question_type``;
    - caption: ``gt_caption``: the objects from left to right, without and
      with their sizes.

    Args:
        task: Which.
        kwargs: Arguments of :class:`ShapesDataset`.

    Raises:
        ValueError: There is no such task.
    """

    def __init__(self, *args, task: str = 'detection', **kwargs):
        if task not in TASKS:
            raise ValueError(
                f"the shapes world has no task '{task}': choose from {TASKS}"
            )
        self.task = task
        super().__init__(*args, **kwargs)

    def get_data_info(self, idx: int) -> dict:
        """Draw one scene; see the class."""
        info = BaseDataset.get_data_info(self, idx)
        scene = self.draw(info['img_id'])
        info.update(self.describe(scene), task=self.task)
        return info | getattr(self, self.task)(scene, info['img_id'])

    def detection(self, scene, number: int) -> dict:
        """Return names and boxes."""
        return dict(
            text=self.metainfo['classes'],
            custom_entities=True,
            instances=[self._instance(o) for o in scene.objects],
        )

    def grounding(self, scene, number: int) -> dict:
        """Return a caption, its phrases and their boxes."""
        caption, spans, _ = phrases(scene)
        instances = [
            dict(self._instance(o), bbox_label=k)
            for k, o in enumerate(scene.objects)
        ]
        said = {
            k: dict(phrase=caption[a:b], tokens_positive=[[a, b]])
            for k, (a, b) in enumerate(spans)
        }
        return dict(text=caption, phrases=said, instances=instances)

    def vqa(self, scene, number: int) -> dict:
        """Return a question and its answer."""
        question = ask(scene, (self.seed, number))
        return dict(
            question=question.text,
            gt_answer=question.answer,
            question_type=question.kind,
        )

    def caption(self, scene, number: int) -> dict:
        """Return the captions."""
        return dict(gt_caption=ordered_captions(scene))

    def get_cat_ids(self, idx: int) -> Sequence[int]:
        """Return the labels in image ``idx``; none where nothing has one."""
        info = self.get_data_info(idx)
        return [i['bbox_label'] for i in info.get('instances', ())]
