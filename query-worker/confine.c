/* SPDX-License-Identifier: Apache-2.0 */
/* confine.c - what this process can no longer do once it looks at foreign bytes.
 *
 *     resource limits   memory, CPU, size of a file, open files, no core file
 *     Landlock          files: reads the tables of the request and /proc/self/fd/4, writes the
 *     spill
 *                       folder; nothing else can be opened, listed, made or removed. No TCP
 *     seccomp           a list of allowed system calls: no sockets, no exec, no new processes, no
 *                       ptrace, no links, no renames, no signals to others
 *
 * Landlock needs Linux 5.13; without it (and unless it is required) the rest still holds, and
 * DuckDB's own allow list. It is used by raw system calls, for Debian 12's C library has no
 * wrappers. There is no RLIMIT_NPROC: it counts every process of the user and would stop our own
 * threads on a busy machine; seccomp refuses processes and lets threads through.
 */
#include "views.h"
#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Landlock, from the kernel's documentation; the installed header may be older than the kernel. */
enum { CREATE_RULESET = 444, ADD_RULE = 445, RESTRICT_SELF = 446, PATH_BENEATH = 1 };
#define FS_WRITE_FILE (UINT64_C(1) << 1)
#define FS_READ_FILE (UINT64_C(1) << 2)
#define FS_READ_DIR (UINT64_C(1) << 3)
#define FS_REMOVE_DIR (UINT64_C(1) << 4)
#define FS_REMOVE_FILE (UINT64_C(1) << 5)
#define FS_MAKE_DIR (UINT64_C(1) << 7)
#define FS_MAKE_REG (UINT64_C(1) << 8)
#define FS_TRUNCATE (UINT64_C(1) << 14)

typedef struct ruleset {
    uint64_t fs;     /* rights that need a rule from now on */
    uint64_t net;    /* since ABI 4: bind and connect */
    uint64_t scoped; /* since ABI 6: abstract sockets and signals of others */
} ruleset;

typedef struct __attribute__((packed)) path_rule {
    uint64_t allowed;
    int32_t fd;
} path_rule;

static ruleset ruleset_of(long abi)
{
    static const unsigned fs_rights[] = {0, 13, 14, 15, 15, 16}; /* by ABI */
    const unsigned count = fs_rights[abi > 5 ? 5 : abi];
    return (ruleset){
        .fs = (UINT64_C(1) << count) - 1,
        .net = abi >= 4 ? 3 : 0,
        .scoped = abi >= 6 ? 3 : 0,
    };
}

static tr_code failed(tr_err *err, const char *what)
{
    return TR_FAIL(err, TR_IO, "%s: %s", what, strerrordesc_np(errno));
}

static tr_code allow_fd(int rules, int fd, uint64_t rights, tr_err *err)
{
    const path_rule rule = {.allowed = rights, .fd = fd};
    if (syscall(ADD_RULE, rules, PATH_BENEATH, &rule, 0) != 0)
        return failed(err, "confining the worker");
    return TR_OK;
}

static tr_code allow_path(int rules, const char *path, uint64_t rights, tr_err *err)
{
    const int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return TR_FAIL(err, TR_NOT_FOUND, "a file of the request is not there");
    const tr_code code = allow_fd(rules, fd, rights, err);
    (void)close(fd);
    return code;
}

static tr_code allow_all(int rules, uint64_t handled, const tr_request *request, tr_err *err)
{
    const char *table;
    const json_t *files, *file;
    size_t i;
    if (request->has_input)
        TR_TRY(allow_fd(rules, TR_WORKER_INPUT_FD, FS_READ_FILE, err));
    json_object_foreach((json_t *)(uintptr_t)request->tables, table, files)
        json_array_foreach(tr_view_files(files), i, file)
            TR_TRY(allow_path(rules, json_string_value(file), FS_READ_FILE, err));
    if (request->folder != NULL)
        TR_TRY(allow_path(rules, request->folder, FS_READ_FILE, err));
    const uint64_t spill = FS_WRITE_FILE | FS_READ_FILE | FS_READ_DIR | FS_REMOVE_DIR |
                           FS_REMOVE_FILE | FS_MAKE_DIR | FS_MAKE_REG | FS_TRUNCATE;
    if (request->spill_folder != NULL)
        TR_TRY(allow_path(rules, request->spill_folder, spill & handled, err));
    return TR_OK;
}

/* Landlock and seccomp bind the calling thread and those it starts later: there must be no
 * other. */
static tr_code check_alone(tr_err *err)
{
    struct stat tasks;
    if (stat("/proc/self/task", &tasks) == 0 && tasks.st_nlink != 2 + 1)
        return TR_FAIL(err, TR_IO, "the worker has threads before it is confined");
    return TR_OK;
}

static tr_code confine_files(const tr_request *request, bool *is_whole, tr_err *err)
{
    const long abi = syscall(CREATE_RULESET, NULL, 0, 1);
    *is_whole = abi > 0;
    if (abi <= 0 && request->is_confinement_required)
        return TR_FAIL(err, TR_SEMANTIC, "this kernel has no Landlock, and it is required");
    if (abi <= 0)
        return TR_OK;
    const ruleset handled = ruleset_of(abi);
    const size_t bytes = abi >= 6 ? 24 : abi >= 4 ? 16 : 8;
    const int rules = (int)syscall(CREATE_RULESET, &handled, bytes, 0);
    if (rules < 0)
        return failed(err, "confining the worker");
    tr_code code = allow_all(rules, handled.fs, request, err);
    if (code == TR_OK && syscall(RESTRICT_SELF, rules, 0) != 0)
        code = failed(err, "confining the worker");
    (void)close(rules);
    return code;
}

static const int allowed_calls[] = {
    /* memory and threads */
    SYS_brk,
    SYS_mmap,
    SYS_munmap,
    SYS_mremap,
    SYS_mprotect,
    SYS_madvise,
    SYS_membarrier,
    SYS_futex,
    SYS_set_robust_list,
    SYS_get_robust_list,
    SYS_rseq,
    SYS_set_tid_address,
    SYS_arch_prctl,
    SYS_sched_yield,
    SYS_sched_getaffinity,
    SYS_sched_getparam,
    SYS_sched_getscheduler,
    SYS_gettid,
    SYS_getpid,
    SYS_exit,
    SYS_exit_group,
    SYS_getcpu,
    /* files: which ones, Landlock decides */
    SYS_read,
    SYS_readv,
    SYS_pread64,
    SYS_write,
    SYS_writev,
    SYS_pwrite64,
    SYS_open,
    SYS_openat,
    SYS_close,
    SYS_close_range,
    SYS_lseek,
    SYS_stat,
    SYS_lstat,
    SYS_fstat,
    SYS_newfstatat,
    SYS_statx,
    SYS_statfs,
    SYS_fstatfs,
    SYS_access,
    SYS_faccessat,
    SYS_faccessat2,
    SYS_readlink,
    SYS_readlinkat,
    SYS_getdents64,
    SYS_getcwd,
    SYS_fcntl,
    SYS_dup,
    SYS_mkdir,
    SYS_mkdirat,
    SYS_rmdir,
    SYS_unlink,
    SYS_unlinkat,
    SYS_ftruncate,
    SYS_fallocate,
    SYS_fsync,
    SYS_fdatasync,
    SYS_fadvise64,
    SYS_poll,
    SYS_pipe2,
    /* time, signals to itself, what it is */
    SYS_clock_gettime,
    SYS_clock_getres,
    SYS_clock_nanosleep,
    SYS_nanosleep,
    SYS_gettimeofday,
    SYS_time,
    SYS_times,
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_sigaltstack,
    SYS_restart_syscall,
    SYS_getrandom,
    SYS_getrusage,
    SYS_getrlimit,
    SYS_sysinfo,
    SYS_uname,
    SYS_getuid,
    SYS_geteuid,
    SYS_getgid,
    SYS_getegid,
    SYS_getppid,
};

enum { FILTER_MAX = 2 * sizeof allowed_calls / sizeof allowed_calls[0] + 32 };

typedef struct filter {
    struct sock_filter at[FILTER_MAX];
    unsigned short len;
} filter;

static void add(filter *f, uint16_t code, uint32_t k, uint8_t if_true, uint8_t if_false)
{
    f->at[f->len++] = (struct sock_filter){.code = code, .jt = if_true, .jf = if_false, .k = k};
}

static void load(filter *f, size_t offset)
{
    add(f, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void answer(filter *f, uint32_t what)
{
    add(f, BPF_RET | BPF_K, what, 0, 0);
}

/* `call` only when the bits `mask` of argument `n` (its low half) are `bits`; else ENOSYS. */
static void allow_when(filter *f, int call, unsigned n, uint32_t mask, uint32_t bits)
{
    add(f, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 5);
    load(f, offsetof(struct seccomp_data, args) + 8 * n);
    add(f, BPF_ALU | BPF_AND | BPF_K, mask, 0, 0);
    add(f, BPF_JMP | BPF_JEQ | BPF_K, bits, 0, 1);
    answer(f, SECCOMP_RET_ALLOW);
    answer(f, SECCOMP_RET_ERRNO | ENOSYS);
}

/* What is not allowed answers ENOSYS, as an old kernel would: the C library then takes another
 * way. */
static tr_code confine_calls(tr_err *err)
{
    filter f = {0};
    load(&f, offsetof(struct seccomp_data, arch));
    add(&f, BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
    answer(&f, SECCOMP_RET_KILL_PROCESS);
    load(&f, offsetof(struct seccomp_data, nr)); /* an x32 number has bit 30 set: never equal */
    for (size_t i = 0; i < sizeof allowed_calls / sizeof allowed_calls[0]; i++) {
        add(&f, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)allowed_calls[i], 0, 1);
        answer(&f, SECCOMP_RET_ALLOW);
    }
    allow_when(&f, SYS_clone, 0, CLONE_THREAD, CLONE_THREAD);
    allow_when(&f, SYS_tgkill, 0, UINT32_MAX, (uint32_t)getpid()); /* abort() */
    allow_when(&f, SYS_prlimit64, 2, UINT32_MAX, 0);               /* asking, not setting */
    answer(&f, SECCOMP_RET_ERRNO | ENOSYS);
    const struct sock_fprog program = {.len = f.len, .filter = f.at};
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        return failed(err, "confining the worker");
    return TR_OK;
}

static tr_code limit(int resource, uint64_t most, tr_err *err)
{
    struct rlimit now;
    if (getrlimit((__rlimit_resource_t)resource, &now) != 0)
        return failed(err, "limiting the worker");
    if (most > now.rlim_max)
        most = now.rlim_max;
    const struct rlimit wanted = {.rlim_cur = most, .rlim_max = most};
    if (setrlimit((__rlimit_resource_t)resource, &wanted) != 0)
        return failed(err, "limiting the worker");
    return TR_OK;
}

/* Which ones a session will open is not known when it starts. */
enum { SESSION_FILES = 8192 };

static uint64_t count_files(const tr_request *request)
{
    const char *table;
    const json_t *files;
    uint64_t count = request->folder != NULL ? SESSION_FILES : 0;
    json_object_foreach((json_t *)(uintptr_t)request->tables, table, files)
        count += json_array_size(tr_view_files(files));
    return count;
}

/* Addresses, so more than the memory: the library, and heaps and stacks that threads reserve. */
static tr_code limit_addresses(const tr_request *request, tr_err *err)
{
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__ /* they reserve terabytes */
    (void)request;
    (void)err;
    return TR_OK;
#else
    struct stat input;
    const bool has_size = request->has_input && fstat(TR_WORKER_INPUT_FD, &input) == 0;
    const uint64_t mapped = has_size ? (uint64_t)input.st_size : 0;
    const uint64_t mib = 1024 * 1024;
    return limit(RLIMIT_AS,
                 (request->memory_mb + 512) * mib + 80 * mib * request->thread_count + mapped, err);
#endif
}

tr_code tr_confine_resources(const tr_request *request, tr_err *err)
{
    const uint64_t largest = request->bytes_max > request->spill_bytes_max
                                 ? request->bytes_max : request->spill_bytes_max;
    (void)signal(SIGXFSZ, SIG_IGN); /* a write over the limit fails with EFBIG instead */
    TR_TRY(limit(RLIMIT_CORE, 0, err));
    TR_TRY(limit(RLIMIT_FSIZE, largest, err));
    TR_TRY(limit(RLIMIT_CPU, request->cpu_s, err));
    TR_TRY(limit(RLIMIT_NOFILE, 128 + 2 * count_files(request), err));
    TR_TRY(limit(RLIMIT_MEMLOCK, 0, err));
    TR_TRY(limit(RLIMIT_MSGQUEUE, 0, err));
    return limit_addresses(request, err);
}

tr_code tr_confine(const tr_request *request, bool *is_whole, tr_err *err)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return failed(err, "confining the worker");
    TR_TRY(check_alone(err));
    TR_TRY(confine_files(request, is_whole, err));
    return confine_calls(err);
}
