# The same network, trained on GCC and RedCaps without noun prompts.
_base_ = ['groupvit_gcc-yfcc_test-coco-object.py']
model = dict(multi_label=False)
