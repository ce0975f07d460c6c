"""The compiled kernels of inference: C11 sources, and what loads and calls them.

`interface` is the face: kernels.h declares what it offers. `library` finds the library for this CPU, `build` compiles it.
"""
