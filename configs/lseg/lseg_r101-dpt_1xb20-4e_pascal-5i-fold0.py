# Zero-shot segmentation of fold 0 by ResNet-101 (LSeg, table 1). Other folds:
# --cfg-options {train,val,test}_dataloader.dataset.fold=1
_base_ = [
    '../_base_/models/lseg_r101-dpt.py', '../_base_/datasets/pascal-5i.py',
    '../_base_/schedules/lseg_240e.py'
]
max_epochs = 4  # of a decay planned for 240
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
optim_wrapper = dict(optimizer=dict(lr=0.005))  # 0.004 / 16 x 20
auto_scale_lr = dict(base_batch_size=20)
