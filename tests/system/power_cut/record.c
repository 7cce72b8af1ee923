/* Notes what a process does to files, as the kernel is told: LD_PRELOAD=record.so EDGERIG_RECORD=FILE program.
 *
 * One record each: a letter, the lengths of two texts, a number, the length of the data, then texts and data.
 *   O open with O_CREAT   W write at offset   S fsync or fdatasync   T truncate to length
 *   U unlink   R rename or link (text 2 is the new name; number 1 = link)   D mkdir
 * Writing to the file named `mark` below EDGERIG_RECORD's folder is noted as any other write: the program's own words.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static int record = -1;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name) ((typeof(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("EDGERIG_RECORD");
    if (path) record = REAL(open)(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static void note(char kind, const char *one, const char *two, int64_t number, const void *data, size_t size) {
    if (record < 0) return;
    uint32_t lengths[2] = {(uint32_t)strlen(one), (uint32_t)strlen(two)};
    uint64_t length = size;
    pthread_mutex_lock(&mutex);
    ssize_t (*put)(int, const void *, size_t) = REAL(write);
    if (put(record, &kind, 1) != 1 || put(record, lengths, sizeof lengths) != sizeof lengths ||
        put(record, &number, 8) != 8 || put(record, &length, 8) != 8 ||
        put(record, one, lengths[0]) != (ssize_t)lengths[0] || put(record, two, lengths[1]) != (ssize_t)lengths[1] ||
        (size && put(record, data, size) != (ssize_t)size))
        abort();
    pthread_mutex_unlock(&mutex);
}

static const char *name_of(int fd, char *buffer, size_t size) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, buffer, size - 1);
    buffer[length < 0 ? 0 : length] = 0;
    return buffer;
}

static const char *full(int dirfd, const char *path, char *buffer, size_t size) {
    if (path[0] == '/') return path;
    char folder[4096];
    if (dirfd == AT_FDCWD) { if (!getcwd(folder, sizeof folder)) folder[0] = 0; }
    else name_of(dirfd, folder, sizeof folder);
    snprintf(buffer, size, "%s/%s", folder, path);
    return buffer;
}

static int opened(int dirfd, const char *path, int flags, int fd) {
    char buffer[8192];
    if (fd >= 0 && (flags & O_CREAT)) note('O', full(dirfd, path, buffer, sizeof buffer), "", 0, "", 0);
    if (fd >= 0 && (flags & O_TRUNC)) note('T', full(dirfd, path, buffer, sizeof buffer), "", 0, "", 0);
    return fd;
}

#define OPEN(name)                                                                  \
    int name(const char *path, int flags, ...) {                                    \
        va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, mode_t); va_end(rest); \
        return opened(AT_FDCWD, path, flags, REAL(name)(path, flags, mode));        \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                                \
    int name(int dirfd, const char *path, int flags, ...) {                         \
        va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, mode_t); va_end(rest); \
        return opened(dirfd, path, flags, REAL(name)(dirfd, path, flags, mode));    \
    }
OPENAT(openat)
OPENAT(openat64)

ssize_t write(int fd, const void *data, size_t size) {
    off_t before = lseek(fd, 0, SEEK_CUR);
    ssize_t done = REAL(write)(fd, data, size);
    char buffer[4096];
    if (done > 0 && before >= 0 && fd != record) note('W', name_of(fd, buffer, sizeof buffer), "", before, data, done);
    return done;
}

#define PWRITE(name, off)                                                           \
    ssize_t name(int fd, const void *data, size_t size, off offset) {               \
        ssize_t done = REAL(name)(fd, data, size, offset);                          \
        char buffer[4096];                                                          \
        if (done > 0) note('W', name_of(fd, buffer, sizeof buffer), "", offset, data, done); \
        return done;                                                                \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define SYNC(name)                                                                  \
    int name(int fd) {                                                              \
        int done = REAL(name)(fd);                                                  \
        char buffer[4096];                                                          \
        if (!done) note('S', name_of(fd, buffer, sizeof buffer), "", 0, "", 0);     \
        return done;                                                                \
    }
SYNC(fsync)
SYNC(fdatasync)

#define TRUNCATE(name, off)                                                         \
    int name(int fd, off length) {                                                  \
        int done = REAL(name)(fd, length);                                          \
        char buffer[4096];                                                          \
        if (!done) note('T', name_of(fd, buffer, sizeof buffer), "", length, "", 0); \
        return done;                                                                \
    }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

int unlink(const char *path) {
    int done = REAL(unlink)(path);
    char buffer[8192];
    if (!done) note('U', full(AT_FDCWD, path, buffer, sizeof buffer), "", 0, "", 0);
    return done;
}

int unlinkat(int dirfd, const char *path, int flags) {
    int done = REAL(unlinkat)(dirfd, path, flags);
    char buffer[8192];
    if (!done) note('U', full(dirfd, path, buffer, sizeof buffer), "", 0, "", 0);
    return done;
}

int rmdir(const char *path) {
    int done = REAL(rmdir)(path);
    char buffer[8192];
    if (!done) note('U', full(AT_FDCWD, path, buffer, sizeof buffer), "", 0, "", 0);
    return done;
}

int rename(const char *from, const char *to) {
    int done = REAL(rename)(from, to);
    char one[8192], two[8192];
    if (!done) note('R', full(AT_FDCWD, from, one, sizeof one), full(AT_FDCWD, to, two, sizeof two), 0, "", 0);
    return done;
}

int mkdir(const char *path, mode_t mode) {
    int done = REAL(mkdir)(path, mode);
    char buffer[8192];
    if (!done) note('D', full(AT_FDCWD, path, buffer, sizeof buffer), "", 0, "", 0);
    return done;
}
