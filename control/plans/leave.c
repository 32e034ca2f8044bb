/* SPDX-License-Identifier: Apache-2.0 */
#include "control/plans/leave.h"
#include <errno.h>
#include <stdlib.h>

struct leave {
    struct leases *leases;
    leave_done *cb;
    void *arg;
    unsigned waiting; /* calls that have not answered */
    int res;          /* the first failure */
    char user[];
};

static void leave_answered(struct leave *v, int res)
{
    if (res < 0 && res != -ENOENT && v->res == 0)
        v->res = res;
    ASSERT(v->waiting > 0);
    if (--v->waiting > 0)
        return;
    v->cb(v->arg, v->res);
    free(v);
}

static void leave_on_end(void *arg, int res, const struct lease *active, unsigned count)
{
    (void)active, (void)count;
    leave_answered(arg, res);
}

static void leave_on_list(void *arg, int res, const struct lease *active, unsigned count)
{
    struct leave *v = arg;
    int worst = res;
    for (unsigned i = 0; res == 0 && i < count; i++) {
        int r = lease_end(v->leases, str_of(v->user), active[i].session, leave_on_end, v);
        if (r == 0)
            v->waiting++;
        else if (worst == 0)
            worst = r;
    }
    leave_answered(v, worst);
}

int leave_all(struct leases *l, const char *user, leave_done *cb, void *arg)
{
    size_t size = strlen(user) + 1;
    struct leave *v = malloc(sizeof *v + size);
    if (v == NULL)
        return -ENOMEM;
    *v = (struct leave){.leases = l, .cb = cb, .arg = arg, .waiting = 1};
    memcpy(v->user, user, size);
    int r = lease_list(l, str_of(v->user), leave_on_list, v);
    if (r < 0)
        free(v);
    return r;
}
