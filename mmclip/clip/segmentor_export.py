"""Export a segmentor with its names to ONNX, and run what was exported.

The file needs onnxruntime (or any other runtime of ONNX opset 16), neither
torch nor mmseg.

K names, D embedding width, H x W pixels.
"""

import json

import numpy as np
import torch
from torch import Tensor, nn

from mmclip import __version__
from mmclip.clip.onnx_file import (
    VOCABULARY,
    ExportedModel,
    need,
    traced,
    write_model,
)


def export_segmentor(
    model: nn.Module,
    path,
    size: tuple[int, int],
    *,
    vocabulary_input: bool = False,
) -> None:
    """Write a segmentor with the names that it has now to an ONNX file.

    Input ``image``: uint8 (H, W, 3), RGB. Outputs ``labels``, int64 (H, W),
    and ``scores``, float (K, H, W), which a runtime leaves out where they are
    not asked for. The whole image is one window, whatever ``test_cfg`` says.
    Metadata, each JSON: ``names``, ``embed_dims``, ``size``,
    ``channel_order``.

    Args:
        model: An :class:`mmclip.clip.segmentor.OpenVocabEncoderDecoder`, in
            eval mode on the CPU.
        path: The file, replaced once the new one is whole.
        size: Height and width of the images.
        vocabulary_input: Whether other names may be asked for: the file then
            has a second input ``text_embeddings`` (K, D), of any K, whose
            default are the names exported.

    Raises:
        ImportError: The package onnx is absent.
        ValueError: The model cannot be exported.
    """
    onnx = need('onnx')
    graph = SegmentorGraph(model, size)
    if vocabulary_input and graph.head.background_row is not None:
        raise ValueError(
            'the background stands for one of the names, which embeddings '
            'alone do not tell: export the model with its names baked in, '
            'without vocabulary_input (--vocabulary-input)'
        )
    # noise, so that every step has something to do
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3))
    inputs = [torch.from_numpy(noise.astype(np.uint8))]
    axes = {}
    if vocabulary_input:
        inputs.append(graph.head.vocabulary.embeddings.clone())
        axes = {VOCABULARY: {0: 'names'}, 'scores': {0: 'names'}}
    names = ['image', VOCABULARY][: len(inputs)]
    proto = onnx.load_from_string(
        traced(graph, inputs, names, ['labels', 'scores'], axes)
    )
    if vocabulary_input:
        own = graph.head.vocabulary.embeddings.numpy()
        proto.graph.initializer.append(
            onnx.numpy_helper.from_array(own, VOCABULARY)
        )
    write_model(proto, path, metadata(graph))


class SegmentorGraph(nn.Module):
    """What the file does: image in, labels and scores out.

    Args:
        model: As of :func:`export_segmentor`.
        size: Height and width of the images.

    Raises:
        ValueError: The model is no open-vocabulary segmentor, has dense
            scores of another CLIP, or no names.
    """

    def __init__(self, model: nn.Module, size: tuple[int, int]) -> None:
        super().__init__()
        self.head = getattr(model, 'decode_head', None)
        if not hasattr(self.head, 'vocabulary'):
            raise ValueError(
                f'a {type(model).__name__} without a vocabulary cannot be '
                "exported here: mmdeploy exports mmseg's own models"
            )
        if model.dense is not None:
            raise ValueError(
                'the dense scores of a second CLIP (dense=) are not '
                'exported: set model.dense=None'
            )
        if len(self.head.vocabulary) == 0:
            raise ValueError(
                'the model has no names to bake in: call '
                'model.set_vocabulary(names) (--text)'
            )
        if hasattr(model, 'check_export'):
            model.check_export()
        self.model, self.size = model, tuple(size)
        self.eval()  # torch's exporter gives all modules back as it was

    def forward(
        self, image: Tensor, texts: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Segment one image.

        Args:
            image: uint8 (H, W, 3), RGB.
            texts: Text embeddings (K, D); None takes the model's own.
        """
        x = image.permute(2, 0, 1)[None].float()
        preprocessor = self.model.data_preprocessor
        if not preprocessor.channel_conversion:
            x = x[:, [2, 1, 0]]
        if preprocessor._enable_normalize:
            x = (x - preprocessor.mean) / preprocessor.std
        vocabulary = self.head.vocabulary
        kept = vocabulary.embeddings
        if texts is not None:
            vocabulary.embeddings = texts
        try:
            scores = self.model(x, mode='tensor')  # (1, K, H, W)
        finally:
            vocabulary.embeddings = kept
        return scores.argmax(dim=1)[0], scores[0]


def metadata(graph: SegmentorGraph) -> dict[str, str]:
    """Return what a user of the file has to know, each value as JSON."""
    vocabulary = graph.head.vocabulary
    facts = dict(
        names=list(vocabulary.names),
        embed_dims=vocabulary.embeddings.shape[1],
        size=list(graph.size),
        channel_order='rgb',
        mmclip_version=__version__,
    )
    return {key: json.dumps(value) for key, value in facts.items()}


class ExportedSegmentor(ExportedModel):
    """A file that :func:`export_segmentor` wrote; ``names`` are its labels."""

    def __call__(
        self,
        image: np.ndarray,
        text_embeddings: np.ndarray | None = None,
        scores: bool = False,
    ) -> dict[str, np.ndarray]:
        """Segment one image.

        Args:
            image: uint8 (H, W, 3), RGB, of the file's size.
            text_embeddings: (K, D) of other names, where the file takes any.
            scores: Whether ``scores`` are returned beside ``labels``.
        """
        wanted = ['labels', 'scores'] if scores else ['labels']
        return self.run(image, text_embeddings, wanted)


@torch.no_grad()
def difference(
    model: nn.Module, exported: ExportedSegmentor, image: np.ndarray
) -> tuple[float, float]:
    """Segment one image in torch and in a file.

    Returns:
        The largest difference of any score over the largest score, and the
        share of pixels that got another name.
    """
    graph = SegmentorGraph(model, exported.size)
    labels, scores = graph(torch.from_numpy(np.ascontiguousarray(image)))
    found = exported(image, scores=True)
    gap = np.abs(found['scores'] - scores.numpy()).max()
    other = (found['labels'] != labels.numpy()).mean()
    return float(gap / max(float(scores.abs().max()), 1e-12)), float(other)
