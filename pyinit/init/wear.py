from __future__ import annotations
from pyinit.init.users import User
def limit_thread(privileges, seccomp): pass
def become(user): pass
def become_init(): pass
def apply_in_child(privileges, user, seccomp): pass
