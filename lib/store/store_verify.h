/* SPDX-License-Identifier: Apache-2.0 */
/* store_verify: reads all that a store holds, and says what is not as it should be.
 *
 * Life:    one call on an open store, opened to read only.
 * Owner:   faults are lent for the call of each.
 * Threads: the caller's; it must be the only one that uses the store.
 * Errors:  0 or -errno with a sentence in err; -EINTR: progress ended it. What is wrong with the
 *          store is a fault, not an error.
 * Units:   bytes.
 *
 * Every live record of every volume is read, its block checksums and the digest of its payload are
 * checked; each entry of the index must be where its extent is and the other way round; the sums in
 * the rows of volumes must be true; and all that refs name must be there. A daemon may write to the
 * store meanwhile: what does not fit is looked up again, and only what has not moved is a fault. */
#pragma once
#include "store/store.h"

enum store_fault_kind {
    STORE_FAULT_DAMAGED, /* a record's bytes are not what they should be */
    STORE_FAULT_FLAGGED, /* likewise, and the store knows it: quarantined */
    STORE_FAULT_AWAY,    /* its volume cannot be read now */
    STORE_FAULT_INDEX,   /* the index contradicts itself */
    STORE_FAULT_MISSING, /* a ref, or the presentation that it names, names what is not there */
};

struct store_fault {
    enum store_fault_kind kind;
    uint32_t volume; /* 0: none */
    uint64_t offset; /* of the record; 0: the volume as a whole */
    bool has_digest;
    struct digest digest;
    const char *ref;  /* its name; NULL: not about one */
    const char *text; /* a sentence without a full stop */
};

struct store_verify {
    uint64_t bytes, bytes_done; /* of live records; a daemon that writes adds to both */
    uint64_t records, blobs, refs, faults;
};

typedef void store_verify_fault(void *arg, const struct store_fault *f);
typedef bool store_verify_progress(void *arg, const struct store_verify *so_far);

/* links: as in struct store_options; NULL: what presentations name is not looked at. ret: filled as
 * far as it got, in every case. */
MUST_USE int store_verify(struct store *s, store_links *links, void *links_arg,
                          store_verify_fault *fault, store_verify_progress *progress, void *arg,
                          struct store_verify *ret, struct err *err);
