"""Classify whole images by names with a pretrained GroupViT, in mmpretrain.

B images, K names, D common width.
"""

from collections.abc import Sequence

from mmpretrain.models.classifiers import BaseClassifier
from mmpretrain.structures import DataSample
from torch import Tensor

from mmclip.clip.similarity import cosine_logits
from mmclip.groupvit.losses import exponentiated
from mmclip.groupvit.towers import GroupViTTowers
from mmclip.groupvit.vocabulary import OwnVocabulary
from mmclip.registry import MODELS


@MODELS.register_module()
class GroupViTClassifier(GroupViTTowers, BaseClassifier):
    """Give each image the name that fits it best (sec. 4.2 of the paper).

    mmpretrain's metrics read the result (``Accuracy``).

    Args:
        img_encoder: As of
            :class:`mmclip.groupvit.pretrainer.GroupViTPretrainer`, whose
            checkpoints fit; so are the next four.
        text_encoder: Config of the text encoder.
        hidden_channels: Width within the projectors.
        out_channels: Width of the common space.
        multi_label: Whether the checkpoint has that loss's scale.
        names: K names, or ``'imagenet'`` for OpenAI's 1000 in the order of
            ImageNet's labels; others through :meth:`set_vocabulary`.
        tokenizer: As of
            :class:`mmclip.groupvit.segmentor.GroupViTSegmentor`.
        prompts: Prompt set or templates; as published, the seven of
            ``'imagenet-7'``, whose features are averaged before they are
            normalised.
        data_preprocessor, init_cfg: mmengine's.
    """

    def __init__(
        self,
        img_encoder: dict | None = None,
        text_encoder: dict | None = None,
        hidden_channels: int = 4096,
        out_channels: int = 256,
        multi_label: bool = True,
        *,
        names: Sequence[str] | str | None = None,
        tokenizer: str = 'clip',
        prompts: str | Sequence[str] = 'imagenet-7',
        data_preprocessor: dict | None = None,
        init_cfg=None,
    ) -> None:
        super().__init__(init_cfg, data_preprocessor)
        self.build_towers(
            img_encoder,
            text_encoder,
            hidden_channels,
            out_channels,
            multi_label,
        )
        self.vocabulary = OwnVocabulary(
            self.encode_names,
            self.text_encoder.context_length,
            prompts=prompts,
            tokenizer=tokenizer,
        )
        if names is not None:
            self.set_vocabulary(names)

    def set_vocabulary(self, vocabulary, names=None) -> None:
        """Classify among other names from now on.

        Args:
            vocabulary: Names, ``{name: [phrases]}``, embeddings (K, D), or
                ``'imagenet'``.
            names: The names of embeddings.
        """
        if isinstance(vocabulary, str) and vocabulary == 'imagenet':
            self.vocabulary.set(imagenet_phrases())
        else:
            self.vocabulary.set(vocabulary, names)

    def _load_from_state_dict(self, *args, **kwargs) -> None:
        self.vocabulary.forget()  # what other weights encoded
        super()._load_from_state_dict(*args, **kwargs)

    def extract_feat(self, inputs: Tensor) -> Tensor:
        """Embed images (B, 3, H, W): (B, D), not normalised."""
        return self.img_projector(self.img_encoder.encode(inputs).pooled)

    def forward(self, inputs: Tensor, data_samples=None, mode='tensor'):
        """Run the model.

        Args:
            inputs: Images (B, 3, H, W).
            data_samples: mmpretrain's, one an image, or None.
            mode: ``'tensor'`` for scores (B, K), ``'predict'`` for data
                samples.

        Raises:
            ValueError: The mode is another.
        """
        if mode not in ('tensor', 'predict'):
            raise ValueError(
                f"mode='{mode}': this model knows 'tensor' and 'predict'; "
                'GroupViT learns from captions, so train '
                'mmclip.GroupViTPretrainer and load its checkpoint here'
            )
        features = self.extract_feat(inputs)
        text = self.vocabulary.embeddings.to(features)
        logits = cosine_logits(features, text, exponentiated(self.logit_scale))
        if mode == 'tensor':
            return logits
        return self.predict(logits, data_samples)

    def predict(self, logits: Tensor, data_samples=None) -> list:
        """Write scores and the best label into data samples."""
        if data_samples is None:
            data_samples = [DataSample() for _ in logits]
        for sample, scores in zip(data_samples, logits.softmax(dim=-1)):
            best = scores.argmax(dim=0, keepdim=True)
            sample.set_pred_score(scores).set_pred_label(best)
            sample.set_field(
                self.vocabulary.names[int(best)],
                'pred_name',
                field_type='metainfo',
            )
        return data_samples


def imagenet_phrases() -> dict[str, str]:
    """Return OpenAI's names of ImageNet's 1000 classes, by label.

    Two of them stand there twice ('missile', 'sunglasses'); the second gets
    a name of its own and is called the same.
    """
    from open_clip import IMAGENET_CLASSNAMES

    phrases: dict[str, str] = {}
    for name in IMAGENET_CLASSNAMES:
        phrases[f'{name} (2)' if name in phrases else name] = name
    return phrases
