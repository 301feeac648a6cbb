#!/usr/bin/env python3
"""Rules for system calls like those that Docker gives a container without CAP_SYS_ADMIN, made of podman's, which allow more.

usage: seccomp.py /usr/share/containers/seccomp.json

Docker denies new namespaces and mounts: https://docs.docker.com/engine/security/seccomp/
"""

import json
import sys

# CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET.
NAMESPACES = 0x7E020000
DENIED = {
    "clone",
    "clone3",
    "fsconfig",
    "fsmount",
    "fsopen",
    "fspick",
    "mount",
    "mount_setattr",
    "move_mount",
    "open_tree",
    "pivot_root",
    "setns",
    "umount",
    "umount2",
    "unshare",
}
EPERM, ENOSYS = 1, 38

with open(sys.argv[1]) as file:
    rules = json.load(file)
for rule in rules["syscalls"]:
    rule["names"] = [name for name in rule["names"] if name not in DENIED]
rules["syscalls"] = [rule for rule in rules["syscalls"] if rule["names"]]
masked = {"index": 0, "value": NAMESPACES, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}
rules["syscalls"] += [
    {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [masked]},
    # With it glibc tries the other one.
    {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS},
    {"names": sorted(DENIED - {"clone", "clone3"}), "action": "SCMP_ACT_ERRNO", "errnoRet": EPERM},
]
json.dump(rules, sys.stdout)
