"""The compiled kernels of inference in C11, and the modules that build, load and call them.

kernels.h declares the functions, `interface` calls them, `library` loads the library for this CPU, `build` compiles it.
"""
