"""Wire regions, text classifier and class-agnostic boxes and masks.

B images, K names of the vocabulary.
"""

from contextlib import contextmanager

from mmdet.models.roi_heads import StandardRoIHead
from mmengine.structures import InstanceData
from torch import Tensor

from mmclip.clip.phrases import split_phrases
from mmclip.registry import MODELS


@MODELS.register_module()
class ViLDRoIHead(StandardRoIHead):
    """mmdet's RoI head whose class names can change from call to call.

    ``bbox_head.cls_predictor_cfg`` must be an
    :class:`mmclip.vild.TextEmbeddingClassifier`; boxes and masks must be
    class-agnostic, or a new vocabulary would find no box for its names. A
    data sample with a field ``text`` (mmdet's contract: ``'cat . red car'``
    or a list of names) is answered in its own names, in
    ``pred_instances.label_names``.

    Raises:
        ValueError: The classifier is another, or boxes or masks are not
            class-agnostic.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if not hasattr(self.bbox_head.fc_cls, 'vocabulary'):
            raise ValueError(
                'ViLDRoIHead needs a text classifier, got '
                f'{type(self.bbox_head.fc_cls).__name__}: set bbox_head.'
                "cls_predictor_cfg=dict(type='mmclip.TextEmbeddingClassifier'"
                ', vocabulary=...)'
            )
        if not self.bbox_head.reg_class_agnostic or (
            self.with_mask and not self.mask_head.class_agnostic
        ):
            raise ValueError(
                'ViLDRoIHead replaces its names at test time, so boxes and '
                'masks cannot depend on the class: set bbox_head.'
                'reg_class_agnostic=True and mask_head.class_agnostic=True'
            )

    @property
    def vocabulary(self):
        """The :class:`mmclip.clip.Vocabulary` in use."""
        return self.bbox_head.fc_cls.vocabulary

    def set_vocabulary(self, vocabulary, names=None) -> None:
        """Classify among other names from now on.

        Args:
            vocabulary: Names, ``{name: [phrases]}``, or embeddings (K, D);
                see :meth:`mmclip.clip.Vocabulary.set`.
            names: The names of embeddings.
        """
        self.vocabulary.set(vocabulary, names)
        self._follow_vocabulary()

    def _follow_vocabulary(self) -> None:
        """Tell mmdet's heads how many names there are: K is background."""
        self.bbox_head.num_classes = len(self.vocabulary)
        if self.with_mask:
            self.mask_head.num_classes = len(self.vocabulary)

    @contextmanager
    def speaking(self, text):
        """Answer in the names of ``text`` within the block."""
        if text is None:
            yield
            return
        kept = list(self.vocabulary.names), self.vocabulary.embeddings
        self.set_vocabulary(split_phrases(text))
        try:
            yield
        finally:
            if kept[0]:
                self.set_vocabulary(kept[1], kept[0])

    def loss(
        self,
        x: tuple[Tensor],
        rpn_results_list: list[InstanceData],
        batch_data_samples: list,
    ) -> dict:
        """Compute the losses; labels index the names of the vocabulary.

        Raises:
            ValueError: A label lies beyond the vocabulary.
        """
        self._follow_vocabulary()
        for sample in batch_data_samples:
            check_labels(sample.gt_instances.labels, len(self.vocabulary))
        return super().loss(x, rpn_results_list, batch_data_samples)

    def predict(
        self,
        x: tuple[Tensor],
        rpn_results_list: list[InstanceData],
        batch_data_samples: list,
        rescale: bool = False,
    ) -> list[InstanceData]:
        """Detect; each result also has ``label_names``.

        Consecutive images with the same text share one pass.
        """
        self._follow_vocabulary()
        results = []
        for text, run in runs_of_text(batch_data_samples):
            part = slice(run.start, run.stop)
            with self.speaking(text):
                found = super().predict(
                    tuple(level[part] for level in x),
                    rpn_results_list[part],
                    batch_data_samples[part],
                    rescale,
                )
                names = self.vocabulary.names
            for instances in found:
                instances.label_names = [
                    names[label] for label in instances.labels.tolist()
                ]
            results += found
        return results


def check_labels(labels: Tensor, num_names: int) -> None:
    """Raise a ValueError where a label has no name."""
    if len(labels) and int(labels.max()) >= num_names:
        raise ValueError(
            f'a box has label {int(labels.max())} but the vocabulary has '
            f'{num_names} names: the dataset has other classes; add '
            "dict(type='mmclip.VocabularyHook') to custom_hooks or give the "
            'same names to both'
        )


def runs_of_text(samples: list) -> list[tuple]:
    """Group neighbours: ``[(text or None, range of indices), ...]``."""
    texts = [getattr(sample, 'text', None) for sample in samples]
    starts = [
        i for i, text in enumerate(texts) if i == 0 or text != texts[i - 1]
    ]
    return [
        (texts[start], range(start, stop))
        for start, stop in zip(starts, [*starts[1:], len(texts)])
    ]
