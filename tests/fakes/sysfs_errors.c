/* Lets a plain file answer like a sensor that fails: LD_PRELOAD=libsysfs_errors.so.
 *
 * A file that begins with "!errno NAME" makes read() and pread() fail with that
 * error, as the kernel does for a disabled channel (ENODATA) or for a device
 * whose driver has gone (ENODEV). A plain file cannot do this, FUSE needs a
 * right that few have, and a replaced function inside the program under test
 * would leave its own reading out of the test.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#define MARK "!errno "

static const struct { const char *name; int code; } KNOWN[] = {
    {"ENODATA", ENODATA}, {"ENODEV", ENODEV}, {"EIO", EIO}, {"EAGAIN", EAGAIN},
    {"EBUSY", EBUSY}, {"ETIMEDOUT", ETIMEDOUT}, {"EREMOTEIO", EREMOTEIO}, {"EACCES", EACCES},
};

static ssize_t judge(const char *text, ssize_t size)
{
    size_t mark = strlen(MARK);
    if (size <= (ssize_t)mark || memcmp(text, MARK, mark) != 0)
        return size;
    for (size_t i = 0; i < sizeof KNOWN / sizeof *KNOWN; i++) {
        size_t length = strlen(KNOWN[i].name);
        if (size >= (ssize_t)(mark + length) && memcmp(text + mark, KNOWN[i].name, length) == 0) {
            errno = KNOWN[i].code;
            return -1;
        }
    }
    return size;
}

ssize_t read(int fd, void *buffer, size_t size)
{
    static ssize_t (*real)(int, void *, size_t);
    if (!real)
        real = (ssize_t (*)(int, void *, size_t))dlsym(RTLD_NEXT, "read");
    return judge(buffer, real(fd, buffer, size));
}

ssize_t pread(int fd, void *buffer, size_t size, off_t offset)
{
    static ssize_t (*real)(int, void *, size_t, off_t);
    if (!real)
        real = (ssize_t (*)(int, void *, size_t, off_t))dlsym(RTLD_NEXT, "pread");
    return judge(buffer, real(fd, buffer, size, offset));
}

ssize_t pread64(int fd, void *buffer, size_t size, off64_t offset)
{
    static ssize_t (*real)(int, void *, size_t, off64_t);
    if (!real)
        real = (ssize_t (*)(int, void *, size_t, off64_t))dlsym(RTLD_NEXT, "pread64");
    return judge(buffer, real(fd, buffer, size, offset));
}
