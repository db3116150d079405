# The same on one GPU: encoders hold 256 pairs at a time and run twice, the
# contrastive batch stays whole (gradient caching: Gao et al., 2021).
_base_ = 'groupvit_16xb256-30e_gcc-yfcc.py'
model = dict(chunk_size=256)
train_dataloader = dict(batch_size=4096, num_workers=14)
