"""Detect on a frozen CLIP, which also names the regions (F-VLM).

Instead of distilling a teacher, the detector stands on the teacher itself: a
frozen image tower is the backbone, and at test time the tower's own pool
embeds each region of its last map. Source: F-VLM (Kuo et al., ICLR 2023).

B images, R regions over all images, C channels, D embedding width, K names.
"""

import torch
from torch import Tensor, nn
from torchvision.ops import roi_align

from mmclip.clip.image import CLIPImageEncoder
from mmclip.registry import MODELS
from mmclip.vild.detector import ViLD
from mmclip.vild.levels import Levels
from mmclip.vild.score_fusion import Regions, name_probabilities


@MODELS.register_module()
class FVLM(ViLD):
    """Mask R-CNN upon a frozen CLIP.

    Args:
        backbone: An :class:`mmclip.clip.image.CLIPImageEncoder`; ``frozen``
            as it is by default.
        **kwargs: As for mmdet's MaskRCNN. Of the RoI head, give
            ``score_source=dict(type='mmclip.FrozenCLIPScores')`` and
            ``score_fusion``; the data preprocessor needs CLIP's mean and
            deviation, and the vocabulary the text tower of the same CLIP.

    Raises:
        ValueError: The backbone is another, or the neck expects other layers.
    """

    def __init__(self, backbone: dict, **kwargs):
        super().__init__(backbone=backbone, **kwargs)
        if not isinstance(self.backbone, CLIPImageEncoder):
            raise ValueError(
                'FVLM stands on the image tower of a CLIP, got '
                f'{type(self.backbone).__name__}: set backbone=dict('
                "type='mmclip.CLIPImageEncoder', model=..., pretrained=...)"
            )

        wanted = getattr(self.neck, 'in_channels', None)  # of an FPN
        given = self.backbone.out_channels
        if wanted is not None and list(wanted) != list(given):
            raise ValueError(
                f'the backbone gives layers of {list(given)} channels but '
                f'neck.in_channels is {list(wanted)}: make them equal, by '
                'backbone.out_indices too'
            )

    def extract_feat(self, batch_inputs: Tensor) -> Levels:
        """Return levels for the heads, with CLIP's map of the images."""
        layers, region_map = self.backbone.with_regions(batch_inputs)
        levels = self.neck(layers) if self.with_neck else layers
        return Levels(levels, region_map, self.backbone)


@MODELS.register_module()
class FrozenCLIPScores(nn.Module):
    """Score regions by what the frozen backbone itself calls them.

    Windows of its last map are cut by RoI align and pooled as the tower pools
    whole images. The release has a background embedding in this softmax and
    then drops it; here names alone compete, as in ViLD-ensemble's image
    branch. Source: F-VLM section 3.3, eq. 3.

    Args:
        output_size: Side of the windows; 7 for RN50 at 224 (the release's
            roi_output_size).
        temperature: Cosines are divided by it; 0.01 in the release.
        chunk: Regions pooled at once, which bounds the memory.
    """

    def __init__(
        self,
        output_size: int = 7,
        temperature: float = 0.01,
        chunk: int = 256,
    ):
        super().__init__()
        self.output_size, self.temperature = output_size, temperature
        self.chunk = chunk

    def forward(self, regions: Regions) -> Tensor:
        """Return the probability of each name (R, K).

        Raises:
            ValueError: The detector is no :class:`FVLM`, or the vocabulary
                is another CLIP's.
        """
        levels = regions.features
        if getattr(levels, 'region_map', None) is None:
            raise ValueError(
                'FrozenCLIPScores reads the map of a frozen CLIP, which only '
                "type='mmclip.FVLM' hands on: use it as the detector"
            )
        embeddings = torch.cat(
            [
                self.embed(levels, rois)
                for rois in regions.rois.split(self.chunk)
            ]
        )  # (R, D)
        if embeddings.shape[1] != regions.texts.shape[1]:
            raise ValueError(
                f'the backbone embeds regions {embeddings.shape[1]} wide but '
                f'the vocabulary is {regions.texts.shape[1]} wide: take the '
                'text tower of the same CLIP'
            )
        return name_probabilities(embeddings, regions.texts, self.temperature)

    def embed(self, levels: Levels, rois: Tensor) -> Tensor:
        """Return the embeddings (R, D) of ``rois`` (R, 5)."""
        maps = roi_align(
            levels.region_map,
            rois.to(levels.region_map),
            self.output_size,
            1 / levels.encoder.region_stride,
            aligned=True,
        )  # (R, C, s, s)
        return levels.encoder.embed_regions(maps)
