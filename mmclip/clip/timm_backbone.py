"""Let a detector look through a frozen classifier of timm.

B images, C channels of a returned map, h x w positions.
"""

from pathlib import Path

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmclip.clip.checkpoint import read_state
from mmclip.registry import MODELS


@MODELS.register_module()
class FrozenTimmBackbone(BaseModule):
    """Return feature maps of a timm model that training leaves as it is.

    No parameter has a gradient and batch norms keep their statistics. The
    weights are read when a training starts and then live in its checkpoints.

    Args:
        model: timm's name of the model.
        weights: Its state dict with classifier, in timm's layout: a
            .safetensors file, or a pickle of tensors alone.
        out_indices: Maps to return, counted by halvings of the image: 4 is
            the last at stride 32.
        output_stride: Least 32; with 16 or 8 the last stages are dilated
            instead of halved, where timm offers that for the model.
    """

    def __init__(
        self,
        model: str,
        *,
        weights: str,
        out_indices: tuple[int, ...] = (1, 2, 3, 4),
        output_stride: int = 32,
    ):
        super().__init__()
        self.model, self.weights = model, weights
        self.out_indices = tuple(out_indices)
        self.output_stride = output_stride
        self.maps = self._build()
        self.requires_grad_(False)
        self.eval()

    def _build(self, **kwargs) -> nn.Module:
        from timm import create_model

        if self.output_stride != 32:  # not every model takes the argument
            kwargs['output_stride'] = self.output_stride
        return create_model(
            self.model,
            features_only=True,
            out_indices=self.out_indices,
            **kwargs,
        )

    def init_weights(self) -> None:
        """Read ``weights``.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: It is not the state dict of ``model``.
        """
        state = self.read_state()
        # timm drops the classifier and renames where the wrapper asks for it
        loaded = self._build(
            pretrained=True, pretrained_cfg_overlay=dict(state_dict=state)
        )
        self.maps.load_state_dict(loaded.state_dict())
        self._is_init = True

    def read_state(self) -> dict[str, Tensor]:
        """Return the state dict in timm's layout."""
        return read_weights(self.model, self.weights)

    def train(self, mode: bool = True):
        """Stay in eval mode."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return a map (B, C, h, w) for each of ``out_indices``.

        Args:
            x: Normalised images (B, 3, H, W).
        """
        return tuple(self.maps(x))


def read_weights(model: str, path: str | Path) -> dict[str, Tensor]:
    """Read a state dict and check that it is one of timm's ``model``.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: Names or shapes do not fit.
    """
    from timm import create_model

    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no weight file '{path}' for the backbone {model}: "
            'set model.backbone.weights'
        )
    state = read_state(path)
    try:
        create_model(model).load_state_dict(state)
    except RuntimeError as error:
        first = ' '.join(str(error).split())[:300]
        raise ValueError(
            f"'{path}' is not the state dict of timm's {model}: {first}"
        ) from error
    return state
