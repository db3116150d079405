# Zero-shot segmentation of FSS-1000 by ViT-L/16 (LSeg, table 3).
_base_ = [
    '../_base_/models/lseg_vit-l16-dpt.py', '../_base_/datasets/fss-1000.py',
    '../_base_/schedules/lseg_240e.py'
]
max_epochs = 4  # of a decay planned for 240
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
optim_wrapper = dict(optimizer=dict(lr=0.005))  # 0.004 / 16 x 20
auto_scale_lr = dict(base_batch_size=20)
