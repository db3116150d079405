"""The segmentor, with the authors' way of testing beside mmseg's."""

from mmseg.models.segmentors import SegTTAModel
from torch import Tensor

from mmclip.clip.segmentor import OpenVocabEncoderDecoder, all_scores
from mmclip.lseg.multi_scale import multi_scale_scores
from mmclip.registry import MODELS


@MODELS.register_module()
class LSeg(OpenVocabEncoderDecoder):
    """``OpenVocabEncoderDecoder`` that also knows LSeg's multi-scale test.

    ``test_cfg=dict(mode='multi_scale', base_size=520, crop_size=480,
    scales=(0.5, ..., 1.75), flip=True)`` sums raw scores as the authors do
    (:mod:`mmclip.lseg.multi_scale`); the pipeline then leaves the image at
    its own size. ``'whole'`` and ``'slide'`` are mmseg's.
    """

    def _segment(self, inputs: Tensor, samples) -> None:
        if self.test_cfg.get('mode') == 'multi_scale':
            with all_scores(self):  # the scales' sum needs all scores
                super()._segment(inputs, samples)
        else:
            super()._segment(inputs, samples)

    def inference(self, inputs: Tensor, batch_img_metas: list) -> Tensor:
        """Score images in the mode of ``test_cfg``; (B, K, H, W)."""
        options = dict(self.test_cfg)
        if options.pop('mode', 'whole') != 'multi_scale':
            return super().inference(inputs, batch_img_metas)
        return multi_scale_scores(
            self.encode_decode, inputs, padding=self.black, **options
        )


@MODELS.register_module()
class SumLogitsTTAModel(SegTTAModel):
    """mmseg's test-time augmentation, summing raw scores as LSeg does.

    mmseg's own ``SegTTAModel`` averages probabilities instead.
    """

    def test_step(self, data) -> list:
        """Test with every augmentation, keeping the scores of all names."""
        with all_scores(self.module):
            return super().test_step(data)

    def merge_preds(self, data_samples_list: list) -> list:
        """Merge the augmentations' results of each image."""
        merged = []
        for samples in data_samples_list:
            result = samples[0]
            result.seg_logits.data = sum(s.seg_logits.data for s in samples)
            label = result.seg_logits.data.argmax(dim=0, keepdim=True)
            result.pred_sem_seg.data = label
            merged.append(result)
        return merged
