/* SPDX-License-Identifier: Apache-2.0 */
#include "fetch/s3_xml.h"
#include <errno.h>

/* --- a walk over the tags --------------------------------------------------------------------- */

enum xml_event { XML_OPEN, XML_CLOSE, XML_END, XML_BAD };

struct xml_walk {
    struct str rest;
    struct str names[S3_XML_DEPTH_MAX]; /* those that are open, without their prefix */
    struct str tags[S3_XML_DEPTH_MAX];  /* with it */
    unsigned depth;
    bool root_seen;
    bool closes_itself; /* <x/>: XML_OPEN was told, XML_CLOSE comes next */
    struct str closed;  /* XML_CLOSE: whose end that was; depth is what is left */
    size_t text_size;   /* what stood directly before the tag */
    bool text_is_cut;
    char text[S3_XML_TEXT_MAX];
};

static void xml_text_put(struct xml_walk *w, const char *data, size_t size)
{
    if (size > sizeof w->text - w->text_size) {
        w->text_is_cut = true;
        return;
    }
    memcpy(w->text + w->text_size, data, size);
    w->text_size += size;
}

static void xml_text_put_code(struct xml_walk *w, uint32_t c)
{
    char out[4];
    size_t n = 0;
    if (c < 0x80) {
        out[n++] = (char)c;
    } else if (c < 0x800) {
        out[n++] = (char)(0xc0 | c >> 6);
        out[n++] = (char)(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        out[n++] = (char)(0xe0 | c >> 12);
        out[n++] = (char)(0x80 | (c >> 6 & 0x3f));
        out[n++] = (char)(0x80 | (c & 0x3f));
    } else {
        out[n++] = (char)(0xf0 | c >> 18);
        out[n++] = (char)(0x80 | (c >> 12 & 0x3f));
        out[n++] = (char)(0x80 | (c >> 6 & 0x3f));
        out[n++] = (char)(0x80 | (c & 0x3f));
    }
    xml_text_put(w, out, n);
}

static int xml_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : 16;
}

/* name: between & and ; */
static bool xml_entity(struct xml_walk *w, struct str name)
{
    static const struct {
        struct str name;
        char c;
    } known[] = {{{"lt", 2}, '<'},
                 {{"gt", 2}, '>'},
                 {{"amp", 3}, '&'},
                 {{"quot", 4}, '"'},
                 {{"apos", 4}, '\''}};
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (str_eq(name, known[i].name)) {
            xml_text_put(w, &known[i].c, 1);
            return true;
        }
    }
    if (name.size < 2 || name.data[0] != '#')
        return false;
    bool is_hex = name.data[1] == 'x';
    struct str digits = str_skip(name, is_hex ? 2 : 1);
    uint32_t c = 0;
    if (digits.size == 0 || digits.size > 8)
        return false;
    for (size_t i = 0; i < digits.size; i++) {
        int d = xml_digit(digits.data[i]);
        if (d >= (is_hex ? 16 : 10))
            return false;
        c = c * (is_hex ? 16 : 10) + (uint32_t)d;
        if (c > 0x10ffff)
            return false;
    }
    xml_text_put_code(w, c);
    return true;
}

static bool xml_is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Behind what ends with `end`; false when it never does. */
static bool xml_skip_past(struct str *rest, struct str end, struct str *ret_inside)
{
    const char *at = rest->size > 0 ? memmem(rest->data, rest->size, end.data, end.size) : NULL;
    if (at == NULL)
        return false;
    size_t n = (size_t)(at - rest->data);
    *ret_inside = (struct str){rest->data, n};
    *rest = str_skip(*rest, n + end.size);
    return true;
}

/* Text up to the next tag. */
static bool xml_text(struct xml_walk *w)
{
    while (w->rest.size > 0 && w->rest.data[0] != '<') {
        if (w->rest.data[0] == '&') {
            struct str name;
            struct str rest = str_skip(w->rest, 1);
            rest.size = MIN(rest.size, (size_t)12); /* the longest entity, and more */
            if (!xml_skip_past(&rest, STR(";"), &name) || !xml_entity(w, name))
                return false;
            w->rest = str_skip(w->rest, name.size + 2);
        } else {
            size_t n = 1;
            while (n < w->rest.size && w->rest.data[n] != '<' && w->rest.data[n] != '&')
                n++;
            xml_text_put(w, w->rest.data, n);
            w->rest = str_skip(w->rest, n);
        }
    }
    return true;
}

/* The tag's inside, up to its >, which may stand within an attribute's quotes too. */
static bool xml_tag(struct xml_walk *w, struct str *ret)
{
    char quote = 0;
    for (size_t i = 0; i < w->rest.size; i++) {
        char c = w->rest.data[i];
        if (quote != 0)
            quote = c == quote ? 0 : quote;
        else if (c == '"' || c == '\'')
            quote = c;
        else if (c == '<')
            return false;
        else if (c == '>') {
            *ret = (struct str){w->rest.data, i};
            w->rest = str_skip(w->rest, i + 1);
            return true;
        }
    }
    return false;
}

static struct str xml_name(struct str inside)
{
    size_t n = 0;
    while (n < inside.size && !xml_is_space(inside.data[n]))
        n++;
    return (struct str){inside.data, n};
}

static enum xml_event xml_close(struct xml_walk *w)
{
    w->depth--;
    w->closed = w->names[w->depth];
    return XML_CLOSE;
}

static enum xml_event xml_open(struct xml_walk *w, struct str inside)
{
    w->closes_itself = str_ends(inside, STR("/"));
    if (w->closes_itself)
        inside.size--;
    struct str tag = xml_name(inside);
    if (tag.size == 0 || w->depth == S3_XML_DEPTH_MAX || (w->depth == 0 && w->root_seen))
        return XML_BAD;
    struct str local;
    struct str prefix = str_cut(tag, ':', &local);
    w->tags[w->depth] = tag;
    w->names[w->depth] = local.data != NULL ? local : prefix;
    w->depth++;
    w->root_seen = true;
    w->text_size = 0;
    w->text_is_cut = false;
    return XML_OPEN;
}

/* <!...: comments and CDATA; document types are refused. */
static bool xml_special(struct xml_walk *w)
{
    struct str inside;
    if (str_starts(w->rest, STR("<!--"))) {
        w->rest = str_skip(w->rest, 4);
        return xml_skip_past(&w->rest, STR("-->"), &inside);
    }
    if (!str_starts(w->rest, STR("<![CDATA[")) || w->depth == 0)
        return false;
    w->rest = str_skip(w->rest, 9);
    if (!xml_skip_past(&w->rest, STR("]]>"), &inside))
        return false;
    xml_text_put(w, inside.data, inside.size);
    return true;
}

static bool xml_is_blank(const struct xml_walk *w)
{
    for (size_t i = 0; i < w->text_size; i++)
        if (!xml_is_space(w->text[i]))
            return false;
    return !w->text_is_cut;
}

static enum xml_event xml_next(struct xml_walk *w)
{
    if (w->closes_itself) {
        w->closes_itself = false;
        return xml_close(w);
    }
    w->text_size = 0;
    w->text_is_cut = false;
    for (;;) {
        if (!xml_text(w) || (w->depth == 0 && !xml_is_blank(w)))
            return XML_BAD;
        struct str inside;
        if (w->rest.size == 0)
            return w->depth == 0 && w->root_seen ? XML_END : XML_BAD;
        if (str_starts(w->rest, STR("<!"))) {
            if (!xml_special(w))
                return XML_BAD;
        } else if (str_starts(w->rest, STR("<?"))) {
            if (!xml_skip_past(&w->rest, STR("?>"), &inside))
                return XML_BAD;
        } else {
            w->rest = str_skip(w->rest, 1);
            if (!xml_tag(w, &inside))
                return XML_BAD;
            if (!str_starts(inside, STR("/")))
                return xml_open(w, inside);
            if (w->depth == 0 || !str_eq(xml_name(str_skip(inside, 1)), w->tags[w->depth - 1]))
                return XML_BAD;
            return xml_close(w);
        }
    }
}

static struct xml_walk xml_of(struct str text)
{
    struct xml_walk w;
    w.rest = str_starts(text, STR("\xef\xbb\xbf")) ? str_skip(text, 3) : text;
    w.depth = 0;
    w.root_seen = w.closes_itself = w.text_is_cut = false;
    w.text_size = 0;
    w.closed = STR_NONE;
    return w;
}

static struct str xml_closed_text(const struct xml_walk *w)
{
    return (struct str){w->text, w->text_size};
}

/* The end of <name>, which stands in the root or in <parent> there. */
static bool xml_is(const struct xml_walk *w, const char *parent, const char *name)
{
    return w->depth == (parent != NULL ? 2u : 1u) && str_eq(w->closed, str_of(name)) &&
           (parent == NULL || str_eq(w->names[1], str_of(parent)));
}

/* --- the documents ---------------------------------------------------------------------------- */

static void xml_copy_cut(const struct xml_walk *w, char *out, size_t out_size)
{
    size_t n = MIN(w->text_size, out_size - 1);
    memcpy(out, w->text, n);
    out[n] = '\0';
}

/* Walks on behind the root's tag; on_close for each element's end below it. */
static int xml_rest(struct xml_walk *w, int (*on_close)(struct xml_walk *w, void *arg), void *arg)
{
    for (;;) {
        enum xml_event event = xml_next(w);
        if (event == XML_BAD)
            return -EBADMSG;
        if (event == XML_END)
            return 0;
        int r = event == XML_CLOSE && w->depth > 0 ? on_close(w, arg) : 0;
        if (r < 0)
            return r;
    }
}

static bool xml_root_is(const struct xml_walk *w, const char *name)
{
    return str_eq(w->names[0], str_of(name));
}

static int s3_xml_error_close(struct xml_walk *w, void *arg)
{
    struct s3_xml_error *e = arg;
    if (xml_is(w, NULL, "Code"))
        xml_copy_cut(w, e->code, sizeof e->code);
    else if (xml_is(w, NULL, "Message"))
        xml_copy_cut(w, e->message, sizeof e->message);
    else if (xml_is(w, NULL, "Region"))
        xml_copy_cut(w, e->region, sizeof e->region);
    return 0;
}

int s3_xml_error(struct str text, struct s3_xml_error *ret)
{
    struct xml_walk w = xml_of(text);
    *ret = (struct s3_xml_error){.code = ""};
    if (xml_next(&w) != XML_OPEN || !xml_root_is(&w, "Error"))
        return -EBADMSG;
    int r = xml_rest(&w, s3_xml_error_close, ret);
    return r == 0 && ret->code[0] == '\0' ? -EBADMSG : r;
}

struct s3_xml_listing {
    s3_xml_each *each; /* NULL: it has had enough */
    void *arg;
    struct s3_xml_page *page;
    char key[S3_XML_TEXT_MAX]; /* of the <Contents> that is open */
    size_t key_size;
    bool has_key, has_size;
    uint64_t size;
};

static int s3_xml_page_close(struct xml_walk *w, void *arg)
{
    struct s3_xml_listing *l = arg;
    struct str text = xml_closed_text(w);
    if (xml_is(w, "Contents", "Key")) {
        l->has_key = !w->text_is_cut; /* one so long is none of ours */
        l->key_size = text.size;
        memcpy(l->key, text.data, text.size);
    } else if (xml_is(w, "Contents", "Size")) {
        if (w->text_is_cut || str_to_u64(text, &l->size) < 0)
            return -EBADMSG;
        l->has_size = true;
    } else if (xml_is(w, NULL, "Contents")) {
        if (l->each != NULL && l->has_key && l->has_size &&
            !l->each(l->arg, (struct str){l->key, l->key_size}, l->size))
            l->each = NULL;
        l->has_key = l->has_size = false;
    } else if (xml_is(w, NULL, "IsTruncated")) {
        l->page->is_truncated = str_eq_nocase(text, STR("true"));
    } else if (xml_is(w, NULL, "NextContinuationToken")) {
        if (w->text_is_cut || memchr(text.data, '\0', text.size) != NULL ||
            str_copy(text, l->page->token, sizeof l->page->token) < 0)
            return -EBADMSG;
    }
    return 0;
}

int s3_xml_page(struct str text, s3_xml_each *each, void *arg, struct s3_xml_page *ret)
{
    struct xml_walk w = xml_of(text);
    struct s3_xml_listing l;
    *ret = (struct s3_xml_page){.token = ""};
    l.each = each;
    l.arg = arg;
    l.page = ret;
    l.has_key = l.has_size = false;
    l.size = 0;
    if (xml_next(&w) != XML_OPEN || !xml_root_is(&w, "ListBucketResult"))
        return -EBADMSG;
    return xml_rest(&w, s3_xml_page_close, &l);
}

static int s3_xml_upload_close(struct xml_walk *w, void *arg)
{
    struct str text = xml_closed_text(w);
    if (!xml_is(w, NULL, "UploadId"))
        return 0;
    if (w->text_is_cut || memchr(text.data, '\0', text.size) != NULL)
        return -EBADMSG;
    return str_copy(text, arg, S3_XML_UPLOAD_SIZE) < 0 ? -EBADMSG : 0;
}

int s3_xml_upload(struct str text, char ret[S3_XML_UPLOAD_SIZE])
{
    struct xml_walk w = xml_of(text);
    ret[0] = '\0';
    if (xml_next(&w) != XML_OPEN || !xml_root_is(&w, "InitiateMultipartUploadResult"))
        return -EBADMSG;
    int r = xml_rest(&w, s3_xml_upload_close, ret);
    return r == 0 && ret[0] == '\0' ? -EBADMSG : r;
}

static int s3_xml_ignore(struct xml_walk *w, void *arg)
{
    (void)w, (void)arg;
    return 0;
}

int s3_xml_complete(struct str text, struct s3_xml_error *ret)
{
    struct xml_walk w = xml_of(text);
    if (xml_next(&w) != XML_OPEN)
        return -EBADMSG;
    if (xml_root_is(&w, "CompleteMultipartUploadResult"))
        return xml_rest(&w, s3_xml_ignore, NULL);
    int r = s3_xml_error(text, ret);
    return r < 0 ? r : 1;
}
