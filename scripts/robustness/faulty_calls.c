/* A file system that fails, for a process that has this library preloaded.

       gcc -shared -fPIC -o faulty_calls.so faulty_calls.c -ldl
       LD_PRELOAD=$PWD/faulty_calls.so FAKE_FLOCK=524 python -m clothinggan.train ...

   Always: the environment names calls that answer with an error, by its number. FAKE_FLOCK, FAKE_FLOCK_DIR (of
   folders alone), FAKE_FSYNC (of files), FAKE_FSYNC_DIR, FAKE_CHMOD, FAKE_LINK, FAKE_RENAME, FAKE_CLOSE (of files
   that were open for writing: some file systems find out only then that there is no room).

   In turn: `faulty_arm(folder, n, error)` has the n-th call from now on that is meant for what lies in a folder fail,
   and none where n is 0; `faulty_calls()` tells how many there have been. A write that fails has written half.
   FAULTY_FOLDER, FAULTY_AT and FAULTY_ERROR arm it from the start. */
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

static char folder[4096];
static long calls, fail_at, fail_with;

void faulty_arm(const char *where, long number, long error) {
    snprintf(folder, sizeof folder, "%s", where);
    calls = 0, fail_at = number, fail_with = error;
}
long faulty_calls(void) { return calls; }

__attribute__((constructor)) static void begin(void) {
    const char *where = getenv("FAULTY_FOLDER"), *at = getenv("FAULTY_AT"), *error = getenv("FAULTY_ERROR");
    if (where && at && error) faulty_arm(where, atol(at), atol(error));
}

static int fake(const char *name) { const char *value = getenv(name); return value ? atoi(value) : 0; }

/* The error of a call that is meant for a path, 0 for none. Relative paths are taken to be meant. */
static int counted_path(const char *path) {
    if (!folder[0] || (path[0] == '/' && strncmp(path, folder, strlen(folder)))) return 0;
    return ++calls == fail_at ? (int)fail_with : 0;
}
static int counted(int descriptor) {
    char link[64], path[4096];
    if (!folder[0]) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0 || path[0] != '/') return 0;
    path[length] = 0;
    return counted_path(path);
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
    return REAL(flock)(descriptor, operation);
}
int fsync(int descriptor) {
    FAIL_IF(fake(is_folder(descriptor) ? "FAKE_FSYNC_DIR" : "FAKE_FSYNC"));
    FAIL_IF(counted(descriptor));
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
int rename(const char *from, const char *to) {
    FAIL_IF(fake("FAKE_RENAME"));
    FAIL_IF(counted_path(to));
    return REAL(rename)(from, to);
}
int unlink(const char *path) {
    FAIL_IF(counted_path(path));
    return REAL(unlink)(path);
}
int close(int descriptor) {
    /* A failing close closes all the same. */
    int error = is_written(descriptor) ? fake("FAKE_CLOSE") : 0;
    if (!error) error = counted(descriptor);
    int result = REAL(close)(descriptor);
    FAIL_IF(error);
    return result;
}
ssize_t write(int descriptor, const void *bytes, size_t count) {
    int error = counted(descriptor);
    if (error && count > 1) REAL(write)(descriptor, bytes, count / 2);
    FAIL_IF(error);
    return REAL(write)(descriptor, bytes, count);
}
ssize_t sendfile(int out, int in, off_t *offset, size_t count) {
    FAIL_IF(counted(out));
    return REAL(sendfile)(out, in, offset, count);
}
ssize_t sendfile64(int out, int in, off64_t *offset, size_t count) {
    FAIL_IF(counted(out));
    return REAL(sendfile64)(out, in, offset, count);
}

#define OPEN(name)                                                   \
    int name(const char *path, int flags, ...) {                     \
        mode_t mode = 0;                                             \
        if ((flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE) { \
            va_list more;                                            \
            va_start(more, flags);                                   \
            mode = va_arg(more, mode_t);                             \
            va_end(more);                                            \
        }                                                            \
        FAIL_IF(counted_path(path));                                 \
        return REAL(name)(path, flags, mode);                        \
    }
OPEN(open)
OPEN(open64)
