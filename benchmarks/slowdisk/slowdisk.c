/*
 * slowdisk: a write capacity for one MariaDB server that is small, fixed, and costs no
 * processor time. Loaded into mariadbd with LD_PRELOAD; the server must run with
 * innodb_flush_log_at_trx_commit=1, so that each commit waits for its redo log.
 *
 *   SLOWDISK_LATENCY_US     added to each sync of the redo log
 *   SLOWDISK_BYTES_PER_S    redo bytes that become durable in a second
 *
 * Only ib_logfile* is slowed. Bytes are counted by how far the log has come, not by the
 * bytes of the writes: the log's last block is written again and again as it fills.
 *
 * build: cc -O2 -shared -fPIC -o slowdisk.so slowdisk.c
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Behind this offset the log is a ring; in front of it are headers, which are not counted. */
#define RING_START 12288
/* How much of an unused second is kept for later. */
#define SAVED_MAX_S 0.005

static double latency_s, bytes_per_s;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static off_t reached;     /* end of the newest redo written */
static double unpaid;     /* redo bytes written since the last sync */
static double free_at;    /* when the disk will have taken all that was synced */

__attribute__((constructor)) static void read_settings(void)
{
    const char *text;
    if ((text = getenv("SLOWDISK_LATENCY_US")))
        latency_s = atof(text) / 1e6;
    if ((text = getenv("SLOWDISK_BYTES_PER_S")))
        bytes_per_s = atof(text);
}

static int is_redo_log(int fd)
{
    char link[32], path[1024];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0)
        return 0;
    path[length] = 0;
    const char *name = strrchr(path, '/');
    return name && strncmp(name, "/ib_logfile", 11) == 0;
}

static void count(int fd, size_t size, off_t offset)
{
    if (bytes_per_s <= 0 || offset < RING_START || !is_redo_log(fd))
        return;
    off_t end = offset + (off_t)size;
    pthread_mutex_lock(&lock);
    /* A write that far behind is the ring's next round. The server never lets the
       newest redo come close to the oldest, so half of the ring tells them apart. */
    int next_round = end + (16 << 20) < reached;
    if (reached == 0 || next_round)
        reached = offset;
    if (end > reached) {
        unpaid += end - reached;
        reached = end;
    }
    pthread_mutex_unlock(&lock);
}

static void wait_for_disk(int fd)
{
    double wait_s = latency_s;
    if ((latency_s <= 0 && bytes_per_s <= 0) || !is_redo_log(fd))
        return;
    if (bytes_per_s > 0) {
        struct timespec time;
        clock_gettime(CLOCK_MONOTONIC, &time);
        double now = time.tv_sec + time.tv_nsec / 1e9;
        pthread_mutex_lock(&lock);
        if (free_at < now - SAVED_MAX_S)
            free_at = now - SAVED_MAX_S;
        free_at += unpaid / bytes_per_s;
        unpaid = 0;
        if (free_at > now)
            wait_s += free_at - now;
        pthread_mutex_unlock(&lock);
    }
    struct timespec nap = {(time_t)wait_s, (long)((wait_s - (time_t)wait_s) * 1e9)};
    nanosleep(&nap, NULL);
}

/* The C library's own function of this name. */
#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    count(fd, size, offset);
    return NEXT(pwrite)(fd, data, size, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset)
{
    count(fd, size, offset);
    return NEXT(pwrite64)(fd, data, size, offset);
}

int fsync(int fd)
{
    int result = NEXT(fsync)(fd);
    wait_for_disk(fd);
    return result;
}

int fdatasync(int fd)
{
    int result = NEXT(fdatasync)(fd);
    wait_for_disk(fd);
    return result;
}
