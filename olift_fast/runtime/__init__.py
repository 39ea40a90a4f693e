"""The lifter's parts on NumPy arrays, with the native module: nothing here imports torch.

`olift_fast.model.NativeLifter` consists of these parts, and `olift_fast.nn` uses the same ones with tensors.
"""
