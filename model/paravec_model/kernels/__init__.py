"""The compiled kernels of inference: C11 sources, and what builds, loads and calls them.

kernels.h declares what they offer, `interface` calls it, `library` finds the library for this CPU, `build` compiles it.
"""
