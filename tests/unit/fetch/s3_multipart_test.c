/* SPDX-License-Identifier: Apache-2.0 */
/* Uploads in parts that go wrong in the middle, on a scripted server. */
#include "fetch/s3_tier.h"
#include "tier_script.h"

#define SIZE  (11 * MIB) /* three parts of at most 5 MiB */
#define PARTS 3

enum what { BEGIN, PART, COMPLETE, ABORT, LOOK, WHATS };

struct step { /* how a request is answered that would go well otherwise */
    const char *status, *body;
};

struct upload {
    struct script script;
    pthread_mutex_t lock;
    int counts[WHATS];
    size_t part_bytes;
    char completed_with[2048];
    /* The plan. */
    struct step steps[WHATS][4]; /* of the first requests of each kind; status NULL: well */
    bool parts_without_etag;
    uint64_t look_size;
    bool parts_stall;
    uint32_t begin_delay_ms; /* from when begin_held ends */
    atomic_bool begin_held;
};

static struct place place;
static struct upload up;

#define ERROR_BODY(code) "<Error><Code>" code "</Code><Message>m</Message></Error>"

static enum what what_of(const struct script_request *q)
{
    if (strcmp(q->method, "POST") == 0)
        return strstr(q->target, "?uploads=") != NULL ? BEGIN : COMPLETE;
    if (strcmp(q->method, "PUT") == 0)
        return PART;
    return strcmp(q->method, "HEAD") == 0 ? LOOK : ABORT;
}

static void serve_good(struct script_request *q, enum what what)
{
    char text[256];
    unsigned number = 0;
    switch (what) {
    case BEGIN:
        script_answer(q, "200 OK", "",
                      "<InitiateMultipartUploadResult><UploadId>a+b/c=&amp;d</UploadId>"
                      "</InitiateMultipartUploadResult>");
        return;
    case PART:
        assert_non_null(strstr(q->target, "&uploadId=a%2Bb%2Fc%3D%26d"));
        assert_int_equal(sscanf(strstr(q->target, "partNumber="), "partNumber=%u", &number), 1);
        (void)snprintf(text, sizeof text, "ETag: \"part&%u\"\r\n", number);
        script_answer(q, "200 OK", up.parts_without_etag ? "" : text, "");
        return;
    case COMPLETE:
        script_answer(q, "200 OK", "",
                      "<CompleteMultipartUploadResult></CompleteMultipartUploadResult>");
        return;
    case LOOK:
        (void)snprintf(text, sizeof text,
                       "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %llu\r\n\r\n",
                       (unsigned long long)up.look_size);
        script_say(q, text);
        return;
    case ABORT:
    case WHATS:
        script_answer(q, "204 No Content", "", "");
        return;
    }
}

static void serve(struct script_request *q)
{
    enum what what = what_of(q);
    (void)pthread_mutex_lock(&up.lock);
    int count = up.counts[what]++;
    if (what == PART)
        up.part_bytes += q->body_size;
    if (what == COMPLETE)
        (void)snprintf(up.completed_with, sizeof up.completed_with, "%.2000s", q->body);
    (void)pthread_mutex_unlock(&up.lock);
    while (what == BEGIN && atomic_load(&up.begin_held))
        (void)usleep(1000);
    if (what == BEGIN)
        (void)usleep(up.begin_delay_ms * 1000);
    if (what == PART && up.parts_stall) {
        script_stall(q);
        return;
    }
    const struct step *step = count < 4 ? &up.steps[what][count] : NULL;
    if (step == NULL || step->status == NULL)
        serve_good(q, what);
    else if (step->status[0] != '\0') /* else: the connection is cut */
        script_answer(q, step->status, "", step->body);
}

static int start(void **state)
{
    (void)state;
    place = place_new();
    (void)place_file(&place, "access", "AKIDEXAMPLE\n");
    (void)place_file(&place, "secret", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY\n");
    return 0;
}

static int stop(void **state)
{
    (void)state;
    place_remove(&place);
    return 0;
}

static struct store_tier *upload_tier(void)
{
    script_start(&up.script, serve, NULL);
    (void)pthread_mutex_init(&up.lock, NULL);
    const struct s3_options o = {
        .endpoint = up.script.url,
        .bucket = "media",
        .access_key_file = place_file(&place, "access", NULL),
        .secret_key_file = place_file(&place, "secret", NULL),
        .multipart_size = 5 << 20,
        .backoff_ms = 1,
        .retries = 2,
        .stall_ms = 30000,
        .breaker_failures = 100,
    };
    struct store_tier *t = NULL;
    struct err err = {""};
    if (s3_tier_new(&o, &err, &t) < 0)
        fail_msg("%s", err.text);
    return t;
}

/* One put under the plan in up. */
static void assert_upload(int res, int begins, int completes, int aborts)
{
    struct store_tier *t = upload_tier();
    struct digest d;
    struct rbuf *b = blob_make(SIZE, 1, &d);
    assert_int_equal(tier_put(t, &d, b), res);
    (void)rbuf_unref(b);
    (void)t->ops->free(t); /* an abort is done by then */
    script_stop(&up.script);
    assert_int_equal(up.counts[BEGIN], begins);
    assert_int_equal(up.counts[COMPLETE], completes);
    assert_int_equal(up.counts[ABORT], aborts);
    (void)pthread_mutex_destroy(&up.lock);
}

static void reset(void **state)
{
    (void)state;
    up = (struct upload){.look_size = SIZE};
}

static void all_parts_are_named_in_order(void **state)
{
    reset(state);
    assert_upload(0, 1, 1, 0);
    assert_int_equal(up.counts[PART], PARTS);
    assert_int_equal(up.part_bytes, SIZE);
    const char *at = up.completed_with;
    for (int i = 1; i <= PARTS; i++) {
        char want[128];
        (void)snprintf(
            want, sizeof want,
            "<Part><ETag>&quot;part&amp;%d&quot;</ETag><PartNumber>%d</PartNumber></Part>", i, i);
        at = strstr(at, want);
        assert_non_null(at);
    }
}

static void every_step_is_tried_again(void **state)
{
    reset(state);
    static const struct step later = {"503 Slow Down", ERROR_BODY("SlowDown")};
    static const struct step cut = {"", NULL};
    up.steps[BEGIN][0] = up.steps[PART][1] = up.steps[COMPLETE][0] = later;
    up.steps[BEGIN][1] = up.steps[PART][2] = cut;
    assert_upload(0, 3, 2, 0);
    assert_int_equal(up.counts[PART], PARTS + 2);
}

static void an_error_may_come_with_200(void **state)
{
    reset(state);
    up.steps[COMPLETE][0] = (struct step){"200 OK", " \n" ERROR_BODY("InternalError")};
    assert_upload(0, 1, 2, 0);
    reset(state);
    up.steps[COMPLETE][0] = (struct step){"200 OK", ERROR_BODY("InvalidPart")};
    assert_upload(-EBADMSG, 1, 1, 1);
    reset(state);
    up.steps[COMPLETE][0] = (struct step){"200 OK", ERROR_BODY("AccessDenied")};
    up.steps[COMPLETE][1] = up.steps[COMPLETE][0];
    assert_upload(-EBADMSG, 1, 1, 1);
    reset(state);
    up.steps[COMPLETE][0] = (struct step){"200 OK", "<CompleteMultipartUploadResult><Loca"};
    assert_upload(-EBADMSG, 1, 1, 1);
    reset(state);
    up.steps[COMPLETE][0] = (struct step){"200 OK", ""};
    assert_upload(-EBADMSG, 1, 1, 1);
}

static void a_lost_answer_to_complete_is_looked_after(void **state)
{
    reset(state);
    up.steps[COMPLETE][0] = (struct step){"", NULL};
    up.steps[COMPLETE][1] = (struct step){"404 Not Found", ERROR_BODY("NoSuchUpload")};
    assert_upload(0, 1, 2, 0);
    assert_int_equal(up.counts[LOOK], 1);
    reset(state);
    up.steps[COMPLETE][0] = (struct step){"", NULL};
    up.steps[COMPLETE][1] = (struct step){"404 Not Found", ERROR_BODY("NoSuchUpload")};
    up.look_size = SIZE - 1; /* something else is there */
    assert_upload(-EBADMSG, 1, 2, 1);
    reset(state);
    up.steps[COMPLETE][0] = (struct step){"404 Not Found", ERROR_BODY("NoSuchUpload")};
    assert_upload(-EBADMSG, 1, 1, 1); /* nothing was lost: there was no upload */
    assert_int_equal(up.counts[LOOK], 0);
}

static void a_part_that_fails_ends_the_upload(void **state)
{
    reset(state);
    up.steps[PART][1] = (struct step){"403 Forbidden", ERROR_BODY("AccessDenied")};
    assert_upload(-EACCES, 1, 0, 1);
    reset(state);
    up.steps[PART][0] = (struct step){"404 Not Found", ""}; /* no S3 service: not an absent blob */
    assert_upload(-EBADMSG, 1, 0, 1);
    reset(state);
    up.parts_without_etag = true;
    assert_upload(-EBADMSG, 1, 0, 1);
}

static void a_begin_that_fails_leaves_nothing(void **state)
{
    static const char *const bodies[] = {
        "",
        "garbage",
        "<InitiateMultipartUploadResult></InitiateMultipartUploadResult>",
        "<InitiateMultipartUploadResult><UploadId>x</UploadId>",
        ERROR_BODY("InternalError"),
    };
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        reset(state);
        up.steps[BEGIN][0] = (struct step){"200 OK", bodies[i]};
        assert_upload(-EBADMSG, 1, 0, 0);
        assert_int_equal(up.counts[PART], 0);
    }
    reset(state);
    up.steps[BEGIN][0] = (struct step){"403 Forbidden", ERROR_BODY("AccessDenied")};
    assert_upload(-EACCES, 1, 0, 0);
}

static void free_aborts_what_it_interrupts(void **state)
{
    reset(state);
    up.parts_stall = true;
    struct store_tier *t = upload_tier();
    struct digest d;
    struct rbuf *b = blob_make(SIZE, 1, &d);
    struct answer a;
    answer_init(&a);
    t->ops->put(t, &d, b, answer_done, &a);
    bool arrived = false;
    while (!arrived) {
        (void)usleep(1000);
        (void)pthread_mutex_lock(&up.lock);
        arrived = up.counts[PART] == PARTS;
        (void)pthread_mutex_unlock(&up.lock);
    }
    (void)t->ops->free(t);
    assert_int_equal(answer_wait(&a), -ECANCELED);
    assert_int_equal(up.counts[ABORT], 1); /* before free came back */
    answer_clear(&a);
    (void)rbuf_unref(b);
    script_stop(&up.script);
    (void)pthread_mutex_destroy(&up.lock);
}

/* The service has begun an upload and has not said so yet. */
static void free_waits_for_the_name_of_what_it_aborts(void **state)
{
    reset(state);
    up.begin_delay_ms = 200; /* in which free begins */
    atomic_store(&up.begin_held, true);
    struct store_tier *t = upload_tier();
    struct digest d;
    struct rbuf *b = blob_make(SIZE, 1, &d);
    struct answer a;
    answer_init(&a);
    t->ops->put(t, &d, b, answer_done, &a);
    while (atomic_load(&up.script.requests) == 0)
        (void)usleep(1000);
    atomic_store(&up.begin_held, false);
    (void)t->ops->free(t);
    assert_int_equal(answer_wait(&a), -ECANCELED);
    assert_int_equal(up.counts[BEGIN], 1);
    assert_int_equal(up.counts[PART], 0);
    assert_int_equal(up.counts[ABORT], 1);
    answer_clear(&a);
    (void)rbuf_unref(b);
    script_stop(&up.script);
    (void)pthread_mutex_destroy(&up.lock);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_parts_are_named_in_order),
        cmocka_unit_test(every_step_is_tried_again),
        cmocka_unit_test(an_error_may_come_with_200),
        cmocka_unit_test(a_lost_answer_to_complete_is_looked_after),
        cmocka_unit_test(a_part_that_fails_ends_the_upload),
        cmocka_unit_test(a_begin_that_fails_leaves_nothing),
        cmocka_unit_test(free_aborts_what_it_interrupts),
        cmocka_unit_test(free_waits_for_the_name_of_what_it_aborts),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
