# GroupViT (table 5) from GCC3M, GCC12M and YFCC14M: webdataset shards.
_base_ = [
    '../_base_/models/groupvit_pretrain.py',
    '../_base_/datasets/image_text_deit.py',
    '../_base_/schedules/groupvit_30e.py', '../_base_/default_runtime.py'
]
default_scope = 'mmengine'  # all types carry their prefix

# ---- what you will want to change ----
data = ['data/gcc3m/*.tar', 'data/gcc12m/*.tar', 'data/yfcc14m/*.tar']
# --------------------------------------

train_dataloader = dict(dataset=dict(data=data, num_pairs=28663147))
custom_hooks = [
    dict(type='mmclip.PairStreamHook'),
    dict(type='mmclip.RNGStateHook'),
]
