# The paper's setting: 16 strokes, RN101, 2001 steps, three seeds.
_base_ = ['../_base_/models/clipasso_rn101.py',
          '../_base_/datasets/sketch_photos.py',
          '../_base_/sketch_runtime.py']
train_cfg = dict(num_iters=2001, eval_interval=10)
