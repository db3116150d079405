"""The ResNet of the TF release."""

from mmdet.models.backbones import ResNet

from mmclip.registry import MODELS
from mmclip.vild.tf_layers import SameMaxPool2d


@MODELS.register_module()
class ViLDResNet(ResNet):
    """mmdet's ResNet with TensorFlow's padding before the max pooling.

    Its strided convolutions are padded alike on both sides in the release
    too, so nothing else differs. Source: tensorflow/tpu detection, resnet.py.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.maxpool = SameMaxPool2d(kernel_size=3, stride=2)
