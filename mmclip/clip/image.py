"""Encode images with the image tower of a CLIP: whole, layer by layer, dense.

B images, C channels of a layer, D embedding width, h x w positions.
"""

import torch
import torch.nn.functional as F
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn

from mmclip.clip.timm_tower import TimmTower
from mmclip.clip.towers import ResNetTower, ViTTower
from mmclip.clip.weights import load_clip
from mmclip.registry import MODELS

# Of RGB in [0, 1]; times 255 they are what mmdet's preprocessor wants.
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
DENSE_ATTENTION = ('values', 'self')


@MODELS.register_module()
class CLIPImageEncoder(nn.Module):
    """Wrap an open_clip image tower; also a backbone for mmdet and mmseg.

    Args:
        model: ``'shapes-clip'``, an open_clip model name or config dict, or
            a built open_clip model or image tower.
        pretrained: Tag, local file or ``None``, as in
            :func:`mmclip.clip.weights.load_clip`; unused for a built model.
        out_indices: Layers that ``forward`` returns. A ViT counts its blocks
            (default: the last), a CLIP ResNet its four stages and a timm
            tower its ``feature_info`` (default: all).
        frozen: Whether parameters get no gradient and the tower, batch norms
            included, stays in eval mode. Gradients still reach the image.
        init_cfg: As for mmdet's backbones, ``dict(type='Pretrained',
            checkpoint='mmclip://RN50/openai')``: weights that are read when a
            training starts and then live in its checkpoints, where
            ``pretrained`` are read now.
        out_class_token: Whether ``forward`` returns pairs of a map and the
            class token (B, C) of the same layer, which a ViT has.

    Attributes:
        tower (nn.Module): The wrapped tower; ``tower.visual`` is open_clip's.
        out_channels (list[int]): C of each returned layer.
        strides (list[int]): Image pixels a position, of each.
        mean (tuple[float]): Colour mean of RGB in [0, 1] in training.
        std (tuple[float]): Colour deviation.
    """

    def __init__(
        self,
        model: str | dict | nn.Module = 'shapes-clip',
        pretrained: str | None = None,
        *,
        out_indices: tuple[int, ...] | None = None,
        frozen: bool = True,
        init_cfg: dict | None = None,
        out_class_token: bool = False,
    ) -> None:
        super().__init__()
        self.init_cfg = init_cfg
        if not isinstance(model, nn.Module):
            model, _ = load_clip(model, pretrained)
        visual = getattr(model, 'visual', model)
        self.tower = image_tower(visual, out_indices)
        if out_class_token and not isinstance(self.tower, ViTTower):
            raise ValueError(
                f'out_class_token=True: {type(visual).__name__} is no ViT of '
                'open_clip, so its layers have no class token'
            )
        self.out_class_token = out_class_token
        self.out_channels = self.tower.out_channels
        self.strides = self.tower.strides
        self.mean = tuple(getattr(visual, 'image_mean', None) or CLIP_MEAN)
        self.std = tuple(getattr(visual, 'image_std', None) or CLIP_STD)
        self.frozen = frozen
        self.requires_grad_(not frozen)
        self.train(not frozen)

    def init_weights(self) -> None:
        """Read the weights that ``init_cfg`` names.

        Raises:
            ValueError: They are not those of this tower.
        """
        if self.init_cfg is None:
            return
        source = self.init_cfg['checkpoint']
        state = CheckpointLoader.load_checkpoint(source, 'cpu')
        visual = {
            key.removeprefix('visual.'): value
            for key, value in state.items()
            if key.startswith('visual.')
        }
        try:
            self.tower.visual.load_state_dict(visual)
        except RuntimeError as error:
            first = ' '.join(str(error).split())[:300]
            raise ValueError(
                f"'{source}' does not hold the image tower of this backbone: "
                f'{first}; name the model that it was trained as'
            ) from error

    def train(self, mode: bool = True):
        """Set the mode; a frozen encoder stays in eval mode."""
        return super().train(mode and not self.frozen)

    def normalise(self, images: Tensor) -> Tensor:
        """Bring RGB images (B, 3, H, W) in [0, 1] to the tower's range."""
        mean, std = (
            torch.tensor(v, device=images.device, dtype=images.dtype)
            for v in (self.mean, self.std)
        )
        return (images - mean[:, None, None]) / std[:, None, None]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the layers of ``out_indices``.

        Args:
            x: Normalised images (B, 3, H, W), of any size.

        Returns:
            A map (B, C, h, w) for each layer, or a pair of it and a class
            token.
        """
        if self.out_class_token:
            return tuple(self.tower.layers_with_class(x))
        return tuple(self.tower.layers(x))

    def pooled(self, x: Tensor, *, normalize: bool = True) -> Tensor:
        """Embed whole images as open_clip's ``encode_image`` does.

        Args:
            x: Normalised images (B, 3, H, W).
            normalize: Whether the embeddings get unit length.

        Returns:
            Embeddings (B, D).
        """
        embeddings = self.tower.pooled(x)
        return F.normalize(embeddings, dim=1) if normalize else embeddings

    def dense(
        self, x: Tensor, *, attention: str = 'values', normalize: bool = True
    ) -> Tensor:
        """Embed every position, aligned with the text space.

        Args:
            x: Normalised images (B, 3, H, W).
            attention: Of the last block, ``'values'``: each position alone;
                ``'self'``: positions like it, which only a ViT has.
            normalize: Whether each position gets unit length.

        Returns:
            Embeddings (B, D, h, w).

        Raises:
            ValueError: The tower has no projection of single positions, or
                not this attention.
        """
        if attention not in DENSE_ATTENTION:
            raise ValueError(
                f'attention={attention!r}: expected one of {DENSE_ATTENTION}'
            )
        if attention == 'values':
            embeddings = self.tower.dense(x)
        elif isinstance(self.tower, ViTTower):
            embeddings = self.tower.dense(x, attention)
        else:
            raise ValueError(
                f"attention='{attention}' needs a ViT of open_clip, and this "
                f"is {type(self.tower.visual).__name__}: take 'values'"
            )
        return F.normalize(embeddings, dim=1) if normalize else embeddings

    @property
    def region_stride(self) -> int:
        """Image pixels a position of the map that ``with_regions`` gives."""
        return self.tower.region_stride

    def with_regions(self, x: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        """Return ``forward`` and a map to cut regions from, in one pass.

        Args:
            x: Normalised images (B, 3, H, W).

        Returns:
            The layers of ``out_indices``, and a map (B, C, h, w) of stride
            ``region_stride`` whose windows ``embed_regions`` understands.

        Raises:
            ValueError: The tower has no projection of single positions.
        """
        layers, regions = self.tower.with_regions(x)
        return tuple(layers), regions

    def embed_regions(self, maps: Tensor, *, normalize: bool = True) -> Tensor:
        """Embed regions as the tower's own pool embeds whole images.

        A ResNet attends, a timm network averages and projects (both as
        F-VLM does, sec. 3.3), a ViT averages the values of its positions.

        Args:
            maps: Windows (R, C, s, s) of the map that ``with_regions`` gave,
                cut by RoI align.
            normalize: Whether the embeddings get unit length.

        Returns:
            Embeddings (R, D).
        """
        embeddings = self.tower.embed_regions(maps)
        return F.normalize(embeddings, dim=1) if normalize else embeddings

    def attention(self, x: Tensor) -> list[Tensor]:
        """Return attention maps; token 0 is the class or mean token.

        Args:
            x: Normalised images (B, 3, H, W).

        Returns:
            (B, heads, L, L) for each block of a ViT, or for the one pool of a
            CLIP ResNet; rows are queries, L = 1 + h * w.

        Raises:
            ValueError: The tower has none that can be read.
        """
        return self.tower.attention(x)


def image_tower(visual: nn.Module, out_indices=None) -> nn.Module:
    """Wrap an open_clip image tower by its kind.

    Raises:
        ValueError: It is none of open_clip's three kinds, or an index is out
            of range.
    """
    from open_clip.modified_resnet import ModifiedResNet
    from open_clip.timm_model import TimmModel
    from open_clip.transformer import VisionTransformer

    kinds = {
        VisionTransformer: ViTTower,
        ModifiedResNet: ResNetTower,
        TimmModel: TimmTower,
    }
    for kind, wrap in kinds.items():
        if isinstance(visual, kind):
            return wrap(visual, out_indices)
    raise ValueError(
        f'{type(visual).__name__} is no image tower of open_clip: expected '
        f'{", ".join(k.__name__ for k in kinds)}'
    )
