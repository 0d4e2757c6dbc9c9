/* SPDX-License-Identifier: Apache-2.0 */
/* catalog_sync_test.c - goal: a sync that fails acknowledges nothing, is never tried again, and
 * loses nothing that was acknowledged, neither at once nor when the power fails after a restart.
 * Method: a simulated disk below the catalog's files. What is written is seen by everybody at once,
 * as in a kernel's memory, and reaches the disk by a sync; a sync that fails writes some of it, and
 * forgets the rest. Random histories; what counts in the end is what a catalog finds on the disk.
 */
#include "base/test.h"
#include "catalog/catalog_internal.h"
#include "os/os.h"

#include <fcntl.h>
#include <unistd.h>

#define ORG "0123456789ABCDEF01234567@AdobeOrg"

enum { DIRTY_MAX = 8192, FILES_MAX = 16, OBJECTS_MAX = 64, RUNS = 60 };

/* The disk ------------------------------------------------------------------------------------ */

typedef struct range {
    sqlite3_int64 at;
    int len;
} range;

typedef struct medium { /* a file */
    char seen[128];     /* the file as all see it */
    char disk[128];     /* as it is on the disk */
    range dirty[DIRTY_MAX];
    uint32_t dirty_count;
    bool is_cut; /* its end has changed since it was synced */
    const sqlite3_io_methods *kernel;
    sqlite3_io_methods methods;
} medium;

static struct disk {
    medium files[2]; /* database, log */
    uint64_t random;
    uint32_t syncs, sync_to_fail;  /* counted from 1; 0: none */
    uint32_t writes, write_to_die; /* the power fails before this one */
    uint32_t syncs_after_failure;
    int failed_file; /* -1: none yet */
    bool is_dead;
} disk;

static struct {
    sqlite3_file *file;
    medium *of;
} opened[FILES_MAX];

static sqlite3_vfs *kernel_vfs;

static medium *medium_of(const sqlite3_file *file)
{
    for (int i = 0; i < FILES_MAX; i++)
        if (opened[i].file == file)
            return opened[i].of;
    abort();
}

static void copy_range(int from, int to, range what)
{
    static char bytes[1 << 16];
    const ssize_t got = pread(from, bytes, (size_t)what.len, what.at);
    if (got > 0 && pwrite(to, bytes, (size_t)got, what.at) != got)
        abort();
}

static void cut(const medium *m)
{
    uint64_t bytes = 0;
    if (tr_file_bytes(m->seen, &bytes, NULL) == TR_OK && tr_path_exists(m->disk) &&
        truncate(m->disk, (off_t)bytes) != 0)
        abort();
}

/* percent  of what is dirty that reaches the disk; nothing is dirty afterwards */
static void settle(medium *m, unsigned percent)
{
    if (m->is_cut && tr_test_random(&disk.random) % 100 < percent)
        cut(m);
    const int from = open(m->seen, O_RDONLY | O_CLOEXEC);
    const int to = open(m->disk, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    for (uint32_t i = 0; i < m->dirty_count; i++)
        if (tr_test_random(&disk.random) % 100 < percent)
            copy_range(from, to, m->dirty[i]);
    (void)close(from);
    (void)close(to);
    m->dirty_count = 0;
    m->is_cut = false;
}

static void lose_power(void)
{
    for (int i = 0; i < 2; i++)
        settle(&disk.files[i], 50);
    disk.is_dead = true;
}

static int disk_write(sqlite3_file *file, const void *at, int len, sqlite3_int64 offset)
{
    medium *m = medium_of(file);
    if (!disk.is_dead && ++disk.writes == disk.write_to_die)
        lose_power();
    if (disk.is_dead || m->dirty_count == DIRTY_MAX)
        return SQLITE_IOERR_WRITE;
    m->dirty[m->dirty_count++] = (range){offset, len};
    return m->kernel->xWrite(file, at, len, offset);
}

static int disk_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    if (disk.is_dead)
        return SQLITE_IOERR_TRUNCATE;
    medium *m = medium_of(file);
    m->is_cut = true;
    return m->kernel->xTruncate(file, size);
}

static int disk_sync(sqlite3_file *file, int flags)
{
    medium *m = medium_of(file);
    (void)flags;
    if (disk.is_dead)
        return SQLITE_IOERR_FSYNC;
    disk.syncs_after_failure += disk.failed_file >= 0;
    const bool is_failing = ++disk.syncs == disk.sync_to_fail;
    settle(m, is_failing ? 50 : 100);
    if (is_failing)
        disk.failed_file = (int)(m - disk.files);
    return is_failing ? SQLITE_IOERR_FSYNC : SQLITE_OK;
}

static int disk_close(sqlite3_file *file)
{
    medium *m = medium_of(file);
    for (int i = 0; i < FILES_MAX; i++)
        if (opened[i].file == file)
            opened[i].file = NULL;
    return m->kernel->xClose(file);
}

static int no_sync(sqlite3_file *file, int flags)
{
    (void)file;
    (void)flags;
    return SQLITE_OK;
}

/* A file that no power fails for. */
static void leave_alone(sqlite3_file *file, const char *path)
{
    static sqlite3_io_methods methods[2]; /* databases have others than logs */
    const size_t len = strlen(path);
    sqlite3_io_methods *quick = &methods[len > 3 && strcmp(path + len - 3, ".db") == 0];
    *quick = *file->pMethods;
    quick->xSync = no_sync;
    file->pMethods = quick;
}

static int disk_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags, int *out)
{
    (void)vfs;
    const int result = kernel_vfs->xOpen(kernel_vfs, path, file, flags, out);
    if (path == NULL || result != SQLITE_OK)
        return result;
    leave_alone(file, path);
    for (int i = 0; i < 2; i++) {
        medium *m = &disk.files[i];
        int place = 0;
        if (strcmp(path, m->seen) != 0)
            continue;
        while (opened[place].file != NULL)
            if (++place == FILES_MAX)
                abort();
        opened[place].file = file;
        opened[place].of = m;
        m->kernel = file->pMethods;
        m->methods = *m->kernel;
        m->methods.xWrite = disk_write;
        m->methods.xTruncate = disk_truncate;
        m->methods.xSync = disk_sync;
        m->methods.xClose = disk_close;
        file->pMethods = &m->methods;
    }
    return result;
}

static int disk_delete(sqlite3_vfs *vfs, const char *path, int must_sync)
{
    (void)vfs;
    for (int i = 0; i < 2; i++) {
        medium *m = &disk.files[i];
        if (strcmp(path, m->seen) != 0)
            continue;
        if (disk.is_dead)
            return SQLITE_IOERR_DELETE;
        m->dirty_count = 0;
        m->is_cut = false;
        CHECK(tr_file_remove(m->disk, NULL) == TR_OK);
    }
    return kernel_vfs->xDelete(kernel_vfs, path, must_sync);
}

static void install_disk(void)
{
    static sqlite3_vfs vfs;
    kernel_vfs = sqlite3_vfs_find(NULL);
    vfs = *kernel_vfs;
    vfs.pNext = NULL;
    vfs.zName = "disk";
    vfs.xOpen = disk_open;
    vfs.xDelete = disk_delete;
    CHECK(sqlite3_vfs_register(&vfs, 1) == SQLITE_OK); /* the default: the catalog's is above it */
}

/* A history ----------------------------------------------------------------------------------- */

typedef struct history {
    char folder[64], path[96], on_disk[96];
    tr_catalog *catalog;
    sqlite3 *side; /* another connection, for checkpoints */
    tr_tenant tenant;
    bool is_acknowledged[OBJECTS_MAX];
    uint32_t count;
} history;

static uint64_t draw(uint64_t below)
{
    return tr_test_random(&disk.random) % below;
}

static tr_code open_catalog(history *h, const char *path, tr_err *err)
{
    TR_TRY(tr_catalog_open(path, &h->catalog, err));
    TR_TRY(tr_catalog_org_ensure(h->catalog, ORG, err));
    TR_TRY(tr_catalog_tenant(h->catalog, ORG, "prod", &h->tenant, err));
    if (sqlite3_open_v2(path, &h->side, SQLITE_OPEN_READWRITE, tr_catalog_vfs()) != SQLITE_OK)
        return TR_FAIL(err, TR_IO, "no side connection");
    /* it must have read something to know of the log */
    const int result = sqlite3_exec(h->side, "SELECT count(*) FROM org", NULL, NULL, NULL);
    return result == SQLITE_OK ? TR_OK : TR_FAIL(err, TR_IO, "the side connection reads nothing");
}

static void close_catalog(history *h)
{
    (void)sqlite3_close(h->side);
    tr_catalog_close(h->catalog);
    h->side = NULL;
    h->catalog = NULL;
}

static tr_code insert(history *h)
{
    tr_object object = {0};
    static char text[20000];
    const size_t len = draw(sizeof text - 1);
    memset(text, 'a' + (int)(h->count % 26), len);
    text[len] = '\0';
    (void)snprintf(object.id, sizeof object.id, "%u", h->count);
    object.doc = json_pack("{s:s}", "text", text);
    const tr_code code = tr_catalog_insert(h->catalog, &h->tenant, "thing", &object, NULL);
    h->is_acknowledged[h->count++] = code == TR_OK;
    tr_object_clear(&object);
    return code;
}

static bool has_all(history *h)
{
    bool is_good = true;
    for (uint32_t i = 0; i < h->count; i++) {
        tr_object object = {0};
        char id[16];
        (void)snprintf(id, sizeof id, "%u", i);
        const tr_code code = tr_catalog_get(h->catalog, &h->tenant, "thing", id, &object, NULL);
        if (h->is_acknowledged[i] ? code != TR_OK : code != TR_OK && code != TR_NOT_FOUND)
            is_good = false;
        tr_object_clear(&object);
    }
    sqlite3_stmt *ask = NULL;
    is_good = is_good &&
              sqlite3_prepare_v2(h->side, "PRAGMA integrity_check", -1, &ask, NULL) == SQLITE_OK;
    is_good = is_good && sqlite3_step(ask) == SQLITE_ROW &&
              strcmp((const char *)sqlite3_column_text(ask, 0), "ok") == 0;
    (void)sqlite3_finalize(ask);
    return is_good;
}

/* Commits and checkpoints, until the disk fails or the count is reached. */
static void live(history *h, uint32_t count)
{
    for (uint32_t i = 0; i < count && !tr_os_has_lost_sync() && !disk.is_dead; i++) {
        const tr_code code = insert(h);
        CHECK(code == TR_OK || tr_os_has_lost_sync() || disk.is_dead);
        if (draw(4) == 0)
            (void)sqlite3_wal_checkpoint_v2(
                h->side, NULL, draw(2) ? SQLITE_CHECKPOINT_PASSIVE : SQLITE_CHECKPOINT_TRUNCATE,
                NULL, NULL);
    }
}

static int sync_nothing(int fd)
{
    (void)fd;
    return 0;
}

/* Forgets a lost sync, too. */
static void quick_folders(void)
{
    static tr_os table;
    table = tr_os_kernel;
    table.fsync = sync_nothing;
    tr_os_replace(&table);
}

static void begin_history(history *h, uint64_t seed)
{
    *h = (history){0};
    memset(&disk, 0, sizeof disk);
    disk.random = seed;
    disk.failed_file = -1;
    (void)snprintf(h->folder, sizeof h->folder, "/tmp/catalog_sync.XXXXXX");
    CHECK(mkdtemp(h->folder) != NULL);
    (void)snprintf(h->path, sizeof h->path, "%s/catalog.db", h->folder);
    (void)snprintf(h->on_disk, sizeof h->on_disk, "%s/disk", h->folder);
    CHECK(tr_dir_make(h->on_disk, NULL) == TR_OK);
    (void)snprintf(h->on_disk, sizeof h->on_disk, "%s/disk/catalog.db", h->folder);
    for (int i = 0; i < 2; i++) {
        medium *m = &disk.files[i];
        (void)snprintf(m->seen, sizeof m->seen, "%s%s", h->path, i == 0 ? "" : "-wal");
        (void)snprintf(m->disk, sizeof m->disk, "%s%s", h->on_disk, i == 0 ? "" : "-wal");
    }
    quick_folders();
    CHECK(open_catalog(h, h->path, NULL) == TR_OK);
}

/* The power fails, if it has not, and what is on the disk is looked at. */
static bool is_kept(history *h)
{
    tr_err err = {0};
    if (!disk.is_dead)
        lose_power();
    close_catalog(h);
    quick_folders();
    bool is_good = open_catalog(h, h->on_disk, &err) == TR_OK;
    if (!is_good)
        printf("%s\n", err.text);
    is_good = is_good && has_all(h);
    close_catalog(h);
    CHECK(tr_dir_remove(h->folder, NULL) == TR_OK);
    return is_good;
}

/* Tests --------------------------------------------------------------------------------------- */

static int told;

static void count_told(const char *name, int cause)
{
    (void)name;
    (void)cause;
    told++;
}

static void after_a_lost_sync_nothing_is_acknowledged_nor_synced(void)
{
    uint32_t by_file[2] = {0};
    const uint64_t seed = tr_test_seed(0x5157);
    for (uint64_t run = 0; run < RUNS; run++) {
        history h;
        begin_history(&h, seed * RUNS + run + 1);
        disk.sync_to_fail = disk.syncs + 1 + (uint32_t)draw(20);
        told = 0;
        live(&h, 30);
        if (disk.failed_file >= 0) {
            by_file[disk.failed_file]++;
            CHECK(told == 1 && tr_os_has_lost_sync());
            CHECK(insert(&h) == TR_IO && tr_catalog_begin(h.catalog, NULL) == TR_IO);
            CHECK(has_all(&h)); /* reads go on */
            (void)sqlite3_wal_checkpoint_v2(h.side, NULL, SQLITE_CHECKPOINT_FULL, NULL, NULL);
            close_catalog(&h);
            CHECK(disk.syncs_after_failure == 0);
        }
        const bool is_good = is_kept(&h);
        if (!is_good)
            printf("run %llu loses something\n", (unsigned long long)run);
        CHECK(is_good);
    }
    printf("lost by database %u, by log %u\n", by_file[0], by_file[1]);
    CHECK(by_file[0] > RUNS / 20 && by_file[1] > RUNS / 20);
}

static void nothing_is_lost_when_the_power_fails_after_the_restart(void)
{
    uint32_t lost = 0, died = 0;
    const uint64_t seed = tr_test_seed(0x5158);
    for (uint64_t run = 0; run < RUNS; run++) {
        history h;
        begin_history(&h, seed * RUNS + run + 1);
        disk.sync_to_fail = disk.syncs + 1 + (uint32_t)draw(20);
        live(&h, 30);
        lost += tr_os_has_lost_sync();
        if (draw(2))
            close_catalog(&h); /* in order; else it is killed, as far as one can here */
        else
            disk.is_dead = true, close_catalog(&h), disk.is_dead = false;
        quick_folders(); /* a new process */
        disk.failed_file = -1;
        disk.sync_to_fail = 0;
        disk.write_to_die = disk.writes + 1 + (uint32_t)draw(60);
        const tr_code code = open_catalog(&h, h.path, NULL);
        CHECK(code == TR_OK || disk.is_dead);
        if (code == TR_OK)
            CHECK(has_all(&h));
        if (code == TR_OK)
            live(&h, 12);
        died += disk.is_dead;
        const bool is_good = is_kept(&h);
        if (!is_good)
            printf("run %llu loses something\n", (unsigned long long)run);
        CHECK(is_good);
    }
    CHECK(lost > RUNS / 2 && died > RUNS / 4);
}

int main(void)
{
    int passed = 0, failed = 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    install_disk();
    tr_os_on_lost_sync(count_told);
    RUN(after_a_lost_sync_nothing_is_acknowledged_nor_synced);
    RUN(nothing_is_lost_when_the_power_fails_after_the_restart);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
