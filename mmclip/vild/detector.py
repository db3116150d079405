"""Mask R-CNN that can be asked for other names."""

from contextlib import contextmanager

from mmdet.models.detectors import MaskRCNN
from torch import Tensor

from mmclip.registry import MODELS
from mmclip.vild.levels import Levels
from mmclip.vild.online_teacher import denormalise


@MODELS.register_module()
class ViLD(MaskRCNN):
    """mmdet's two-stage detector with ``set_vocabulary`` and a teacher.

    Nothing else is new: with :class:`mmclip.vild.ViLDRoIHead`, mmdet's own
    ``MaskRCNN`` or ``FasterRCNN`` trains and tests as well.

    Args:
        teacher: Config of a :class:`mmclip.vild.OnlineTeacher`, which in
            training gives each data sample its ``distill_instances``;
            ``None`` where a cache does or nothing is distilled.
        **kwargs: As for mmdet's MaskRCNN.
    """

    def __init__(self, *args, teacher: dict | None = None, **kwargs):
        super().__init__(*args, **kwargs)
        self.teacher = MODELS.build(teacher) if teacher else None

    def set_vocabulary(self, vocabulary, names=None, novel=None) -> None:
        """See :meth:`mmclip.vild.ViLDRoIHead.set_vocabulary`."""
        self.roi_head.set_vocabulary(vocabulary, names, novel)

    def extract_feat(self, batch_inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the neck's levels, with the images for who asks for them."""
        levels = super().extract_feat(batch_inputs)
        source = getattr(self.roi_head, 'score_source', None)
        if not getattr(source, 'needs_images', False):
            return levels
        images = denormalise(batch_inputs, self.data_preprocessor)
        return Levels(levels, images=images)

    def loss(self, batch_inputs: Tensor, batch_data_samples: list) -> dict:
        """Compute the losses, once the teacher has been asked."""
        if self.teacher is None:
            return super().loss(batch_inputs, batch_data_samples)
        with self.asking_teacher(batch_inputs):
            return super().loss(batch_inputs, batch_data_samples)

    @contextmanager
    def asking_teacher(self, inputs: Tensor):
        """Ask the teacher between the proposals and the RoI head's loss.

        mmdet's ``loss`` runs the whole way without a seam there, so the RoI
        head's is wrapped for the time of the block.
        """
        stock = self.roi_head.loss

        def loss(features, proposals, samples):
            self.teacher(inputs, samples, self.data_preprocessor, proposals)
            return stock(features, proposals, samples)

        self.roi_head.loss = loss
        try:
            yield
        finally:
            del self.roi_head.loss
