"""The default profile call by call, other profiles, and what stands in their way."""

from __future__ import annotations

import errno
import json
import platform
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyinit.container import seccomp
from pyinit.container.seccomp import compile_filter
from pyinit.container.seccomp_profile import (
    Argument,
    Machine,
    applying_rules,
    names_of_architectures,
    parse_profile,
)
from pyinit.errors import NotFound, Unsupported, UsageError
from pyinit.linux.seccomp import (
    BPF_MAXINSNS,
    SECCOMP_RET_ALLOW,
    SECCOMP_RET_ERRNO,
    SECCOMP_RET_KILL_PROCESS,
)
from pyinit.spec.privileges import PRIVILEGED, Privileges, change_capabilities
from tests.support import bpf

pyseccomp = pytest.importorskip("pyseccomp", reason="needs libseccomp2", exc_type=RuntimeError)

pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64", reason="numbers and architectures below are x86_64's"
)

ALLOWED = SECCOMP_RET_ALLOW


def refused(number: int) -> int:
    return SECCOMP_RET_ERRNO | number


EPERM = refused(errno.EPERM)
ENOSYS = refused(errno.ENOSYS)


@pytest.fixture(autouse=True)
def own_run_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "run"
    monkeypatch.setenv("PYINIT_RUN_DIR", str(folder))
    seccomp._compiled.cache_clear()
    return folder


def answer(privileges: Privileges, call: str, *arguments: int) -> int:
    program = compile_filter(privileges).program
    assert program is not None
    number = pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, call)
    return bpf.evaluate(program, number, arguments)[0]


DEFAULT = Privileges()


def holding(*names: str) -> Privileges:
    return change_capabilities(DEFAULT, names)


# What apt, apache, postgres, redis, python and a shell live on, and what a thread of PID 1
# needs under this filter to change users and spawn.
ORDINARY = """
    read write openat close newfstatat mmap mprotect munmap brk rt_sigaction rt_sigprocmask
    ioctl pread64 pwrite64 access pipe2 select sched_yield madvise shmget shmat shmctl dup2
    nanosleep getpid connect accept4 sendto recvmsg bind listen setsockopt fork vfork execve
    exit_group wait4 kill uname semget semop fcntl flock fsync getdents64 getcwd chdir rename
    mkdir unlinkat symlink readlinkat fchmod chown umask setuid setgid setgroups setresuid
    setresgid capset prctl setsid sigaltstack statfs setpriority mlock rt_sigtimedwait futex
    sched_setaffinity epoll_wait epoll_pwait2 eventfd2 timerfd_create signalfd4 inotify_init1
    fallocate prlimit64 syncfs getrandom memfd_create copy_file_range statx rseq close_range
    clone openat2 faccessat2 pidfd_open io_setup io_submit landlock_restrict_self seccomp
    setxattr mknod mq_open timer_create clock_nanosleep membarrier waitid execveat arch_prctl
"""


@pytest.mark.parametrize("call", ORDINARY.split())
def test_ordinary_calls_are_allowed(call: str) -> None:
    assert answer(DEFAULT, call) == ALLOWED


NEEDS = [
    ("CAP_SYS_ADMIN", "mount umount2 pivot_root setns fsopen open_tree move_mount mount_setattr"),
    ("CAP_SYS_ADMIN", "bpf perf_event_open fanotify_init sethostname swapon quotactl syslog"),
    ("CAP_SYS_PTRACE", "ptrace process_vm_readv process_vm_writev pidfd_getfd kcmp"),
    ("CAP_SYS_BOOT", "kexec_load kexec_file_load reboot"),
    ("CAP_SYS_MODULE", "init_module finit_module delete_module"),
    ("CAP_DAC_READ_SEARCH", "open_by_handle_at"),
    ("CAP_SYS_TIME", "clock_settime settimeofday"),
    ("CAP_SYS_RAWIO", "iopl ioperm"),
    ("CAP_SYS_NICE", "mbind set_mempolicy move_pages"),
    ("CAP_SYS_TTY_CONFIG", "vhangup"),
    ("CAP_SYS_PACCT", "acct"),
    ("CAP_BPF", "bpf"),
    ("CAP_PERFMON", "perf_event_open"),
    ("CAP_SYSLOG", "syslog"),
]


@pytest.mark.parametrize(
    ("capability", "call"), [(name, call) for name, calls in NEEDS for call in calls.split()]
)
def test_calls_that_come_with_a_capability(capability: str, call: str) -> None:
    assert answer(DEFAULT, call) == EPERM
    assert answer(holding(capability), call) == ALLOWED


def test_chroot_comes_with_the_default_set() -> None:
    assert answer(DEFAULT, "chroot") == ALLOWED
    assert answer(change_capabilities(DEFAULT, (), ["SYS_CHROOT"]), "chroot") == EPERM


@pytest.mark.parametrize(
    "call",
    [
        *("add_key", "keyctl", "request_key", "userfaultfd", "io_uring_setup"),
        *("io_uring_enter", "modify_ldt", "uselib", "nfsservctl"),
    ],
)
def test_what_no_capability_brings(call: str) -> None:
    assert answer(DEFAULT, call) == EPERM
    assert answer(holding("ALL"), call) == EPERM


def test_a_call_that_nobody_knew_of_is_not_there() -> None:
    program = compile_filter(DEFAULT).program
    assert program is not None
    assert bpf.evaluate(program, 900)[0] == ENOSYS


THREAD = 0x3D0F00  # the flags of pthread_create
VFORK = 0x4111
NAMESPACES = [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000]


@pytest.mark.parametrize("flags", [THREAD, VFORK, 17])
def test_processes_and_threads_can_be_made(flags: int) -> None:
    assert answer(DEFAULT, "clone", flags) == ALLOWED


@pytest.mark.parametrize("flag", NAMESPACES)
@pytest.mark.parametrize("call", ["clone", "unshare"])
def test_namespaces_can_not_be_made(call: str, flag: int) -> None:
    assert answer(DEFAULT, call, flag) == EPERM
    assert answer(DEFAULT, call, flag | THREAD) == EPERM
    assert answer(DEFAULT, call, sum(NAMESPACES)) == EPERM
    assert answer(holding("SYS_ADMIN"), call, flag) == ALLOWED


def test_the_rest_of_unshare_and_clone3() -> None:
    assert answer(DEFAULT, "unshare", 0x200) == ALLOWED
    assert answer(DEFAULT, "unshare", 0x80) == EPERM
    assert answer(DEFAULT, "clone3") == ENOSYS
    assert answer(holding("SYS_ADMIN"), "clone3") == ALLOWED


@pytest.mark.parametrize("family", [1, 2, 10, 16, 17])
def test_sockets_of_daily_use(family: int) -> None:
    assert answer(DEFAULT, "socket", family) == ALLOWED


@pytest.mark.parametrize("family", [38, 40, 29, 31, 44, 1 << 32 | 40, 1 << 32 | 38])
def test_other_sockets(family: int) -> None:
    """Also with bits above the int that the kernel looks at."""
    assert answer(DEFAULT, "socket", family) == refused(errno.EAFNOSUPPORT)
    assert answer(holding("ALL"), "socket", family) == refused(errno.EAFNOSUPPORT)


def test_nobody_lowers_the_limits_of_pid_1() -> None:
    new = 0x7FFF00001000
    assert answer(DEFAULT, "prlimit64", 0, 7, new) == ALLOWED
    assert answer(DEFAULT, "prlimit64", 1, 7, 0, new) == ALLOWED
    assert answer(DEFAULT, "prlimit64", 1, 7, new) == EPERM
    assert answer(holding("SYS_RESOURCE"), "prlimit64", 1, 7, new) == ALLOWED


OPERATIONS: dict[str, Callable[[int, Argument], bool]] = {
    "SCMP_CMP_EQ": lambda have, want: have == want.value,
    "SCMP_CMP_GT": lambda have, want: have > want.value,
    "SCMP_CMP_MASKED_EQ": lambda have, want: have & want.value == want.value_two,
}


def expected(privileges: Privileges, call: str, arguments: list[int]) -> int:
    """What the default profile says, read rule by rule."""
    parsed = parse_profile(seccomp.default_profile(), "default")
    machine = Machine("x86_64", "6.18", frozenset(privileges.capabilities))
    matching = [
        ALLOWED if rule.action == "SCMP_ACT_ALLOW" else refused(rule.errno_ret or 0)
        for rule in applying_rules(parsed, machine)
        if call in rule.names
        and all(OPERATIONS[arg.op](arguments[arg.index], arg) for arg in rule.args or ())
    ]
    return max(matching, default=ENOSYS)


words = st.one_of(
    st.sampled_from([0, 1, 2, 8, 10, 16, 17, 38, 40, 0x20000, 0xFFFFFFFF, 0x7E020080]),
    st.integers(0, 2**32),
    st.integers(0, 2**64 - 1),
    st.integers(0, 63).map(lambda bit: 1 << bit),
)


@pytest.mark.parametrize(
    "call", ["socket", "socketpair", "clone", "unshare", "prlimit64", "personality"]
)
@given(st.tuples(words, words, words))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_libseccomp_made_what_the_profile_says(call: str, arguments: tuple[int, ...]) -> None:
    for privileges in (DEFAULT, holding("SYS_ADMIN"), holding("SYS_RESOURCE")):
        assert answer(privileges, call, *arguments) == expected(privileges, call, [*arguments])


def test_other_execution_domains() -> None:
    assert answer(DEFAULT, "personality", 0xFFFFFFFF) == ALLOWED
    assert answer(DEFAULT, "personality", 0x0040000) == ENOSYS


def test_calls_of_other_architectures_end_the_process() -> None:
    program = compile_filter(DEFAULT).program
    assert program is not None
    assert bpf.evaluate(program, 4, arch=bpf.AUDIT_ARCH_I386)[0] == SECCOMP_RET_KILL_PROCESS
    x32 = 0x40000000
    assert bpf.evaluate(program, x32 | 1)[0] in (SECCOMP_RET_KILL_PROCESS, ENOSYS)


def test_the_filter_is_small_and_decides_early() -> None:
    program = compile_filter(DEFAULT).program
    assert program is not None
    assert len(program) // 8 < BPF_MAXINSNS // 4
    steps = [bpf.evaluate(program, number)[1] for number in range(450)]
    assert sum(steps) / len(steps) < 30


def test_unconfined_and_privileged_have_none() -> None:
    assert compile_filter(PRIVILEGED).program is None


# Where compiled filters come from.


def test_one_is_kept_in_memory_and_in_the_run_folder(own_run_directory: Path) -> None:
    first = compile_filter(DEFAULT).program
    assert compile_filter(DEFAULT).program is first
    (kept,) = (own_run_directory / "seccomp").iterdir()
    assert kept.read_bytes() == first
    seccomp._compiled.cache_clear()
    kept.write_bytes(b"12345678")
    assert compile_filter(DEFAULT).program == b"12345678"
    seccomp._compiled.cache_clear()
    kept.write_bytes(b"torn")
    assert compile_filter(DEFAULT).program == first


def test_a_folder_that_others_can_write_to_is_not_used(own_run_directory: Path) -> None:
    folder = own_run_directory / "seccomp"
    folder.mkdir(parents=True, mode=0o777)
    folder.chmod(0o777)
    assert compile_filter(DEFAULT).program
    assert not list(folder.iterdir())


def test_the_run_folder_holds_no_more_than_some(own_run_directory: Path) -> None:
    folder = own_run_directory / "seccomp"
    folder.mkdir(parents=True, mode=0o700)
    for number in range(100):
        (folder / str(number)).write_bytes(b"x")
    assert compile_filter(DEFAULT).program
    assert len(list(folder.iterdir())) == seccomp._KEPT


def test_without_libseccomp_the_default_is_left_out_and_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pyseccomp", None)
    program, warning = compile_filter(DEFAULT)
    assert program is None
    assert warning is not None
    assert "libseccomp" in warning


def test_without_libseccomp_a_profile_asked_for_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "pyseccomp", None)
    with pytest.raises(Unsupported, match="libseccomp"):
        compile_filter(profile(tmp_path, {"defaultAction": "SCMP_ACT_ALLOW"}))


# Profiles of others.


def profile(folder: Path, content: object) -> Privileges:
    path = folder / "profile.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return Privileges(seccomp=str(path))


def rule(**fields: object) -> dict[str, object]:
    return {"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", **fields}


def test_a_profile_in_podmans_format(tmp_path: Path) -> None:
    wanted = profile(
        tmp_path,
        {
            "defaultAction": "SCMP_ACT_ERRNO",
            "defaultErrnoRet": 38,
            "defaultErrno": "ENOSYS",
            "archMap": [
                {
                    "architecture": "SCMP_ARCH_X86_64",
                    "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"],
                },
                {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
            ],
            "syscalls": [
                rule(action="SCMP_ACT_ALLOW", names=["read", "no_such_call"], args=[]),
                rule(errnoRet=1, errno="EPERM", includes={}, excludes={}, comment=""),
                rule(name="rmdir", names=[], action="SCMP_ACT_KILL_PROCESS"),
            ],
        },
    )
    assert answer(wanted, "read") == ALLOWED
    assert answer(wanted, "mkdir") == EPERM
    assert answer(wanted, "rmdir") == SECCOMP_RET_KILL_PROCESS
    assert answer(wanted, "write") == ENOSYS
    program = compile_filter(wanted).program
    assert program is not None
    i386_read = 3
    assert bpf.evaluate(program, i386_read, arch=bpf.AUDIT_ARCH_I386)[0] == ALLOWED


@pytest.mark.parametrize(
    ("fields", "applies"),
    [
        ({}, True),
        ({"includes": {"caps": ["CAP_CHOWN"]}}, True),
        ({"includes": {"caps": ["CAP_CHOWN", "CAP_SYS_ADMIN"]}}, False),
        ({"excludes": {"caps": ["CAP_CHOWN", "CAP_SYS_ADMIN"]}}, False),
        ({"excludes": {"caps": ["CAP_SYS_ADMIN"]}}, True),
        ({"includes": {"arches": ["amd64", "x32"]}}, True),
        ({"includes": {"arches": ["s390x"]}}, False),
        ({"excludes": {"arches": ["amd64"]}}, False),
        ({"includes": {"minKernel": "4.8"}}, True),
        ({"includes": {"minKernel": "6.18"}}, True),
        ({"includes": {"minKernel": "6.19"}}, False),
        ({"includes": {"minKernel": "7"}}, False),
        ({"excludes": {"minKernel": "4.8"}}, False),
    ],
)
def test_conditions_of_rules(fields: dict[str, object], applies: bool) -> None:
    content = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule(**fields)]}
    machine = Machine("x86_64", "6.18.44-fc", frozenset({"CAP_CHOWN"}))
    parsed = parse_profile(json.dumps(content).encode(), "test")
    assert bool(list(applying_rules(parsed, machine))) is applies


def test_architectures_of_both_spellings() -> None:
    content = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86"],
        "archMap": [
            {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X32"]},
            {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
        ],
    }
    parsed = parse_profile(json.dumps(content).encode(), "test")
    assert names_of_architectures(parsed, "SCMP_ARCH_X86_64") == {
        *("SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"),
    }


ALLOW_ALL = {"defaultAction": "SCMP_ACT_ALLOW"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "profile.json"),
        ("{", "profile.json"),
        ("[]", "Expected `object`"),
        ({}, "defaultAction"),
        ({"defaultAction": "allow"}, "defaultAction"),
        ({**ALLOW_ALL, "flags": ["SECCOMP_FILTER_FLAG_LOG"]}, "flags"),
        ({**ALLOW_ALL, "syscalls": [rule(action="SCMP_ACT_NOTIFY")]}, "syscalls[0].action"),
        ({**ALLOW_ALL, "syscalls": [rule(errnoRet=5000)]}, "errno 5000"),
        ({**ALLOW_ALL, "syscalls": [rule(unknown=1)]}, "unknown"),
        ({**ALLOW_ALL, "architectures": ["SCMP_ARCH_Z80"]}, "SCMP_ARCH_Z80"),
        (
            {**ALLOW_ALL, "syscalls": [rule(args=[{"index": 9, "value": 1, "op": "SCMP_CMP_EQ"}])]},
            "no such argument",
        ),
        (
            {**ALLOW_ALL, "syscalls": [rule(args=[{"index": 0, "value": 1, "op": "EQ"}])]},
            "args[0].op",
        ),
    ],
)
def test_bad_profiles(tmp_path: Path, content: object, said: str) -> None:
    with pytest.raises(UsageError) as raised:
        compile_filter(profile(tmp_path, content))
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_profile_that_is_not_there() -> None:
    with pytest.raises(NotFound, match="no such file"):
        compile_filter(Privileges(seccomp="/nowhere/profile.json"))
