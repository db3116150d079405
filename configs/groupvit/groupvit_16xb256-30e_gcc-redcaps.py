# GroupViT from GCC3M, GCC12M and RedCaps12M, captions alone (released config).
_base_ = 'groupvit_16xb256-30e_gcc-yfcc.py'

# ---- what you will want to change ----
data = ['data/gcc3m/*.tar', 'data/gcc12m/*.tar', 'data/redcaps/*.tar']
# --------------------------------------

model = dict(multi_label=False)
train_dataloader = dict(
    dataset=dict(data=data, pipeline={{_base_.caption_pipeline}}))
