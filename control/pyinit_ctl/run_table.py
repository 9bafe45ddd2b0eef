"""The options of `pyinit-ctl run`, with podman's names, and those that `update` has too."""

from __future__ import annotations

from pyinit_ctl.flags import FLAG, LIST, VALUE, Option

LIMIT_OPTIONS = (
    Option("m", "memory", VALUE, "SIZE", "memory at most, such as 64m"),
    Option("", "memory-swap", VALUE, "SIZE", "memory and swap together at most"),
    Option("", "memory-high", VALUE, "SIZE", "memory above which it is slowed (cgroup v2)"),
    Option("", "memory-reservation", VALUE, "SIZE", "memory that is left to it when scarce"),
    Option("", "cpus", VALUE, "N", "processors at most, such as 0.5"),
    Option("", "cpu-weight", VALUE, "N", "share of CPU time, 1 to 10000"),
    Option("", "cpuset-cpus", VALUE, "LIST", "processors it may use, such as 0-1"),
    Option("", "pids-limit", VALUE, "N", "processes at most"),
    Option("", "io-weight", VALUE, "N", "share of disk time, 1 to 10000"),
    Option("", "device-read-bps", LIST, "DEV:SIZE", "bytes a second from a disk"),
    Option("", "device-write-bps", LIST, "DEV:SIZE", "bytes a second to a disk"),
)
OPTIONS = (
    Option("", "name", VALUE, "NAME", "the container's name; made up when left out"),
    Option("", "root", VALUE, "DIR", "use the folder as the root"),
    Option("", "layer", LIST, "DIR", "put layers together; the first on top"),
    Option("", "upper", VALUE, "DIR", "keep what is written in this folder"),
    Option("", "read-only", FLAG, "", "mount the root read-only"),
    Option("v", "volume", LIST, "SRC:DST[:ro]", "show a host path inside"),
    Option("", "tmpfs", LIST, "DST[:OPTIONS]", "a file system in memory"),
    Option("d", "detach", FLAG, "", "print the name and leave the container running"),
    Option("i", "interactive", FLAG, "", "connect standard input"),
    Option("t", "tty", FLAG, "", "give the command a terminal"),
    Option("", "rm", FLAG, "", "remove what is left when the container has ended"),
    Option("h", "hostname", VALUE, "NAME", "host name inside; the container's by default"),
    Option("", "domainname", VALUE, "NAME", "NIS domain name inside"),
    Option("e", "env", LIST, "NAME[=VALUE]", "set a variable"),
    Option("", "env-file", LIST, "FILE", "set the variables of a file"),
    Option("w", "workdir", VALUE, "DIR", "working folder of the command"),
    Option("u", "user", VALUE, "USER[:GROUP]", "run as this user, by name or number"),
    Option("", "services", VALUE, "PATH", "supervise the services of a TOML file or folder"),
    Option("", "control", VALUE, "PATH", "put the control socket here"),
    Option("", "log", FLAG, "", "log the output that is shown here too; always so with -d"),
    Option("", "log-size", VALUE, "SIZE", "how large a file of a log may get"),
    Option("", "log-count", VALUE, "N", "how many files of a log stay"),
    Option("", "stop-timeout", VALUE, "S", "between TERM and KILL"),
    Option("", "net", VALUE, "NET", "none, host, bridge[:NAME]…", also="network"),
    Option("p", "publish", LIST, "[IP:]PORT:PORT[/udp]", "publish a port"),
    Option("", "dns", LIST, "ADDRESS", "name server"),
    Option("", "dns-search", LIST, "DOMAIN", "search domain"),
    Option("", "add-host", LIST, "NAME:ADDRESS", "a line for /etc/hosts"),
    Option("", "pid", VALUE, "NS", "pid namespace: private, host, container:NAME or a path"),
    Option("", "ipc", VALUE, "NS", "ipc namespace: private, host, container:NAME or a path"),
    Option("", "uts", VALUE, "NS", "uts namespace: private, host, container:NAME or a path"),
    Option("", "cgroupns", VALUE, "NS", "cgroup namespace: private, host or a path"),
    Option("", "time", VALUE, "NS", "time namespace: host, private, container:NAME or a path"),
    Option("", "time-offset", VALUE, "CLOCK=S[,…]", "be ahead: monotonic=S, boottime=S"),
    Option(
        "", "userns", VALUE, "NS", "ids: host, auto, keep-id, INSIDE:OUTSIDE:COUNT, or as above"
    ),
    Option("", "pin", VALUE, "KIND[,…]", "keep these namespaces after the end: net, ipc, …"),
    *LIMIT_OPTIONS,
    Option("", "cgroup-parent", VALUE, "PATH", "make the container's cgroup below this one"),
    Option("", "cap-add", LIST, "CAP", "give a capability, or ALL"),
    Option("", "cap-drop", LIST, "CAP", "take a capability, or ALL"),
    Option("", "privileged", FLAG, "", "hold nothing back that namespaces don't"),
    Option("", "security-opt", LIST, "OPT", "no-new-privileges, seccomp=FILE"),
    Option("", "ulimit", LIST, "NAME=SOFT[:HARD]", "a resource limit"),
    Option("", "umask", VALUE, "MODE", "creation mask, octal"),
    Option("", "oom-score-adj", VALUE, "N", "-1000 to 1000"),
    Option("", "sysctl", LIST, "NAME=VALUE", "a kernel parameter of its own"),
    Option("", "spec", VALUE, "FILE", "take it all from a spec in JSON; - is standard input"),
    Option("", "dry-run", FLAG, "", "print the mounts that would be made, and make nothing"),
    Option("", "json", FLAG, "", "with --dry-run: print the spec and the mounts"),
)
# What goes with --spec, which has the place of all others.
BESIDE_SPEC = frozenset({"spec", "name", "detach", "interactive", "tty", "dry-run", "json"})
