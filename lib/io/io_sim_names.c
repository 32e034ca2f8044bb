/* SPDX-License-Identifier: Apache-2.0 */
/* The names of the simulated disk: a tree as of now, a tree as of the last syncs, and the list of
 * changes that lead from the one to the other. */
#include <stdlib.h>
#include <string.h>
#include "io/io_sim_disk_priv.h"

void *io_sim_alloc(size_t size)
{
    void *p = calloc(1, size);
    ASSERT(p != NULL);
    return p;
}

static char *io_sim_text(const char *s, size_t size)
{
    char *copy = io_sim_alloc(size + 1);
    memcpy(copy, s, size);
    return copy;
}

/* --- a folder's names ------------------------------------------------------------------------- */

static struct io_sim_entry *io_sim_names_entry(const struct io_sim_names *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++) {
        if (strcmp(names->entries[i].name, name) == 0)
            return &names->entries[i];
    }
    return NULL;
}

struct io_sim_node *io_sim_names_find(const struct io_sim_names *names, const char *name)
{
    const struct io_sim_entry *e = io_sim_names_entry(names, name);
    return e != NULL ? e->node : NULL;
}

void io_sim_names_add(struct io_sim_names *names, const char *name, struct io_sim_node *n)
{
    struct io_sim_entry *e = io_sim_names_entry(names, name);
    if (e != NULL) {
        e->node = n;
        return;
    }
    struct io_sim_entry *more = reallocarray(names->entries, names->count + 1, sizeof *more);
    ASSERT(more != NULL);
    names->entries = more;
    more[names->count++] = (struct io_sim_entry){io_sim_text(name, strlen(name)), n};
}

static bool io_sim_names_take(struct io_sim_names *names, const char *name,
                              const struct io_sim_node *n)
{
    struct io_sim_entry *e = io_sim_names_entry(names, name);
    if (e == NULL || e->node != n)
        return false;
    free(e->name);
    *e = names->entries[--names->count];
    return true;
}

void io_sim_names_free(struct io_sim_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->entries[i].name);
    free(names->entries);
    *names = (struct io_sim_names){0};
}

/* --- paths ------------------------------------------------------------------------------------ */

bool io_sim_disk_covers(const struct io_sim_disk *d, const char *path)
{
    size_t size = strlen(d->root_path);
    return strncmp(path, d->root_path, size) == 0 && (path[size] == '/' || path[size] == 0);
}

/* The folder that holds path, as of now, and the last part of path as a text of the caller's (NULL
 * for the root itself). */
static struct io_sim_node *io_sim_disk_parent(struct io_sim_disk *d, const char *path, char **ret)
{
    ASSERT(io_sim_disk_covers(d, path));
    struct io_sim_node *at = d->root, *folder = d->root;
    char *last = NULL;
    const char *p = path + strlen(d->root_path);
    for (;;) {
        p += strspn(p, "/");
        size_t size = strcspn(p, "/");
        if (size == 0)
            break;
        folder = at;
        free(last);
        last = io_sim_text(p, size);
        at = folder != NULL && folder->is_folder ? io_sim_names_find(&folder->now, last) : NULL;
        p += size;
    }
    *ret = last;
    return folder;
}

struct io_sim_node *io_sim_disk_find(struct io_sim_disk *d, const char *path)
{
    char *name = NULL;
    struct io_sim_node *folder = io_sim_disk_parent(d, path, &name), *n = NULL;
    if (name == NULL)
        n = d->root;
    else if (folder != NULL)
        n = io_sim_names_find(&folder->now, name);
    free(name);
    return n;
}

const char *io_sim_node_name(const struct io_sim_node *n)
{
    return n->name;
}

bool io_sim_node_is_folder(const struct io_sim_node *n)
{
    return n->is_folder;
}

/* --- changes ---------------------------------------------------------------------------------- */

static void io_sim_move_add(struct io_sim_disk *d, const struct io_sim_move *what)
{
    struct io_sim_move *m = io_sim_alloc(sizeof *m);
    *m = *what;
    m->next = NULL;
    *d->last = m;
    d->last = &m->next;
}

/* In the durable tree. One that lacks what it builds on (an earlier change that was lost) does
 * nothing: the names it moves are not there. */
static void io_sim_move_apply(const struct io_sim_move *m)
{
    if (m->from_folder != NULL &&
        !io_sim_names_take(&m->from_folder->durable, m->from_name, m->node))
        return;
    if (m->folder != NULL)
        io_sim_names_add(&m->folder->durable, m->name, m->node);
}

static void io_sim_move_free(struct io_sim_disk *d, struct io_sim_move **at)
{
    struct io_sim_move *m = *at;
    *at = m->next;
    if (d->last == &m->next)
        d->last = at;
    free(m->name);
    free(m->from_name);
    free(m);
}

struct io_sim_node *io_sim_disk_make(struct io_sim_disk *d, const char *path, bool is_folder)
{
    char *name = NULL;
    struct io_sim_node *folder = io_sim_disk_parent(d, path, &name);
    ASSERT(folder != NULL && name != NULL); /* the caller has just made it there */
    struct io_sim_node *n = io_sim_node_new(d, name, is_folder);
    io_sim_names_add(&folder->now, name, n);
    io_sim_move_add(d, &(struct io_sim_move){.folder = folder, .name = name, .node = n});
    return n;
}

void io_sim_disk_rename(struct io_sim_disk *d, const char *from, const char *to)
{
    char *name = NULL, *from_name = NULL;
    struct io_sim_node *from_folder = io_sim_disk_parent(d, from, &from_name);
    struct io_sim_node *folder = io_sim_disk_parent(d, to, &name);
    ASSERT(from_folder != NULL && folder != NULL);
    struct io_sim_node *n = io_sim_names_find(&from_folder->now, from_name);
    ASSERT(n != NULL);
    bool took = io_sim_names_take(&from_folder->now, from_name, n);
    ASSERT(took);
    io_sim_names_add(&folder->now, name, n);
    io_sim_move_add(d, &(struct io_sim_move){.folder = folder,
                                             .name = name,
                                             .from_folder = from_folder,
                                             .from_name = from_name,
                                             .node = n});
}

void io_sim_disk_unlink(struct io_sim_disk *d, const char *path)
{
    char *name = NULL;
    struct io_sim_node *folder = io_sim_disk_parent(d, path, &name);
    ASSERT(folder != NULL && name != NULL);
    struct io_sim_node *n = io_sim_names_find(&folder->now, name);
    ASSERT(n != NULL);
    bool took = io_sim_names_take(&folder->now, name, n);
    ASSERT(took);
    io_sim_move_add(d, &(struct io_sim_move){.from_folder = folder, .from_name = name, .node = n});
}

void io_sim_disk_sync_names(struct io_sim_disk *d, struct io_sim_node *folder)
{
    for (struct io_sim_move **at = &d->first; *at != NULL;) {
        struct io_sim_move *m = *at;
        if (d->journal || m->folder == folder || m->from_folder == folder) {
            io_sim_move_apply(m);
            io_sim_move_free(d, at);
        } else {
            at = &m->next;
        }
    }
}

void io_sim_moves_sync_all(struct io_sim_disk *d)
{
    while (d->first != NULL) {
        io_sim_move_apply(d->first);
        io_sim_move_free(d, &d->first);
    }
}

void io_sim_moves_crash(struct io_sim_disk *d)
{
    uint64_t count = 0, keep;
    for (const struct io_sim_move *m = d->first; m != NULL; m = m->next)
        count++;
    keep = io_sim_random(&d->root->random) % (count + 1);
    bool any = !d->journal && (io_sim_random(&d->root->random) & 1) != 0;
    for (uint64_t i = 0; d->first != NULL; i++) {
        if (any ? (io_sim_random(&d->root->random) & 1) != 0 : i < keep)
            io_sim_move_apply(d->first);
        io_sim_move_free(d, &d->first);
    }
}

void io_sim_moves_free(struct io_sim_disk *d)
{
    while (d->first != NULL)
        io_sim_move_free(d, &d->first);
}
