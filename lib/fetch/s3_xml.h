/* SPDX-License-Identifier: Apache-2.0 */
/* s3_xml: the few elements of S3's answers that matter, out of XML from a server not ours.
 *
 * It reads elements, text, CDATA, comments and the five named and the numeric entities; namespace
 * prefixes and attributes are skipped. It refuses document types, and anything whose tags do not
 * match: an answer that was cut short never looks whole. Numeric entities for characters that XML
 * does not allow are taken: keys with such characters are sent so.
 *
 * Life:    none: answers are read where they are.
 * Owner:   the caller's bytes; struct str given to a callback are valid within it.
 * Threads: any.
 * Errors:  -EBADMSG: not well-formed, too deep, or not the document that was asked for. *ret is
 *          undefined then.
 * Units:   bytes.
 * Source:  XML 1.0; Amazon S3 API reference, version 2006-03-01. */
#pragma once
#include "base/str.h"

#define S3_XML_DEPTH_MAX   16
#define S3_XML_TEXT_MAX    4096 /* of one element that is looked at; the others may be longer */
#define S3_XML_TOKEN_SIZE  2048
#define S3_XML_UPLOAD_SIZE 1024

struct s3_xml_error { /* texts too long are cut */
    char code[64];
    char message[256];
    char region[64]; /* where the bucket is, if it is elsewhere */
};

MUST_USE int s3_xml_error(struct str text, struct s3_xml_error *ret);

/* Of ListObjectsV2. each returns false to end early; *ret is whole even then. */
typedef bool s3_xml_each(void *arg, struct str key, uint64_t size);
struct s3_xml_page {
    bool is_truncated;
    char token[S3_XML_TOKEN_SIZE]; /* "" when there is none */
};
MUST_USE int s3_xml_page(struct str text, s3_xml_each *each, void *arg, struct s3_xml_page *ret);

/* Of CreateMultipartUpload. */
MUST_USE int s3_xml_upload(struct str text, char ret[S3_XML_UPLOAD_SIZE]);

/* Of CompleteMultipartUpload, which may say <Error> with status 200: 1, and *ret is filled. */
MUST_USE int s3_xml_complete(struct str text, struct s3_xml_error *ret);
