/* SPDX-License-Identifier: Apache-2.0 */
#include "control/people/letters.h"
#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <time.h>
#include "base/backoff.h"
#include "base/clock.h"
#include "base/log.h"
#include "control/live.h"

#define LETTERS_MAX      1000
#define LETTERS_TRIES    6
#define LETTERS_FIRST_MS 1000
#define LETTERS_LATER_MS 60000

struct letter_waiting {
    struct letter_waiting *next;
    struct live *live;
    uint64_t due_ms; /* by the monotonic clock */
    unsigned tries;
    enum letter letter;
    char address[256];
    char ticket[64];
};

struct letters {
    uint32_t magic;
#define LETTERS_MAGIC UINT32_C(0x1e77e255)
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    bool is_stopping;
    unsigned count;
    struct letter_waiting *first, **last;
};

/* --- what they say ---------------------------------------------------------------------------- */

static const struct {
    const char *subject;
    const char *before; /* the link */
    const char *path;   /* of the page; NULL: no link */
    const char *behind;
} letter_texts[] = {
    [LETTER_CONFIRM] =
        {
            "Confirm your address",
            "Somebody, you we hope, has signed up with this address. Open this link within a day "
            "to\nconfirm it, then log in with the password that you chose:\n\n",
            "/#/confirm/",
            "\n\nIf it was not you, do nothing: no account is made without this link.\n",
        },
    [LETTER_TAKEN] =
        {
            "You have an account already",
            "Somebody, perhaps you, has tried to sign up with this address, which has an account "
            "already.\nLog in with its password; if you have forgotten it, ask for a new one "
            "there:\n\n",
            "/",
            "\n\nIf it was not you, there is nothing to do: they have learnt nothing.\n",
        },
    [LETTER_RESET] =
        {
            "Choose a new password",
            "Somebody, you we hope, has asked for a new password for your account. Open this link "
            "within\nan hour to choose one:\n\n",
            "/#/reset/",
            "\n\nIf it was not you, do nothing: your password stays as it is.\n",
        },
};

static int letter_send(const struct letter_waiting *w, struct err *err)
{
    struct buf text = BUF_EMPTY;
    buf_puts(&text, letter_texts[w->letter].before);
    buf_printf(&text, "%s%s%s", w->live->public_url, letter_texts[w->letter].path, w->ticket);
    buf_puts(&text, letter_texts[w->letter].behind);
    int r = buf_error(&text);
    if (r == 0)
        r = mail_send(&w->live->outside->mail, w->address, letter_texts[w->letter].subject,
                      buf_str(&text), err);
    if (text.data != NULL)
        OPENSSL_cleanse(text.data, text.cap_size);
    buf_free(&text);
    return r;
}

/* --- the queue -------------------------------------------------------------------------------- */

static void letter_free(struct letter_waiting *w)
{
    live_unref(w->live);
    OPENSSL_cleanse(w->ticket, sizeof w->ticket);
    free(w);
}

/* Takes one out whose time has come; NULL: none, *ret_due_ms is when the next will. Under lock. */
static struct letter_waiting *letters_take(struct letters *q, uint64_t now_ms, uint64_t *ret_due_ms)
{
    *ret_due_ms = UINT64_MAX;
    for (struct letter_waiting **at = &q->first; *at != NULL; at = &(*at)->next) {
        struct letter_waiting *w = *at;
        if (w->due_ms > now_ms) {
            *ret_due_ms = MIN(*ret_due_ms, w->due_ms);
            continue;
        }
        *at = w->next;
        if (*at == NULL)
            q->last = at;
        q->count--;
        return w;
    }
    return NULL;
}

/* Under lock. */
static void letters_put(struct letters *q, struct letter_waiting *w)
{
    w->next = NULL;
    *q->last = w;
    q->last = &w->next;
    q->count++;
}

/* Under lock; until something changes, or that time. */
static void letters_wait(struct letters *q, uint64_t due_ms)
{
    const struct timespec until = {.tv_sec = (time_t)(due_ms / 1000),
                                   .tv_nsec = (long)(due_ms % 1000 * 1000000)};
    if (due_ms == UINT64_MAX)
        (void)pthread_cond_wait(&q->changed, &q->lock);
    else
        (void)pthread_cond_timedwait(&q->changed, &q->lock, &until);
}

/* Whether it is to be tried again: what may pass is, what the server refuses for good is not. */
static bool letters_send(struct letter_waiting *w)
{
    struct err err = {""};
    int r = letter_send(w, &err);
    w->tries++;
    if (r < 0 && r != -EPROTO && r != -EINVAL && w->tries < LETTERS_TRIES) {
        w->due_ms = clock_mono_ms() + backoff_ms(w->tries, LETTERS_FIRST_MS, LETTERS_LATER_MS);
        return true;
    }
    if (r < 0)
        log_warn("a letter was not sent: %s", err.text);
    return false;
}

static void *letters_run(void *arg)
{
    struct letters *q = arg;
    uint64_t due_ms = 0;
    (void)pthread_mutex_lock(&q->lock);
    while (!q->is_stopping) {
        struct letter_waiting *w = letters_take(q, clock_mono_ms(), &due_ms);
        if (w == NULL) {
            letters_wait(q, due_ms);
            continue;
        }
        (void)pthread_mutex_unlock(&q->lock);
        bool again = letters_send(w);
        if (!again)
            letter_free(w);
        (void)pthread_mutex_lock(&q->lock);
        if (again)
            letters_put(q, w);
    }
    (void)pthread_mutex_unlock(&q->lock);
    return NULL;
}

int letters_new(struct letters **ret)
{
    struct letters *q = calloc(1, sizeof *q);
    pthread_condattr_t attr;
    if (q == NULL)
        return -ENOMEM;
    q->magic = LETTERS_MAGIC;
    q->last = &q->first;
    (void)pthread_mutex_init(&q->lock, NULL); /* default attributes: cannot fail */
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&q->changed, &attr);
    (void)pthread_condattr_destroy(&attr);
    int r = pthread_create(&q->thread, NULL, letters_run, q);
    q->has_thread = r == 0;
    if (r != 0) {
        letters_free(q);
        return -r;
    }
    *ret = q;
    return 0;
}

int letters_write(struct letters *q, struct live *l, enum letter letter, const char *address,
                  const char *ticket)
{
    ASSERT(q != NULL && q->magic == LETTERS_MAGIC);
    struct letter_waiting *w = calloc(1, sizeof *w);
    if (w == NULL)
        return -ENOMEM;
    w->letter = letter;
    w->live = live_ref(l);
    int r = str_copy(str_of(address), w->address, sizeof w->address);
    if (r == 0 && ticket != NULL)
        r = str_copy(str_of(ticket), w->ticket, sizeof w->ticket);
    (void)pthread_mutex_lock(&q->lock);
    if (r == 0 && (q->is_stopping || q->count >= LETTERS_MAX))
        r = -EAGAIN;
    bool put = r == 0 && letter != LETTER_NONE;
    if (put) {
        letters_put(q, w);
        (void)pthread_cond_broadcast(&q->changed);
    }
    (void)pthread_mutex_unlock(&q->lock);
    if (!put)
        letter_free(w);
    return r;
}

void letters_stop(struct letters *q)
{
    if (q == NULL)
        return;
    ASSERT(q->magic == LETTERS_MAGIC);
    (void)pthread_mutex_lock(&q->lock);
    q->is_stopping = true;
    (void)pthread_cond_broadcast(&q->changed);
    (void)pthread_mutex_unlock(&q->lock);
    if (q->has_thread)
        (void)pthread_join(q->thread, NULL);
    q->has_thread = false;
}

struct letters *letters_free(struct letters *q)
{
    if (q == NULL)
        return NULL;
    letters_stop(q);
    while (q->first != NULL) {
        struct letter_waiting *next = q->first->next;
        letter_free(q->first);
        q->first = next;
    }
    (void)pthread_cond_destroy(&q->changed);
    (void)pthread_mutex_destroy(&q->lock);
    MAGIC_CLEAR(q);
    free(q);
    return NULL;
}
