"""Mask R-CNN that can be asked for other names."""

from mmdet.models.detectors import MaskRCNN

from mmclip.registry import MODELS


@MODELS.register_module()
class ViLD(MaskRCNN):
    """mmdet's two-stage detector with ``set_vocabulary``.

    Nothing else is new: with :class:`mmclip.vild.ViLDRoIHead`, mmdet's own
    ``MaskRCNN`` or ``FasterRCNN`` trains and tests as well.
    """

    def set_vocabulary(self, vocabulary, names=None) -> None:
        """See :meth:`mmclip.vild.ViLDRoIHead.set_vocabulary`."""
        self.roi_head.set_vocabulary(vocabulary, names)
