/* A file system that fails, for a process that has this library preloaded.

       gcc -shared -fPIC -o faulty_calls.so faulty_calls.c -ldl
       LD_PRELOAD=$PWD/faulty_calls.so FAKE_FLOCK=524 python -m clothinggan.train ...

   Always: the environment names calls that answer with an error, by its number. FAKE_FLOCK, FAKE_FLOCK_DIR (of
   folders alone), FAKE_FSYNC (of files), FAKE_FSYNC_DIR, FAKE_CHMOD, FAKE_LINK, FAKE_RENAME, FAKE_CLOSE (of files
   that were open for writing: some file systems find out only then that there is no room).

   In turn: `faulty_arm(folder, n, error)` has the n-th call from now on fail that is meant for a folder or for what
   lies in it, and none where n is 0; `faulty_calls()` tells how many there have been, `faulty_failed()` which one
   failed. The folder's path has to be absolute. A write that fails has written half. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define FAIL_IF(error) do { int _error = (error); if (_error) { errno = _error; return -1; } } while (0)

static char folder[4096], failed[4200];
static long calls, fail_at, fail_with;

void faulty_arm(const char *where, long number, long error) {
    snprintf(folder, sizeof folder, "%s", where);
    failed[0] = 0, calls = 0, fail_at = number, fail_with = error;
}
long faulty_calls(void) { return calls; }
const char *faulty_failed(void) { return failed; }

static int fake(const char *name) { const char *value = getenv(name); return value ? atoi(value) : 0; }

/* The error of a call that is meant for a path, or for an open file; 0 for none. */
static int counted_path(const char *call, const char *path) {
    if (!folder[0] || strncmp(path, folder, strlen(folder))) return 0;
    if (++calls != fail_at) return 0;
    snprintf(failed, sizeof failed, "%s %s", call, path);
    return (int)fail_with;
}
static int counted(const char *call, int descriptor) {
    char link[64], path[4096];
    if (!folder[0]) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return counted_path(call, path);
}
static int is_folder(int descriptor) {
    struct stat status;
    return !fstat(descriptor, &status) && S_ISDIR(status.st_mode);
}
static int is_written(int descriptor) {
    struct stat status;
    int flags = fcntl(descriptor, F_GETFL);
    return flags >= 0 && (flags & O_ACCMODE) != O_RDONLY && !fstat(descriptor, &status) && S_ISREG(status.st_mode);
}

int flock(int descriptor, int operation) {
    if (is_folder(descriptor)) FAIL_IF(fake("FAKE_FLOCK_DIR"));
    FAIL_IF(fake("FAKE_FLOCK"));
    FAIL_IF(counted("flock", descriptor));
    return REAL(flock)(descriptor, operation);
}
int fsync(int descriptor) {
    FAIL_IF(fake(is_folder(descriptor) ? "FAKE_FSYNC_DIR" : "FAKE_FSYNC"));
    FAIL_IF(counted("fsync", descriptor));
    return REAL(fsync)(descriptor);
}
int chmod(const char *path, mode_t mode) {
    FAIL_IF(fake("FAKE_CHMOD"));
    return REAL(chmod)(path, mode);
}
int fchmod(int descriptor, mode_t mode) {
    FAIL_IF(fake("FAKE_CHMOD"));
    return REAL(fchmod)(descriptor, mode);
}
int link(const char *path, const char *other) {
    FAIL_IF(fake("FAKE_LINK"));
    return REAL(link)(path, other);
}
int mkdir(const char *path, mode_t mode) {
    FAIL_IF(counted_path("mkdir", path));
    return REAL(mkdir)(path, mode);
}
int rename(const char *from, const char *to) {
    FAIL_IF(fake("FAKE_RENAME"));
    FAIL_IF(counted_path("rename", to));
    return REAL(rename)(from, to);
}
int unlink(const char *path) {
    FAIL_IF(counted_path("unlink", path));
    return REAL(unlink)(path);
}
int close(int descriptor) {
    /* One that fails closes all the same. */
    int error = is_written(descriptor) ? fake("FAKE_CLOSE") : 0;
    if (!error) error = counted("close", descriptor);
    int result = REAL(close)(descriptor);
    FAIL_IF(error);
    return result;
}
ssize_t write(int descriptor, const void *bytes, size_t count) {
    int error = counted("write", descriptor);
    if (error && count > 1 && REAL(write)(descriptor, bytes, count / 2) < 0) return -1;
    FAIL_IF(error);
    return REAL(write)(descriptor, bytes, count);
}
ssize_t sendfile(int out, int in, off_t *offset, size_t count) {
    FAIL_IF(counted("sendfile", out));
    return REAL(sendfile)(out, in, offset, count);
}
ssize_t sendfile64(int out, int in, off64_t *offset, size_t count) {
    FAIL_IF(counted("sendfile", out));
    return REAL(sendfile64)(out, in, offset, count);
}

#define OPEN(name)                                                     \
    int name(const char *path, int flags, ...) {                       \
        mode_t mode = 0;                                               \
        if ((flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE) {   \
            va_list more;                                              \
            va_start(more, flags);                                     \
            mode = va_arg(more, mode_t);                               \
            va_end(more);                                              \
        }                                                              \
        FAIL_IF(counted_path("open", path));                           \
        return REAL(name)(path, flags, mode);                          \
    }
OPEN(open)
OPEN(open64)
