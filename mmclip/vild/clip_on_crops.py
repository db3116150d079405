"""Let CLIP itself look at the crop of each region: slow, without a student.

B images, R regions over all images, K names, D embedding width.
"""

import torch
from torch import Tensor, nn

from mmclip.registry import MODELS
from mmclip.vild.crop_encoder import CropEncoder
from mmclip.vild.score_fusion import Regions, name_probabilities


@MODELS.register_module()
class CropCLIPScores(nn.Module):
    """Score regions by CLIP's embeddings of their crops.

    As ``score_source`` of the RoI head of :class:`mmclip.vild.ViLD` it makes
    ViLD-text into the paper's "ViLD-text + CLIP" (section 3.2, table 3): the
    bound that distillation aims at, at two passes of the tower a region.

    Args:
        model: As for :class:`mmclip.vild.crop_encoder.CropEncoder`; the
            vocabulary must come from the text tower of the same CLIP.
        pretrained: As there.
        temperature: Cosines are divided by it.
        **kwargs: Further arguments of CropEncoder (scales, mode, ...).
    """

    needs_images = True

    def __init__(
        self,
        model: str | dict = 'shapes-clip',
        pretrained: str | None = None,
        *,
        temperature: float = 0.01,
        **kwargs,
    ):
        super().__init__()
        self.temperature = temperature
        self._config = dict(model=model, pretrained=pretrained, **kwargs)
        # In a tuple, so that it is no submodule and reaches no checkpoint;
        # empty until it is first asked.
        self._encoder: tuple = ()

    @property
    def encoder(self) -> CropEncoder:
        """The frozen CLIP, loaded when it is first asked for."""
        if not self._encoder:
            self._encoder = (CropEncoder(**self._config),)
        return self._encoder[0]

    @torch.no_grad()
    def forward(self, regions: Regions) -> Tensor:
        """Return the probability of each name (R, K).

        Raises:
            ValueError: The detector hands on no images, or the vocabulary is
                another CLIP's.
        """
        images = getattr(regions.features, 'images', None)
        if images is None:
            raise ValueError(
                'CropCLIPScores cuts regions out of the images, which only '
                "type='mmclip.ViLD' hands on: use it as the detector"
            )
        width = regions.texts.shape[1]
        if self.encoder.embed_dims != width:
            raise ValueError(
                f'this CLIP embeds crops {self.encoder.embed_dims} wide but '
                f'the vocabulary is {width} wide: take the text tower of the '
                'same CLIP'
            )
        self.encoder.to(images.device)
        index = regions.rois[:, 0].long()
        boxes = [regions.rois[index == i, 1:] for i in range(len(images))]
        pictures = [
            image[:, : meta['img_shape'][0], : meta['img_shape'][1]]
            for image, meta in zip(images, regions.img_metas)
        ]
        embeddings = torch.cat(self.encoder(pictures, boxes))  # (R, D)
        return name_probabilities(embeddings, regions.texts, self.temperature)
