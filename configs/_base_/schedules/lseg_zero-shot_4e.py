# The zero-shot protocols: batches of 20 on one GPU, stopped after four epochs
# of a decay planned for 240. From the released code.
_base_ = ['lseg_240e.py']
max_epochs = 4
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
optim_wrapper = dict(optimizer=dict(lr=0.005))  # 0.004 / 16 x 20
auto_scale_lr = dict(base_batch_size=20)
