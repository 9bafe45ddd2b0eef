"""The kernel's calls that Python's own os module lacks: the only ctypes of the project.

Each module is one subject. Constants carry the kernel's names, each wrapper is one call
and raises OSError with the path or subject in it.
"""
