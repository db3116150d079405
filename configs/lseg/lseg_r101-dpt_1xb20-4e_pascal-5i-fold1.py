# The same, tested on fold 1 and trained on the others.
_base_ = ['lseg_r101-dpt_1xb20-4e_pascal-5i-fold0.py']
train_dataloader = dict(dataset=dict(fold=1))
val_dataloader = dict(dataset=dict(fold=1))
test_dataloader = val_dataloader
