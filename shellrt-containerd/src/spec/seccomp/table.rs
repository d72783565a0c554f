//! Docker's default policy for system calls, as a table: what is allowed, and when.
//!
//! The facts are those of moby's profile in 2026. What is not named here fails with `EPERM`.

use super::{Action, Arguments, Condition, Rule};

use Action::{Allow, Fail};
use Arguments::{Any, Below, Equal, Masked};
use Condition::{Architecture, Has, HasNot, Kernel, NotArchitecture};

/// The rules; all that apply are written, in this order.
pub(super) const RULES: &[Rule] = &[
    Rule {
        names: ALWAYS,
        action: Allow,
        arguments: Any,
        conditions: &[],
    },
    // Before 4.8 a tracer could get around the filter.
    Rule {
        names: "process_vm_readv process_vm_writev ptrace",
        action: Allow,
        arguments: Any,
        conditions: &[Kernel((4, 8))],
    },
    // Where sockets are made through `socketcall`, their family can't be seen.
    Rule {
        names: "socket",
        action: Allow,
        arguments: Below(0, 12),
        conditions: &[],
    },
    Rule {
        names: "socket",
        action: Allow,
        arguments: Equal(0, FAMILIES),
        conditions: &[],
    },
    // PER_LINUX, PER_LINUX32, both with UNAME26, and the question which one is set.
    Rule {
        names: "personality",
        action: Allow,
        arguments: Equal(0, &[0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff]),
        conditions: &[],
    },
    Rule {
        names: "sync_file_range2 swapcontext",
        action: Allow,
        arguments: Any,
        conditions: &[Architecture(&["ppc64le"])],
    },
    Rule {
        names:
            "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls",
        action: Allow,
        arguments: Any,
        conditions: &[Architecture(&["arm", "arm64"])],
    },
    Rule {
        names: "arch_prctl",
        action: Allow,
        arguments: Any,
        conditions: &[Architecture(&["amd64"])],
    },
    Rule {
        names: "modify_ldt",
        action: Allow,
        arguments: Any,
        conditions: &[Architecture(&["amd64", "386"])],
    },
    Rule {
        names: "s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr",
        action: Allow,
        arguments: Any,
        conditions: &[Architecture(&["s390x"])],
    },
    Rule {
        names: "riscv_flush_icache",
        action: Allow,
        arguments: Any,
        conditions: &[Architecture(&["riscv64"])],
    },
    Rule {
        names: "open_by_handle_at",
        action: Allow,
        arguments: Any,
        conditions: &[Has("DAC_READ_SEARCH")],
    },
    Rule {
        names: "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie \
            lsm_get_self_attr lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount \
            open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog \
            umount umount2 unshare",
        action: Allow,
        arguments: Any,
        conditions: &[Has("SYS_ADMIN")],
    },
    Rule {
        names: "clone",
        action: Allow,
        arguments: Masked(0, NEW_NAMESPACES),
        conditions: &[HasNot("SYS_ADMIN"), NotArchitecture(&["s390x"])],
    },
    // There the flags are the second argument.
    Rule {
        names: "clone",
        action: Allow,
        arguments: Masked(1, NEW_NAMESPACES),
        conditions: &[HasNot("SYS_ADMIN"), Architecture(&["s390x"])],
    },
    // Its flags are behind a pointer. A C library that hears ENOSYS takes `clone` instead; EPERM
    // would be final.
    Rule {
        names: "clone3",
        action: Fail(ENOSYS),
        arguments: Any,
        conditions: &[HasNot("SYS_ADMIN")],
    },
    Rule {
        names: "reboot",
        action: Allow,
        arguments: Any,
        conditions: &[Has("SYS_BOOT")],
    },
    Rule {
        names: "chroot",
        action: Allow,
        arguments: Any,
        conditions: &[Has("SYS_CHROOT")],
    },
    Rule {
        names: "delete_module finit_module init_module",
        action: Allow,
        arguments: Any,
        conditions: &[Has("SYS_MODULE")],
    },
    Rule {
        names: "acct",
        action: Allow,
        arguments: Any,
        conditions: &[Has("SYS_PACCT")],
    },
    Rule {
        names: "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",
        action: Allow,
        arguments: Any,
        conditions: &[Has("SYS_PTRACE")],
    },
    Rule {
        names: "ioperm iopl",
        action: Allow,
        arguments: Any,
        conditions: &[Has("SYS_RAWIO")],
    },
    Rule {
        names: "clock_settime clock_settime64 settimeofday stime",
        action: Allow,
        arguments: Any,
        conditions: &[Has("SYS_TIME")],
    },
    Rule {
        names: "vhangup",
        action: Allow,
        arguments: Any,
        conditions: &[Has("SYS_TTY_CONFIG")],
    },
    Rule {
        names: "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
        action: Allow,
        arguments: Any,
        conditions: &[Has("SYS_NICE")],
    },
    Rule {
        names: "syslog",
        action: Allow,
        arguments: Any,
        conditions: &[Has("SYSLOG")],
    },
    Rule {
        names: "bpf",
        action: Allow,
        arguments: Any,
        conditions: &[Has("BPF")],
    },
    Rule {
        names: "perf_event_open",
        action: Allow,
        arguments: Any,
        conditions: &[Has("PERFMON")],
    },
];

/// The machine languages that a processor understands beside its own, by the name that Go and OCI
/// have for it; the first is its own.
pub(super) const ARCHITECTURES: &[(&str, &[&str])] = &[
    (
        "amd64",
        &["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
    ),
    ("arm64", &["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]),
    (
        "mips64",
        &["SCMP_ARCH_MIPS64", "SCMP_ARCH_MIPS", "SCMP_ARCH_MIPS64N32"],
    ),
    (
        "mips64le",
        &[
            "SCMP_ARCH_MIPSEL64",
            "SCMP_ARCH_MIPSEL",
            "SCMP_ARCH_MIPSEL64N32",
        ],
    ),
    ("s390x", &["SCMP_ARCH_S390X", "SCMP_ARCH_S390"]),
    ("riscv64", &["SCMP_ARCH_RISCV64"]),
    ("loong64", &["SCMP_ARCH_LOONGARCH64"]),
];

/// `ENOSYS`.
const ENOSYS: u32 = 38;

/// The flags of clone(2) for new namespaces: CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID
/// and NEWNET.
const NEW_NAMESPACES: u64 = 0x7e02_0000;

/// The families of sockets from 12 on, as linux/socket.h numbers them. Not among them are those that
/// the kernel has given up, `AF_ALG` (38), which only widens what can be attacked, and `AF_VSOCK`
/// (40), which knows no network namespace.
const FAMILIES: &[u64] = &[
    13, 14, 15, 16, 17, 18, 21, 22, 24, 26, 27, 28, 29, 30, 31, 32, 33, 35, 36, 39, 41, 42, 43, 44,
    45,
];

/// What every container may call.
const ALWAYS: &str = "
    _llseek _newselect accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir
    chmod chown chown32 clock_adjtime clock_adjtime64 clock_getres clock_getres_time64
    clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64 close close_range connect
    copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old
    epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit
    exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod
    fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock
    fork fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate
    ftruncate64 futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake futimesat
    get_robust_list get_thread_area getcpu getcwd getdents getdents64 getegid getegid32 geteuid
    geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername getpgid getpgrp getpid
    getppid getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit getrusage
    getsid getsockname getsockopt gettid gettimeofday getuid getuid32 getxattr getxattrat
    inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy
    io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit ioctl ioprio_get ioprio_set
    ipc kill landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lchown32
    lgetxattr link linkat listen listmount listxattr listxattrat llistxattr lremovexattr lseek
    lsetxattr lstat lstat64 madvise map_shadow_stack membarrier memfd_create memfd_secret mincore
    mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap mmap2 mprotect mq_getsetattr mq_notify
    mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink
    mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall munmap name_to_handle_at
    nanosleep newfstatat open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2
    pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv preadv2
    prlimit64 process_mrelease pselect6 pselect6_time64 pwrite64 pwritev pwritev2 read readahead
    readlink readlinkat readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages
    removexattr removexattrat rename renameat renameat2 restart_syscall riscv_hwprobe rmdir rseq
    rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
    rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_get_priority_max
    sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler
    sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr
    sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop
    semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg sendto set_robust_list
    set_thread_area set_tid_address setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32
    setgroups setgroups32 setitimer setpgid setpriority setregid setregid32 setresgid setresgid32
    setresuid setresuid32 setreuid setreuid32 setrlimit setsid setsockopt setuid setuid32 setxattr
    setxattrat shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4 sigprocmask
    sigreturn socketcall socketpair splice stat stat64 statfs statfs64 statmount statx symlink
    symlinkat sync sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete
    timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create
    timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill truncate
    truncate64 ugetrlimit umask uname unlink unlinkat uretprobe utime utimensat utimensat_time64
    utimes vfork vmsplice wait4 waitid waitpid write writev";
