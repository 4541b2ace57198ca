"""The defined arithmetic: float32 kernels with one specified order of operations, in place of PyTorch's own on the CPU.

docs/arithmetic.md is the specification, `c/` the kernels, `build` compiles them for every supported CPU, `library` loads them and
`overrides` registers them under the names of PyTorch's ops. Models and autograd stay as they are.
"""
