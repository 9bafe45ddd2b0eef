"""Tries, from inside a container, what no workload may do; prints {name: outcome} as JSON.

An outcome is the name of the errno that refused it, or "done". Runs on any Python 3, with
no import from here: it is handed to the interpreter as text.
"""

import ctypes
import errno
import json
import os
import resource
import signal
import socket
import sys

libc = ctypes.CDLL(None, use_errno=True)
X86 = os.uname().machine == "x86_64"


def call(name, *arguments):
    number = NUMBERS[name][0 if X86 else 1]
    widened = [a if isinstance(a, ctypes.Array) else ctypes.c_long(a) for a in arguments]
    result = libc.syscall(ctypes.c_long(number), *widened)
    if result == -1:
        raise OSError(ctypes.get_errno(), name)
    return result


NUMBERS = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "pidfd_getfd": (438, 438),
    "mount": (165, 40),
    "unshare": (272, 97),
    "setns": (308, 268),
    "kexec_load": (246, 104),
    "bpf": (321, 280),
    "open_by_handle_at": (304, 265),
    "keyctl": (250, 219),
    "io_uring_setup": (425, 425),
    "perf_event_open": (298, 241),
    "init_module": (175, 105),
    "reboot": (169, 142),
    "sethostname": (170, 161),
    "userfaultfd": (323, 282),
    "kcmp": (312, 272),
    "swapon": (167, 224),
    "syslog": (103, 116),
}
PTRACE_TRACEME, PTRACE_SEIZE = 0, 0x4206
CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 0x20000, 0x10000000, 0x40000000
BUFFER = ctypes.create_string_buffer(256)


def look(name):
    return lambda: os.close(os.open(f"/proc/1/{name}", os.O_RDONLY))


def thread_of_init(name):
    def attempt():
        for task in os.listdir("/proc/1/task"):
            os.close(os.open(f"/proc/1/task/{task}/{name}", os.O_RDONLY))

    return attempt


def descriptors_of_init():
    """Root may see their numbers; what they lead to is another matter."""
    for number in os.listdir("/proc/1/fd"):
        os.close(os.open(f"/proc/1/fd/{number}", os.O_RDONLY | os.O_NONBLOCK))


def nobody(work):
    """The attempt by another user than root."""

    def attempt():
        child = os.fork()
        if child == 0:
            code = 0
            try:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
                work()
            except OSError as error:
                code = error.errno
            finally:
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code:
            raise OSError(code, os.strerror(abs(code)))

    return attempt


def trace_own_child():
    child = os.fork()
    if child == 0:
        code = 0
        try:
            call("ptrace", PTRACE_TRACEME, 0, 0, 0)
        except OSError as error:
            code = error.errno
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code:
        raise OSError(code, "ptrace")


ATTACKS = {
    **{f"/proc/1/{name}": look(name) for name in ("exe", "mem", "environ", "maps", "root")},
    **{f"/proc/1/task/{name}": thread_of_init(name) for name in ("exe", "mem", "maps")},
    "/proc/1/fd": descriptors_of_init,
    "read the link of /proc/1/exe": lambda: os.readlink("/proc/1/exe"),
    "write to /proc/1/exe": lambda: os.open("/proc/1/exe", os.O_WRONLY),
    "namespace of /proc/1": look("ns/mnt"),
    "ptrace PID 1": lambda: call("ptrace", PTRACE_SEIZE, 1, 0, 0),
    "ptrace a child": trace_own_child,
    "pidfd_getfd of PID 1": lambda: call("pidfd_getfd", os.pidfd_open(1), 0, 0),
    "process_vm_readv of PID 1": lambda: call("process_vm_readv", 1, 0, 0, 0, 0, 0),
    "prlimit of PID 1": lambda: resource.prlimit(1, resource.RLIMIT_NOFILE, (0, 0)),
    "nice of PID 1": lambda: os.setpriority(os.PRIO_PROCESS, 1, 19),
    "scheduler of PID 1": lambda: os.sched_setscheduler(1, os.SCHED_IDLE, os.sched_param(0)),
    "processors of PID 1": lambda: os.sched_setaffinity(1, {0}),
    "mount": lambda: call("mount", BUFFER, BUFFER, BUFFER, 0, 0),
    "unshare mounts": lambda: call("unshare", CLONE_NEWNS),
    "unshare user": lambda: call("unshare", CLONE_NEWUSER),
    "unshare network as nobody": nobody(lambda: call("unshare", CLONE_NEWUSER | CLONE_NEWNET)),
    "setns": lambda: call("setns", os.open("/proc/self/ns/net", os.O_RDONLY), 0),
    "kexec": lambda: call("kexec_load", 0, 0, 0, 0),
    "bpf": lambda: call("bpf", 0, BUFFER, 0),
    "open_by_handle_at": lambda: call("open_by_handle_at", 3, BUFFER, 0),
    "keyctl": lambda: call("keyctl", 0, -3, 0),
    "io_uring": lambda: call("io_uring_setup", 1, BUFFER),
    "perf_event_open": lambda: call("perf_event_open", BUFFER, 0, -1, -1, 0),
    "userfaultfd": lambda: call("userfaultfd", 0),
    "kcmp": lambda: call("kcmp", 1, os.getpid(), 0, 0, 0),
    "module": lambda: call("init_module", BUFFER, 0, BUFFER),
    "reboot": lambda: call("reboot", 0xFEE1DEAD, 672274793, 0x4321FEDC, 0),
    "host name": lambda: socket.sethostname("owned"),
    "swap": lambda: call("swapon", BUFFER, 0),
    "the kernel's log": lambda: call("syslog", 3, BUFFER, 256),
    "AF_ALG": lambda: socket.socket(38, socket.SOCK_SEQPACKET, 0).close(),
    "AF_VSOCK": lambda: socket.socket(40, socket.SOCK_STREAM, 0).close(),
    "raw socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).close(),
    "a device": lambda: os.mknod("/tmp/disk", 0o60600, os.makedev(7, 0)),
    "core_pattern": lambda: os.open("/proc/sys/kernel/core_pattern", os.O_WRONLY),
    "sysrq": lambda: os.open("/proc/sysrq-trigger", os.O_WRONLY),
    "raise a limit": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (1 << 20, 1 << 30)),
}


def outcome(attempt):
    try:
        attempt()
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))
    except ValueError:
        return "EPERM"  # Python's word for a limit that was not to be raised
    return "done"


signal.alarm(30)
json.dump({name: outcome(attempt) for name, attempt in ATTACKS.items()}, sys.stdout)
